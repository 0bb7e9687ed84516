"""The configuration: parsed once, frozen, passed down as the few values needed.

Room:    names
Imports: errors, msgspec, stdlib

Every key is documented in config/face-organizer.toml; a test holds the two together. config_file.py reads such a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from face_organizer.errors import ConfigError

STATE_FOLDER = ".face-organizer"
"""In a library: where its state lies, or a link to it."""

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
Similarity = Annotated[float, Meta(ge=-1, le=1)]
People = Annotated[int, Meta(ge=1, le=1000)] | Literal["auto", "elbow"]
Placement = Literal["move", "hardlink", "symlink", "copy"]

PEOPLE: People = "auto"
PLACEMENT: Placement = "move"
"""These two where nobody has ever said: a library goes on with what it was last started with."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file: unknown keys are refused, values are checked."""


class WatchConfig(Section, frozen=True):
    settle_s: Seconds = 0.5
    rescan_s: Annotated[float, Meta(gt=0)] = 30.0
    poll_s: Annotated[float, Meta(gt=0)] = 2.0
    unfinished_grace_s: Seconds = 10.0
    prune_empty_s: Seconds = 60.0
    pixels_max: Count = 120_000_000
    size_max_bytes: Count = 512 * 1024 * 1024
    disk_free_min_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024


class FoldersConfig(Section, frozen=True):
    watch: bool = True
    settle_s: Seconds = 2.0


class FacesConfig(Section, frozen=True):
    pack: str = "auto"
    models_dir: str = ""
    devices: str | tuple[str, ...] = "auto"
    allow_cpu_fallback: bool = False
    threads: Annotated[int, Meta(ge=0)] = 0
    pre_cropped: bool | Literal["auto"] = "auto"
    crop_side_max_px: Count = 256
    detection_side_px: Literal[320, 480, 640, 960, 1280] = 640
    decode_side_max_px: Annotated[int, Meta(ge=320)] = 2048
    face_side_min_px: Count = 20
    founder_quality_min: Annotated[float, Meta(ge=0, le=1)] = 0.2
    attributes: bool = True

    @property
    def wanted(self) -> tuple[str, ...]:
        """The devices as a list, however they were written."""
        return (self.devices,) if isinstance(self.devices, str) else self.devices


class PeopleConfig(Section, frozen=True):
    faces_min: Annotated[int, Meta(ge=1)] = 2
    similarity_join_min: Similarity | None = None
    similarity_link_min: Similarity | None = None
    similarity_member_min: Similarity | None = None
    one_face_per_image: bool = True
    false_merge_max: Annotated[float, Meta(gt=0, le=0.5)] = 0.01
    elbow_min: Annotated[int, Meta(ge=1, le=998)] = 1
    elbow_max: Annotated[int, Meta(ge=3, le=1000)] = 20


class ReclusterConfig(Section, frozen=True):
    every_s: Seconds = 6 * 3600.0
    growth_factor: Annotated[float, Meta(gt=1)] = 1.5
    growth_faces_min: Count = 50
    moved_share_max: Annotated[float, Meta(ge=0, le=1)] = 0.2
    moved_faces_min: Annotated[int, Meta(ge=0)] = 200
    named_loss_share_max: Annotated[float, Meta(ge=0, le=1)] = 0.1
    seed: int = 0


class IndexConfig(Section, frozen=True):
    flat_max_faces: Count = 20_000
    retrain_factor: Annotated[float, Meta(gt=1)] = 4.0
    nprobe: Count | Literal["auto"] = "auto"
    neighbours: Annotated[int, Meta(ge=2, le=200)] = 20
    save_every_s: Seconds = 900.0


class FlowConfig(Section, frozen=True):
    in_flight_max: Annotated[int, Meta(ge=8)] = 256
    decoders: Annotated[int, Meta(ge=1, le=64)] = 1
    batch_max: Count = 16
    linger_s: Seconds = 0.02
    commit_batch_max: Count = 64
    stop_within_s: Seconds = 20.0
    hung_after_s: Annotated[float, Meta(gt=0)] = 300.0


WEB_ADDRESS = "127.0.0.1:8765"
"""Where the page is unless somebody says otherwise."""


LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts that only this machine reaches."""


class WebConfig(Section, frozen=True):
    listen: str = ""
    token_file: str = ""
    thumbnails_max_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024 * 1024


class LogConfig(Section, frozen=True):
    format: Literal["auto", "json", "pretty"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class LibraryConfig(Section, frozen=True):
    """One of several libraries: what it does not share with the others."""

    inbox: str
    library: str
    name: str = ""
    state_dir: str = ""
    people: People | None = None
    placement: Placement | None = None


class Config(Section, frozen=True):
    """All settings of one library."""

    inbox: str = "inbox"
    library: str = "library"
    state_dir: str = ""
    people: People | None = None
    placement: Placement | None = None
    watch: WatchConfig = WatchConfig()
    folders: FoldersConfig = FoldersConfig()
    faces: FacesConfig = FacesConfig()
    persons: PeopleConfig = PeopleConfig()
    recluster: ReclusterConfig = ReclusterConfig()
    index: IndexConfig = IndexConfig()
    flow: FlowConfig = FlowConfig()
    web: WebConfig = WebConfig()
    log: LogConfig = LogConfig()

    @property
    def inbox_path(self) -> Path:
        return Path(self.inbox).expanduser().absolute()

    @property
    def library_path(self) -> Path:
        return Path(self.library).expanduser().absolute()

    @property
    def placement_mode(self) -> Placement:
        return self.placement or PLACEMENT

    @property
    def empties_inbox(self) -> bool:
        return self.placement_mode == "move"

    @property
    def state_path(self) -> Path:
        return Path(self.state_dir).expanduser().absolute() if self.state_dir else self.library_path / STATE_FOLDER


def plain_path(path: Path) -> Path:
    """The same path from the root, without "..": what leads up may lead through a link, so it is followed that far."""
    parts = path.expanduser().absolute().parts
    if ".." not in parts:
        return Path(*parts)
    up = len(parts) - parts[::-1].index("..")
    return Path(*parts[:up]).resolve().joinpath(*parts[up:])


def going_on(config: Config, before: Config) -> Config:
    """With as many people, and the placement, as there were before where none is said."""
    people, placement = config.people or before.people, config.placement or before.placement
    return msgspec.structs.replace(config, people=people, placement=placement)


def with_inbox_of(config: Config, before: Config) -> Config:
    """Where both have the same inbox, spelt as it was before: by that its images are known."""
    is_same = ".." in before.inbox_path.parts and plain_path(before.inbox_path) == plain_path(config.inbox_path)
    return msgspec.structs.replace(config, inbox=before.inbox) if is_same else config


def host_and_port(listen: str) -> tuple[str, int]:
    """("::1", 8765) of "[::1]:8765". Raises ConfigError."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f'web.listen = {listen!r}: say HOST:PORT, like "127.0.0.1:8765" or "[::1]:8765"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def check_folders(config: Config) -> None:
    """Refuse folders that would feed the organizer its own output, or another library's. Raises ConfigError."""
    for path in (config.inbox_path, config.library_path, config.state_path):
        if str(path).encode("utf-8", "replace").decode() != str(path):
            raise ConfigError(f"the path {str(path)!a} is not UTF-8: choose a folder with a name that is")
    inbox, library, state = config.inbox_path.resolve(), config.library_path.resolve(), config.state_path.resolve()
    if _meet(inbox, library):
        raise ConfigError(f"the inbox {inbox} and the library {library} must not lie inside one another")
    if state == inbox or inbox in state.parents:
        raise ConfigError(f"the state folder {state} must not lie inside the inbox {inbox}")
    if (other := library_around(inbox)) is not None:
        where = "is a library itself" if other == inbox else f"lies in the library {other}"
        swapped = other == inbox and not is_library(library)
        meant = "are inbox and library the wrong way round? " if swapped else ""
        raise ConfigError(
            f"the inbox {inbox} {where} ({STATE_FOLDER} is in there), and what one library holds is not sorted into"
            f" another: {meant}Name the folder that new images come to; to sort those of a library anew, move them to"
            " a folder outside of it first"
        )


def library_around(path: Path) -> Path | None:
    """The library that a path is or lies in, the innermost; None where there is none. path: resolved."""
    return next((folder for folder in (path, *path.parents) if is_library(folder)), None)


def is_library(folder: Path) -> bool:
    """Does a library have its state here, or a link to where it is, which may be away?"""
    return os.path.lexists(folder / STATE_FOLDER)


def check_libraries(libraries: Mapping[str, Config]) -> None:
    """Refuse libraries that would feed, or get hold of, one another. Raises ConfigError."""
    for config in libraries.values():
        check_folders(config)
    for (one, first), (other, second) in combinations(libraries.items(), 2):
        for role, path in _folders(first):
            for other_role, other_path in _folders(second):
                if _meet(path, other_path) and not (role == other_role == "inbox" and path == other_path):
                    raise ConfigError(
                        f"the {role} {path} of {one} and the {other_role} {other_path} of {other} must not lie inside"
                        " one another"
                    )
        if first.inbox_path.resolve() == second.inbox_path.resolve() and any(
            each.empties_inbox for each in (first, second)
        ):
            raise ConfigError(
                f'{one} and {other} share the inbox {first.inbox_path}: with placement = "move" each image would end in'
                ' either; both need to say "copy", "hardlink" or "symlink", or an inbox of their own'
            )


def _folders(config: Config) -> tuple[tuple[str, Path], ...]:
    paths = {"inbox": config.inbox_path, "library": config.library_path, "state folder": config.state_path}
    return tuple((role, path.resolve()) for role, path in paths.items())


def _meet(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


OWN = ("inbox", "library", "state_dir", "people", "placement")
"""Top-level keys that every library has for itself. When they change, SIGHUP closes it and opens it anew."""

RELOADABLE = frozenset({"watch", "folders", "persons", "recluster", "log"})
"""Top-level keys that SIGHUP applies at once; the rest, which all libraries share, need a restart."""


def changes(old: Config, new: Config) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Which top-level keys differ: (can be applied now, by opening the library anew, only by a restart)."""
    differing = frozenset(key for key in Config.__struct_fields__ if getattr(old, key) != getattr(new, key))
    return differing & RELOADABLE, differing & frozenset(OWN), differing - RELOADABLE - frozenset(OWN)
