"""A library of painted pictures (numbered.py), and commands on it in processes that have their imports done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Self

from process import files_below
from survival import Ended, Nest


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
