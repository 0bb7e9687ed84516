"""The real program in a process of its own, and what its folders hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import wait_until

import face_organizer

SOURCE_ROOT = Path(face_organizer.__file__).parents[1]
COMMAND = [sys.executable, "-m", "face_organizer"]
NUMBERED = [sys.executable, str(Path(__file__).with_name("numbered.py"))]
"""The program without its networks, for pictures that numbered.paint made."""


def organizer(
    *arguments: str | Path,
    expect: int | None = 0,
    within: Sequence[str] = (),
    command: Sequence[str] = COMMAND,
    within_s: float = 110.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. within: a command that runs it (see disks.py)."""
    done = subprocess.run(
        [*within, *command, *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    assert expect is None or done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return done


def as_json(
    *arguments: str | Path,
    expect: int | None = 0,
    within: Sequence[str] = (),
    command: Sequence[str] = COMMAND,
    within_s: float = 110.0,
) -> Any:
    done = organizer(*arguments, "--json", expect=expect, within=within, command=command, within_s=within_s)
    return json.loads(done.stdout)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SOURCE_ROOT)}


class Daemon:
    """`face-organizer run` in a process of its own, its log read line by line. command: another way to start it."""

    def __init__(self, *arguments: str | Path, command: Sequence[str] = COMMAND) -> None:
        self.process = subprocess.Popen(
            [*command, "run", *map(str, arguments)], env=environment(), stderr=subprocess.PIPE, text=True
        )
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line) if line.startswith("{") else {"event": "text", "text": line})

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in list(self.lines) if line["event"] == name]

    def wait_for(self, name: str, count: int = 1, within_s: float = 40.0) -> list[dict[str, Any]]:
        wait_until(
            lambda: len(self.events(name)) >= count or self.process.poll() is not None,
            within_s,
            lambda: f"{len(self.events(name))} of {count} {name}; last: {self.lines[-8:]}",
        )
        assert len(self.events(name)) >= count, self.lines[-5:]
        return self.events(name)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=40)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def drop(paths: list[Path], inbox: Path) -> None:
    inbox.mkdir(parents=True, exist_ok=True)
    for path in paths:
        (inbox / path.name).write_bytes(path.read_bytes())


def files_below(folder: Path) -> list[Path]:
    """All but the state, and the text that a library carries."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".face-organizer" not in path.parts)
    return sorted(path.relative_to(folder) for path in found if path != folder / "README.txt")


def partition(library: Path) -> set[frozenset[str]]:
    """Who is together with whom, whatever the folders are called; outliers each alone."""
    together: dict[str, set[str]] = defaultdict(set)
    for path in files_below(library):
        key = path.parts[0] if path.parts[0].startswith("person_") else path.name
        together[key].add(path.name)
    return {frozenset(names) for names in together.values()}


def person_of(path: Path) -> str:
    return path.stem.rpartition("_")[0]
