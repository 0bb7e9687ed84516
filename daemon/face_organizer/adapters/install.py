"""Sets the organizer up as a system service: the unit, its user, its folders. Or says how.

Room:    adapters (touches systemd, users and /etc)
Imports: config_file, errors, stdlib

The units, their drop-ins and the settings are those of the checkout (systemd/, config/), packaged as `shipped/`.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from face_organizer.config_file import load_libraries
from face_organizer.errors import ConfigError, RequestError

SHIPPED = Path(__file__).parents[1] / "shipped"
UNITS = Path("/etc/systemd/system")
UNIT = "face-organizer.service"
SOCKET = "face-organizer.socket"
SETTINGS = Path("/etc/face-organizer/face-organizer.toml")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")

THE_SYSTEMS = {"bin", "boot", "dev", "etc", "lib", "opt", "proc", "run", "sbin", "sys", "usr", "var"}


OWN_FOLDERS = (Path("/var/lib/face-organizer"), Path("/var/cache/face-organizer"))
"""What the unit lets its user write to without being asked: StateDirectory= and CacheDirectory=."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a library. besides: what else it writes to (state_dir, faces.models_dir)."""

    inbox: Path
    library: Path
    besides: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, Path]:
        return self.inbox, self.library


@dataclass(frozen=True, slots=True)
class Wish:
    """What to set up. program: the command face-organizer; all paths absolute. tables: the settings name the libraries,
    even if it is one; else the command line names the one there is."""

    program: Path
    places: tuple[Place, ...]
    user: str
    gpu: bool = False
    web: bool = False
    tables: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what it reads on its standard input."""

    words: tuple[str, ...]
    text: str = ""

    def __str__(self) -> str:
        line = shlex.join(self.words)
        return f"{line} <<'EOF'\n{self.text}EOF" if self.text else line


def libraries_served() -> dict[str, Path]:
    """The folders of the [[library]] tables in the service's settings, by name; {} where there are none, or nobody
    shall read them."""
    try:
        libraries = load_libraries(SETTINGS)
    except ConfigError:
        return {}
    return {name: config.library_path for name, config in libraries.items() if name}


def program_here() -> Path:
    """The command face-organizer of the Python that runs us."""
    return Path(sys.prefix) / "bin" / "face-organizer"


def steps(wish: Wish) -> list[Step]:
    """What is still to do, in order. What is there stays as it is, but for the unit. Raises RequestError."""
    _refuse_hidden(wish)
    found, group = _user(wish.user)
    made = [] if found else [_useradd(wish.user)]
    made += [_command(f"install -d -o {wish.user} -g {group} -m {mode}", folder) for folder, mode in _missing(wish)]
    if not SETTINGS.exists():
        made.append(_command("install -D -m 644", SHIPPED / SETTINGS.name, SETTINGS))
    made.append(Step(("install", "-m", "644", "/dev/stdin", str(UNITS / UNIT)), unit(wish, group)))
    for name in [*["gpu.conf"] * wish.gpu, *["web.conf"] * wish.web]:
        made.append(_command("install -D -m 644", SHIPPED / name, UNITS / f"{UNIT}.d" / name))
    if wish.web:
        made.append(Step(("install", "-m", "644", "/dev/stdin", str(UNITS / SOCKET)), socket_unit(len(wish.places))))
    enabled = f"{UNIT} {SOCKET}" if wish.web else UNIT
    return [*made, _command("systemctl daemon-reload"), _command(f"systemctl enable {enabled}")]


def unit(wish: Wish, group: str) -> str:
    """The shipped unit with these paths and this user."""
    writable = " ".join(map(_quoted, opened(wish)))
    run: tuple[Path | str, ...] = (wish.program, "run", "--config", SETTINGS)
    if not wish.tables:
        (only,) = wish.places
        run += ("--inbox", only.inbox, "--library", only.library)
    run += ("--web",) if wish.web else ()
    values = {
        "RequiresMountsFor": writable,
        "ExecStart": "/usr/bin/env --ignore-signal=HUP " + " ".join(_quoted(word, "$") for word in run),
        "User": wish.user,
        "Group": group,
        "ReadWritePaths": writable,
    }
    text = re.sub(r"\\\n\s*", "", (SHIPPED / UNIT).read_text(encoding="utf-8"))
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key}=.*$", f"{key}={value}".replace("\\", r"\\"), text)
        assert count == 1, (key, count)
    return text


def socket_unit(libraries: int) -> str:
    """The shipped one, with a port for each library: the first one's, the next, and so forth."""
    text = (SHIPPED / SOCKET).read_text(encoding="utf-8")
    found = re.search(r"(?m)^(ListenStream=.*:)(\d+)$", text)
    assert found is not None, text
    listens = "\n".join(f"{found[1]}{int(found[2]) + number}" for number in range(libraries))
    return text.replace(found[0], listens)


def opened(wish: Wish) -> list[Path]:
    """The folders to open for writing: for each library one that holds its inbox, too, so that they are on one mount.

    One for all of several libraries, if they share one that is not at the top: whoever joins them there is let in.
    """
    shared = _shared(wish)
    open_ = [shared] if shared else [folder for place in wish.places for folder in _open_for(place)]
    besides = [path for place in wish.places for path in place.besides]
    return _outermost([*open_, *(path for path in besides if not _is_in(path, OWN_FOLDERS))])


def common(folders: Iterable[Path]) -> Path | None:
    """The folder that holds them all; None if it is the system's."""
    shared = Path(os.path.commonpath(list(folders)))
    return None if shared == Path("/") or (len(shared.parts) == 2 and shared.name in THE_SYSTEMS) else shared


def _shared(wish: Wish) -> Path | None:
    """Of several libraries; None where there is one, or they share none of their own."""
    if len(wish.places) == 1:
        return None
    shared = common(folder for place in wish.places for folder in place.folders)
    return shared if shared is not None and len(shared.parts) > 2 else None


def _open_for(place: Place) -> list[Path]:
    shared = common(place.folders)
    return [shared] if shared else list(place.folders)


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Without those inside others, in their order."""
    once = list(dict.fromkeys(paths))
    return [path for path in once if not _is_in(path, [other for other in once if other != path])]


def _is_in(path: Path, folders: Iterable[Path]) -> bool:
    return any(folder == path or folder in path.parents for folder in folders)


def _missing(wish: Wish) -> list[tuple[Path, str]]:
    """The folders to be made, the outer ones first, and who may do what there."""
    shared = _shared(wish)
    folders = {shared: "2770"} if shared else {}
    for place in wish.places:
        folders |= dict.fromkeys([*_open_for(place), *place.folders], "2770")
        folders |= {path: "700" for path in place.besides if path not in folders}
    return [(folder, mode) for folder, mode in folders.items() if not folder.exists()]


def carry_out(todo: list[Step]) -> None:
    """Raises RequestError where it is not ours to do, or a command fails."""
    if os.geteuid() != 0:
        raise RequestError("setting up a service needs root: say it again with sudo, or look at --dry-run")
    if not Path("/run/systemd/system").is_dir():
        raise RequestError("this machine was not booted by systemd: nothing would start the service")
    for step in todo:
        problem = _run(step)
        if problem:
            raise RequestError(f"{shlex.join(step.words)} failed: {problem}")


def check(wish: Wish) -> None:
    """Can the user do what the service will? Raises RequestError."""
    as_user = ("runuser", "-u", wish.user, "--")
    if _run(Step((*as_user, str(wish.program), "--version"))):
        raise RequestError(f"{wish.user} cannot run {wish.program}: let everybody read its folder and those above")
    for folder in [path for place in wish.places for path in (*place.folders, *place.besides)]:
        if _run(Step((*as_user, "test", "-w", str(folder)))):
            raise RequestError(f"{wish.user} cannot write to {folder}: chgrp it to that group, and chmod g+rwxs")


def _run(step: Step) -> str:
    """What went wrong, "" if nothing."""
    try:
        done = subprocess.run(step.words, input=step.text, text=True, capture_output=True, check=False)
    except OSError as error:
        return f"{step.words[0]}: {error.strerror}"
    return done.stderr.strip() or f"it ended with {done.returncode}" if done.returncode else ""


def _refuse_hidden(wish: Wish) -> None:
    named = [("the program", wish.program)]
    for place in wish.places:
        named += [("the inbox", place.inbox), ("the library", place.library)]
        named += [("the folder", path) for path in place.besides]
    for what, path in named:
        for folder in HIDDEN:
            if Path(folder) in path.parents or Path(folder) in path.resolve().parents:
                raise RequestError(
                    f"{what} {path} lies in {folder}, which the service cannot see: "
                    f"choose a place outside, such as {'/opt' if what == 'the program' else '/srv/face-organizer'}"
                )


def _user(name: str) -> tuple[bool, str]:
    """Is there such a user? And its group; one who is made gets a group of the same name."""
    try:
        return True, grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name
    except KeyError:
        return False, name


def _useradd(name: str) -> Step:
    words = "useradd --system --user-group --home-dir /var/lib/face-organizer --shell /usr/sbin/nologin"
    return Step((*words.split(), name))


def _command(words: str, *paths: Path) -> Step:
    return Step((*shlex.split(words), *map(str, paths)))


def _quoted(word: Path | str, doubled: str = "") -> str:
    """As systemd reads it: specifiers doubled, and in a command also variables."""
    text = str(word)
    for character in "%" + doubled:
        text = text.replace(character, 2 * character)
    if re.fullmatch(r"[\w@%+=:,./$-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
