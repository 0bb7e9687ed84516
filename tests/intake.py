"""What the tests of the inbox share: a daemon with settings of its own, and what it has taken in.

Files that are no images go to quarantine within a millisecond: where only the way of a file through the inbox matters,
they stand for images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, cast

from process import Daemon
from support import wait_until

from face_organizer.app.commands import answer

Start = Callable[..., Daemon]

NEVER_S = 100_000
"""A rescan_s that leaves everything to the events."""


def settings(tmp_path: Path, **watch: float) -> list[str | Path]:
    """Arguments for the daemon: its folders, and a configuration with these keys of [watch]."""
    path = tmp_path / "settings.toml"
    path.write_text("[watch]\n" + "".join(f"{key} = {value}\n" for key, value in watch.items()))
    return ["--inbox", tmp_path / "inbox", "--library", tmp_path / "library", "--config", path]


def ready(daemon: Daemon) -> Daemon:
    daemon.wait_for("ready", within_s=90)
    return daemon


def taken_in(daemon: Daemon) -> Counter[str]:
    """How often each file was taken in, by its name."""
    events = ("image_enrolled", "image_quarantined", "image_duplicate", "image_known")
    return Counter(Path(line["image"]).name for event in events for line in daemon.events(event))


def wait_taken_in(daemon: Daemon, names: Sequence[str], within_s: float = 60.0) -> None:
    """Wait until each of these files has been taken in and has left the inbox; fail where one was taken in twice."""
    wait_until(
        lambda: taken_in(daemon).keys() >= set(names) or daemon.process.poll() is not None,
        within_s,
        lambda: f"missing {sorted(set(names) - taken_in(daemon).keys())[:5]}; last: {daemon.lines[-8:]}",
    )
    wait_until(lambda: {line["image"] for line in daemon.events("image_placed")} >= set(names), within_s)
    assert {name: times for name, times in taken_in(daemon).items() if times != 1} == {}
    assert taken_in(daemon).keys() >= set(names)


def write_text(paths: Sequence[Path]) -> list[str]:
    """Files that differ, and are no images; returns their names."""
    for path in paths:
        path.write_text(f"this is no image but {path.name}")
    return [path.name for path in paths]


def in_quarantine(library: Path) -> set[str]:
    return {path.name for path in (library / "quarantine").iterdir() if not path.name.endswith(".reason.txt")}


def status_of(library: Path) -> dict[str, Any]:
    """What the running daemon says of itself, asked over its socket."""
    return cast("dict[str, Any]", answer(library, "status"))


def state_of(library: Path) -> tuple[str, str | None]:
    told = status_of(library)["inbox_state"]
    return told["state"], told["reason"]


def pause(for_s: float) -> None:
    """Between two writes of a slow writer: the time itself is what is tested."""
    Event().wait(for_s)
