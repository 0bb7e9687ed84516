"""The real process on a hostile inbox: nothing stops it, nothing grows, nothing outside is touched."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elsewhere import make_elsewhere, state_of
from hostile import corpus, encoded, picture
from process import COMMAND, Daemon, as_json, drop, environment, files_below, organizer, person_of
from support import wait_until

from face_organizer.adapters.control import ask
from face_organizer.config import STATE_FOLDER
from face_organizer.errors import RequestError
from face_organizer.types import NO_FACE, OUTLIERS, QUARANTINE

pytestmark = pytest.mark.timeout(400)

RSS_MAX_BYTES = 1_200_000_000
"""Of the whole process over the whole corpus and the faces: 744 MB were measured, networks and libraries are most."""

CONFIG = "[watch]\nunfinished_grace_s = 0.2\nsettle_s = 0.1\n[log]\nformat = 'json'\n"


def once(inbox: Path, library: Path, *before: str) -> dict[str, Any]:
    """`run --once`: its summary, with its log lines as `log` and its memory at its worst as
    `peak_bytes`. before: a command that runs it."""
    config = library.with_suffix(".toml")
    config.write_text(CONFIG)
    command = [*before, *COMMAND, "run", "--once", "--json", "--inbox", inbox, "--library", library, "--config", config]
    out, err = library.with_suffix(".out"), library.with_suffix(".err")
    with out.open("wb") as told, err.open("wb") as logged:
        process = subprocess.Popen(
            ["timeout", "300", *map(str, command)], env=environment(), stdout=told, stderr=logged
        )
        _, status, usage = os.wait4(process.pid, 0)  # what this one process took, not the largest of the test run
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (process.returncode, err.read_bytes()[-3000:])
    lines = [line for line in err.read_bytes().splitlines() if line.startswith(b"{")]
    peak_bytes = usage.ru_maxrss * 1024
    return {**json.loads(out.read_bytes()), "log": [json.loads(line) for line in lines], "peak_bytes": peak_bytes}


def reason_of(library: Path, name: str) -> str:
    return (library / QUARANTINE / f"{name}.reason.txt").read_text()


def folder_of(library: Path, name: str) -> str:
    (found,) = [path for path in files_below(library) if path.name == name]
    return found.parts[0]


def test_a_corpus_of_malformed_images_stops_nothing_and_real_faces_beside_it_are_sorted(
    faces: list[Path], tmp_path: Path
) -> None:
    inbox, library, cases = tmp_path / "inbox", tmp_path / "library", corpus()
    drop(faces, inbox)
    for name, case in cases.items():
        (inbox / name).write_bytes(case.data)

    summary = once(inbox, library)

    assert summary["peak_bytes"] < RSS_MAX_BYTES
    assert files_below(inbox) == []
    for name, case in cases.items():
        if case.says:
            assert folder_of(library, name) == QUARANTINE, name
            assert re.search(case.says, reason_of(library, name)), name
        elif case.says is None:
            assert folder_of(library, name) != QUARANTINE, reason_of(library, name)
    shown = defaultdict(set)
    for path in faces:
        shown[folder_of(library, path.name)].add(person_of(path))
    persons = {folder: people for folder, people in shown.items() if folder.startswith("person_")}
    assert len(persons) == len({person_of(path) for path in faces}), shown
    assert all(len(people) == 1 for people in persons.values()), shown
    assert summary["quarantined"] == len(list((library / QUARANTINE).glob("*.reason.txt")))
    assert as_json("check", "--library", library)["findings"] == []


# what is no file


def make_tricks(inbox: Path, elsewhere: Path) -> dict[str, str]:
    """Things that are no image of ours; {name: what its reason must match}."""
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / "link.jpg").symlink_to("/etc/passwd")
    (inbox / "link-to-secret.jpg").symlink_to(elsewhere / "secret")
    (inbox / "dangling.jpg").symlink_to("nowhere")
    (inbox / "link-to-itself.jpg").symlink_to("link-to-itself.jpg")
    (inbox / "link-to-link.jpg").symlink_to("link.jpg")
    (inbox / "linked-folder.jpg").symlink_to(elsewhere)
    (inbox / "link-out-of-the-inbox.jpg").symlink_to("../../../../../../etc/shadow")
    os.mkfifo(inbox / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(inbox)  # a socket's path is short
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
    (inbox / "folder.jpg").mkdir()
    (inbox / "folder.jpg" / "inside.jpg").write_bytes(b"no image")
    tricks = dict.fromkeys([path.name for path in inbox.iterdir() if path.is_symlink()], "symbolic link")
    tricks |= {"fifo.jpg": "FIFO", "socket.jpg": "socket", "inside.jpg": "not an image"}
    if os.geteuid() == 0:
        for name, device, kind in (
            ("zero.jpg", 5, stat.S_IFCHR),
            ("tty.jpg", 0, stat.S_IFCHR),
            ("b.jpg", 0, stat.S_IFBLK),
        ):
            try:
                os.mknod(inbox / name, kind | 0o666, os.makedev({"b.jpg": 7, "zero.jpg": 1}.get(name, 5), device))
            except OSError:
                continue  # a container without devices
            tricks[name] = "device"
    return tricks


def test_links_pipes_sockets_and_devices_are_kept_unopened_with_their_reason(tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    elsewhere = make_elsewhere(tmp_path / "elsewhere", {"a.jpg": b"x"}, 10**18)
    tricks = make_tricks(inbox, elsewhere)
    theirs = tmp_path / "theirs.jpg"
    theirs.write_bytes(encoded(picture(), "JPEG"))
    theirs.chmod(0o600)
    os.link(theirs, inbox / "hard-link.jpg")
    before, their_stat = state_of(elsewhere), theirs.stat()
    modes = {name: (inbox / name).lstat().st_mode for name in tricks if os.path.lexists(inbox / name)}

    summary = once(inbox, library)

    assert summary["quarantined"] == len(tricks)
    for name, says in tricks.items():
        assert re.search(says, reason_of(library, name)), name
        if name in modes:
            assert (library / QUARANTINE / name).lstat().st_mode == modes[name]
    assert not [path for path in inbox.rglob("*") if not path.is_dir()]
    assert state_of(elsewhere) == before
    after = theirs.stat()
    assert folder_of(library, "hard-link.jpg") == NO_FACE
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (their_stat.st_mode, their_stat.st_mtime_ns, 2)
    assert as_json("check", "--library", library)["findings"] == []


# every system call

STRACE = shutil.which("strace")
CHANGES = re.compile(
    r"^(?P<call>open|openat|openat2|creat|rename|renameat|renameat2|link|linkat|symlink|symlinkat|unlink|unlinkat|mkdir"
    r"|mkdirat|rmdir|chmod|fchmod|fchmodat|chown|lchown|fchown|fchownat|truncate|ftruncate|utimensat|utime|mknod|mknodat"
    r"|setxattr|lsetxattr|fsetxattr)\((?P<arguments>.*)\)\s+=\s+(?P<result>-?\d+)"
)
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
ALLOWED_ELSEWHERE = re.compile(
    r"/dev/(null|tty|shm/\S*)|/proc/self/\S*|/proc/\d+/\S*|/memfd:.*|(socket|pipe|anon_inode):.*"
)


def whole_calls(trace: str) -> Iterator[str]:
    """The calls of a trace of several threads, those that another interrupted put together."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.lstrip()
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
        elif call.startswith("<... "):
            yield begun.pop(thread, "") + call.partition("resumed>")[2]
        else:
            yield call


def changed_paths(trace: str) -> Iterator[tuple[str, str]]:
    """(call, path) of each successful call that opened for writing, or changed a name or what stands under it.

    strace -y writes a descriptor with its path: 7</library/person_A>.
    """
    for line in whole_calls(trace):
        found = CHANGES.match(line)
        if not found or int(found["result"]) < 0:
            continue
        call, arguments = found["call"], found["arguments"]
        if call.startswith("open") and not WRITING.search(arguments):
            continue
        folder = ""
        for descriptor, text in re.findall(r'(?:\d+|AT_FDCWD)<([^>]*)>|"((?:[^"\\]|\\.)*)"', arguments):
            if descriptor:
                folder = descriptor
                if call.startswith("f") and not call.endswith("at"):
                    yield call, descriptor
            elif call in ("symlink", "symlinkat") and not folder:
                continue  # what a link says is no path that anything happens to
            else:
                yield call, os.path.normpath(os.path.join(folder, text))  # noqa: PTH118


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
def test_nothing_outside_inbox_library_and_cache_is_changed_as_strace_sees_it(
    faces: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STRACE
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    elsewhere = make_elsewhere(tmp_path / "elsewhere", {"a.jpg": b"x"}, 10**18)
    make_tricks(inbox, elsewhere)
    drop(faces[:12], inbox)
    for name, case in list(corpus().items())[::12]:
        (inbox / name).write_bytes(case.data)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", os.fspath(Path("~/.cache").expanduser())))
    monkeypatch.setenv("HOME", os.fspath(home := tmp_path / "home"))
    home.mkdir()
    trace = tmp_path / "trace"
    tracer = (STRACE, "-f", "-y", "-s", "4096", "-e", "trace=file,desc", "-e", "signal=none", "-o", str(trace))
    if subprocess.run([*tracer, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")

    once(inbox, library, *tracer)

    cache = Path(os.environ["XDG_CACHE_HOME"]) / "face-organizer"
    changed = list(changed_paths(trace.read_text(errors="surrogateescape")))
    inside = [path for _, path in changed if Path(path).is_relative_to(library)]
    assert len(inside) > 50, "the trace was not understood"
    outside = [
        (call, path)
        for call, path in changed
        if not any(Path(path).is_relative_to(root) for root in (inbox, library, cache))
        and not ALLOWED_ELSEWHERE.fullmatch(path)
    ]
    assert outside == []
    assert not list(home.iterdir()), "a library of ours keeps notes"
    opened = re.findall(r'open(?:at)?\(.*"([^"]*)"', trace.read_text(errors="surrogateescape"))
    assert not [path for path in opened if str(elsewhere) in path or path in ("/etc/shadow",)]


# names

COMMANDING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def odd_names() -> list[bytes]:
    return [
        b"caf\xe9.jpg",
        b"\xff\xfe\xfd.jpg",
        b"new\nline.jpg",
        b"tab\there.jpg",
        b"return\r.jpg",
        b"-rf.jpg",
        b"--help.jpg",
        b"a..b...jpg",
        b" leading and trailing .jpg",
        b"ends in space.jpg ",
        b"ends in dot.jpg.",
        b"$(rm -rf).jpg",
        b"`reboot`;|&.jpg",
        b"%s%n%d{0}{x}.jpg",
        b"\x1b[31mred\x1b[0m.jpg",
        b"\x1b]0;title\x07.jpg",
        b"\x9b31m.jpg",
        b"back\\slash.jpg",
        b"quote'\".jpg",
        b"person_0001",
        b"person_0001.jpg",
        b"outliers",
        b"quarantine.jpg",
        b"a~2.jpg",
        b"a~1001.jpg",
        b"b.jpg.reason.txt",
        b"b.jpg",
        b"C:\\x.jpg",
        b"NUL.jpg",
        b"no suffix",
        b"A.JPG",
        b"a.jpg",
        b"x" * 251 + b".jpg",
        b"x." + b"y" * 253,
        "é".encode() * 125 + b".jpeg",
        "😀👨‍👩‍👧.jpg".encode(),
        "\u202egpj.exe".encode(),
        "\u2028.jpg".encode(),
        unicodedata.normalize("NFC", "Zoë.jpg").encode(),
        unicodedata.normalize("NFD", "Zoë.jpg").encode(),
    ]


ODD_PERSONS = {
    "../../Ann": "_.._Ann",
    "/etc/passwd": "_etc_passwd",
    "quarantine": "quarantine_",
    ".face-organizer": "face-organizer",
    "Ann\nBob\t\x1b[31m": "Ann Bob [31m",
    "\u202eAnn": "Ann",
    "é" * 300: "é" * 100,
    "-rf": "-rf",
    "Person_0777": "Person_0777_",
    "..": None,
    "\u202e": None,
    "7": None,
}
"""A name for a person -> its folder; None: refused with a sentence."""


def name_persons_oddly(library: Path) -> None:
    who = str(ask(library / STATE_FOLDER, "people")[0]["person_id"])
    for name, folder in ODD_PERSONS.items():
        if folder is None:
            with pytest.raises(RequestError, match=r"the name .* (number|letter)"):
                ask(library / STATE_FOLDER, "name", who=who, name=name)
            continue
        ask(library / STATE_FOLDER, "name", who=who, name=name)
        (person,) = [each for each in ask(library / STATE_FOLDER, "people") if str(each["person_id"]) == who]
        assert person["folder"] == folder
        wait_until(lambda made=library / folder: made.is_dir(), within_s=30)


def test_files_of_any_name_are_processed_and_every_answer_copes(
    faces: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    """A third of the names hold a face, a third no face, a third no image; and all come twice, from two folders."""
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    names = odd_names()
    dropped: Counter[bytes] = Counter()
    for twin in (b"one", b"two"):
        folder = os.fsencode(inbox) + b"/" + twin
        os.makedirs(folder)  # noqa: PTH103
        for number, name in enumerate(names):
            content = (
                faces[number % len(faces)].read_bytes() + twin + bytes([number]),
                encoded(picture(width=100 + number), "PNG") + twin,
                b"no image " + twin + name,
            )[number % 3]
            with open(folder + b"/" + name, "wb") as file:  # noqa: PTH123
                file.write(content)
            dropped[content] += 1

    summary = once(inbox, library)

    count = 2 * len(names)
    assert summary["images"] + summary["quarantined"] + summary["duplicates"] == count
    assert not [path for path in inbox.rglob("*") if not path.is_dir()]
    kept = Counter((library / path).read_bytes() for path in files_below(library))
    assert not dropped - kept
    reasons = [path for path in (library / QUARANTINE).iterdir() if b"original path" in path.read_bytes()]
    assert len(reasons) == summary["quarantined"] == 2 * len(names[2::3])
    assert as_json("check", "--library", library)["findings"] == []
    daemon = start("--inbox", inbox, "--library", library)
    daemon.wait_for("ready")
    assert as_json("people", "--library", library)
    assert as_json("status", "--library", library)["images"] == summary["images"]
    with_face = [path for path in files_below(library) if path.parts[0] not in (QUARANTINE, NO_FACE)]
    assert len(with_face) >= 2 * len(names[::3])
    for path in with_face[::8]:
        assert as_json("explain", "--library", library, library / path)["faces"]
    for command in ("status", "people", "history", "runs"):
        assert not COMMANDING.search(organizer(command, "--library", library).stdout), command
    shown = next(path for path in with_face if "\x1b" in path.name)
    assert not COMMANDING.search(organizer("explain", "--library", library, library / shown).stdout)
    name_persons_oddly(library)
    assert as_json("check", "--library", library)["findings"] == []
    assert daemon.end() == 0
    assert daemon.events("text") == []


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_many_files_of_one_name_are_all_kept(tmp_path: Path, count: int) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    for number in range(count):
        (inbox / f"{number}").mkdir(parents=True)
        (inbox / f"{number}" / "same.jpg").write_bytes(b"no image %d" % number)

    summary = once(inbox, library)

    assert summary["quarantined"] == count
    kept = list((library / QUARANTINE).glob("*.jpg"))
    assert {path.read_bytes() for path in kept} == {b"no image %d" % number for number in range(count)}
    assert len(list((library / QUARANTINE).glob("*.reason.txt"))) == count
    assert OUTLIERS not in os.listdir(library)  # noqa: PTH208
