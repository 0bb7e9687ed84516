"""A library of painted pictures (numbered.py): commands on it, in processes that have their imports done or with a
daemon."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from process import NUMBERED, Daemon, as_json, files_below
from support import wait_until
from survival import Ended, Nest

from face_organizer.app.commands import answer


class Home:
    """An inbox, a library and its settings in a folder. Who is in it is for each kind of home to paint."""

    settings = "[watch]\nsettle_s = 0.02\n"

    def __init__(self, folder: Path, nest: Nest) -> None:
        self.nest = nest
        self.inbox, self.library, self.config = folder / "inbox", folder / "library", folder / "config.toml"
        self.config.write_text(self.settings)

    def copy(self, folder: Path) -> Self:
        """The same library in another folder, beside an empty inbox."""
        copy = type(self)(folder, self.nest)
        shutil.copytree(self.library, copy.library, symlinks=True)
        copy.inbox.mkdir()
        return copy

    def run(self, *arguments: str | Path, expect: int | None = 0, arm: Any = None) -> Ended:
        ended = self.nest.run(*arguments, "--library", self.library, arm=arm)
        assert expect is None or ended.code == expect, (ended.code, ended.out, ended.err)
        return ended

    def json(self, *arguments: str | Path, expect: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", expect=expect).out)

    def sort(self, *arguments: str, expect: int = 0) -> Ended:
        return self.run("run", "--once", "--config", self.config, "--inbox", self.inbox, *arguments, expect=expect)

    def person(self, name: str) -> str:
        """The folder of the person in whose folder an image of this name lies."""
        return next(path.parts[0] for path in files_below(self.library) if path.name == name)


FOLLOWED = "[watch]\nsettle_s = 0.05\n[folders]\nsettle_s = 0.3\n"


class FollowedHome:
    """The same for a daemon that soon follows what is done in its folders. settings: more, before the first table."""

    def __init__(self, folder: Path, start: Callable[..., Daemon] = Daemon, settings: str = "") -> None:
        self.inbox, self.library, self.settings = folder / "inbox", folder / "library", folder / "settings.toml"
        self._start = start
        self.settings.write_text(settings + FOLLOWED)

    @property
    def arguments(self) -> list[str | Path]:
        return ["--config", self.settings, "--inbox", self.inbox, "--library", self.library]

    def once(self) -> dict[str, Any]:
        """What `run --once` says."""
        return dict(as_json("run", "--once", *self.arguments, command=NUMBERED))

    def begin(self) -> Daemon:
        daemon = self._start(*self.arguments, command=NUMBERED)
        daemon.wait_for("ready")
        return daemon

    def is_well(self, within_s: float = 20.0) -> None:
        """Everything is where it should be, and nothing is left to say."""
        self.is_well_but(within_s=within_s)

    def is_well_but(self, *findings: str, within_s: float = 20.0) -> None:
        wait_until(lambda: answer(self.library, "status")["pending"] == 0, within_s)
        assert [row["what"] for row in answer(self.library, "check")["findings"]] == list(findings)
