"""Sets the organizer up as a system service: the unit, its user, its folders. Or says how.

Room:    adapters (touches systemd, users and /etc)
Imports: errors, stdlib

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
from dataclasses import dataclass
from pathlib import Path

from face_organizer.errors import RequestError

SHIPPED = Path(__file__).parents[1] / "shipped"
UNITS = Path("/etc/systemd/system")
UNIT = "face-organizer.service"
SOCKET = "face-organizer.socket"
SETTINGS = Path("/etc/face-organizer/face-organizer.toml")
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")

THE_SYSTEMS = {"bin", "boot", "dev", "etc", "lib", "opt", "proc", "run", "sbin", "sys", "usr", "var"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to set up. program: the command face-organizer, as an absolute path; all paths absolute."""

    program: Path
    inbox: Path
    library: Path
    user: str
    gpu: bool = False
    web: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what it reads on its standard input."""

    words: tuple[str, ...]
    text: str = ""

    def __str__(self) -> str:
        line = shlex.join(self.words)
        return f"{line} <<'EOF'\n{self.text}EOF" if self.text else line


def program_here() -> Path:
    """The command face-organizer of the Python that runs us."""
    return Path(sys.prefix) / "bin" / "face-organizer"


def steps(wish: Wish) -> list[Step]:
    """What is still to do, in order. What is there stays as it is, but for the unit. Raises RequestError."""
    _refuse_hidden(wish)
    found, group = _user(wish.user)
    made = [] if found else [_useradd(wish.user)]
    folders = [folder for folder in (common(wish), wish.inbox, wish.library) if folder and not folder.exists()]
    made += [_command(f"install -d -o {wish.user} -g {group} -m 2770", folder) for folder in dict.fromkeys(folders)]
    if not SETTINGS.exists():
        made.append(_command("install -D -m 644", SHIPPED / SETTINGS.name, SETTINGS))
    made.append(Step(("install", "-m", "644", "/dev/stdin", str(UNITS / UNIT)), unit(wish, group)))
    for name in [*["gpu.conf"] * wish.gpu, *["web.conf"] * wish.web]:
        made.append(_command("install -D -m 644", SHIPPED / name, UNITS / f"{UNIT}.d" / name))
    if wish.web:
        made.append(_command("install -m 644", SHIPPED / SOCKET, UNITS / SOCKET))
    enabled = f"{UNIT} {SOCKET}" if wish.web else UNIT
    return [*made, _command("systemctl daemon-reload"), _command(f"systemctl enable {enabled}")]


def unit(wish: Wish, group: str) -> str:
    """The shipped unit with these paths and this user."""
    shared = common(wish)
    writable = " ".join(_quoted(path) for path in ([shared] if shared else [wish.inbox, wish.library]))
    run: tuple[Path | str, ...] = (
        wish.program,
        "run",
        "--config",
        SETTINGS,
        "--inbox",
        wish.inbox,
        "--library",
        wish.library,
    )
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


def common(wish: Wish) -> Path | None:
    """The folder to open for writing, so that inbox and library are on one mount; None if it is the system's."""
    shared = Path(os.path.commonpath([wish.inbox, wish.library]))
    return None if shared == Path("/") or (len(shared.parts) == 2 and shared.name in THE_SYSTEMS) else shared


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
    for folder in (wish.inbox, wish.library):
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
    for what, path in (("the program", wish.program), ("the inbox", wish.inbox), ("the library", wish.library)):
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
