"""An inbox that goes away, watchers that fail, files that may not be read, no events at all: nothing is lost.

The real process, real inotify, real mounts, real refusals of the kernel.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from intake import (
    NEVER_S,
    Start,
    in_quarantine,
    pause,
    ready,
    settings,
    state_of,
    status_of,
    taken_in,
    wait_taken_in,
    write_text,
)
from mounts import beside, own_mounts, skip_unless_it_works
from process import COMMAND, Daemon, as_json, organizer
from support import wait_until

EVENTLESS = Path(__file__).resolve().parents[1] / "eventless.py"


# an inbox that goes and comes


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What listens to sd_notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0face-organizer-{os.getpid()}")
        listening.settimeout(40)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@face-organizer-{os.getpid()}")
        yield listening


def test_an_inbox_that_is_removed_and_made_again_is_lost_and_back(
    tmp_path: Path, inbox: Path, library: Path, start: Start, systemd: socket.socket
) -> None:
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S)))
    write_text([inbox / "before.jpg"])
    daemon.wait_for("image_placed")

    shutil.rmtree(inbox)
    assert daemon.wait_for("inbox_lost")[0]["cause"] == "it is gone"
    assert state_of(library) == ("lost", "it is gone")
    wait_until(lambda: systemd.recv(4096).startswith(f"STATUS=waiting for {inbox} (it is gone): ".encode()), 40)

    inbox.mkdir()
    names = write_text([inbox / "early.jpg"])
    daemon.wait_for("inbox_back")
    wait_until(lambda: state_of(library) == ("watched", None), 30)
    names += write_text([inbox / "late.jpg"])
    wait_taken_in(daemon, names)
    assert in_quarantine(library) == {"before.jpg", *names}
    assert daemon.end() == 0


def write_beside(daemon: Daemon, path: Path) -> None:
    beside(daemon, "sh", "-c", f"echo this is no image but {path.name} > {path}")


def test_a_file_system_that_is_taken_out_is_waited_for_and_another_one_is_taken_in(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    disk, other = tmp_path / "disk", tmp_path / "other"
    mount = f"mkdir {disk} {other}; mount -t tmpfs tmpfs {disk}; mount -t tmpfs tmpfs {other}; mount -B {disk} {inbox}"
    shell = [*own_mounts(), "sh", "-ec", f'{mount}; exec "$@"', "sh"]
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S), command=[*shell, *COMMAND]))
    write_beside(daemon, inbox / "before.jpg")
    wait_taken_in(daemon, ["before.jpg"])

    beside(daemon, "umount", inbox)
    assert daemon.wait_for("inbox_lost")[0]["cause"] == "its file system is not mounted"
    write_text([inbox / "below.jpg"])  # in the folder that the file system hides
    write_beside(daemon, disk / "meanwhile.jpg")
    assert state_of(library) == ("lost", "its file system is not mounted")
    assert not daemon.events("inbox_back")

    beside(daemon, "mount", "-B", disk, inbox)
    daemon.wait_for("inbox_back")
    write_beside(daemon, inbox / "after.jpg")
    wait_taken_in(daemon, ["meanwhile.jpg", "after.jpg"])

    write_beside(daemon, other / "another.jpg")
    beside(daemon, "mount", "-B", other, inbox)
    daemon.wait_for("inbox_back", count=2)
    assert daemon.events("inbox_lost")[1]["cause"] == "another folder has taken its place"
    wait_taken_in(daemon, ["another.jpg"])
    assert daemon.end() == 0
    assert (inbox / "below.jpg").exists()
    assert in_quarantine(library) == {"before.jpg", "meanwhile.jpg", "after.jpg", "another.jpg"}


# a watcher that fails


@pytest.mark.parametrize(("limited", "limit"), [("watches", 5), pytest.param("instances", 0, marks=pytest.mark.long)])
def test_with_too_little_of_inotify_the_inbox_is_polled_and_everything_is_taken_in(
    tmp_path: Path, inbox: Path, library: Path, start: Start, limited: str, limit: int
) -> None:
    limiting = f'echo {limit} > /proc/sys/user/max_inotify_{limited}; exec "$@"'
    namespace = ["unshare", "--user", "--map-root-user", "sh", "-ec", limiting, "sh"]
    skip_unless_it_works([*namespace, "true"], "user namespaces are forbidden here")
    before = [inbox / f"before-{number}" for number in range(10)]
    for folder in before:
        folder.mkdir()
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S, poll_s=0.5), command=[*namespace, *COMMAND]))
    (said,) = daemon.wait_for("inbox_polling")
    assert "max_user_watches" in said["reason"]

    names = write_text([folder / f"{folder.name}.jpg" for folder in before])
    for number in range(20):
        (inbox / f"later-{number}").mkdir()
        names += write_text([inbox / f"later-{number}" / f"{number}.jpg"])

    wait_taken_in(daemon, names)
    assert state_of(library) == ("polling", said["reason"])
    assert len(daemon.events("inbox_polling")) == 1
    assert daemon.end() == 0


BREAKING = """
import sys
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD
from face_organizer.adapters.watching import Hints
from face_organizer.cli import main

def breaking(kind, name):
    whole, failed = getattr(kind, name), []
    def broken(self, event, *arguments, **options):
        if f"break-{name}" in str(event) and not failed:
            failed.append(name)  # once: what is written of it would come in the midst of the log's later lines
            raise RuntimeError("made to fail")
        return whole(self, event, *arguments, **options)
    setattr(kind, name, broken)

breaking(Hints, "dispatch")
breaking(InotifyEmitter, "build_and_queue_event")
breaking(InotifyFD, "handle_event")
main(prog_name="face-organizer")
"""


@pytest.mark.parametrize(
    "where",
    ["dispatch", *(pytest.param(name, marks=pytest.mark.long) for name in ("build_and_queue_event", "handle_event"))],
)
def test_an_exception_in_any_thread_of_the_watcher_is_told_and_the_thread_replaced(
    tmp_path: Path, inbox: Path, library: Path, start: Start, where: str
) -> None:
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S), command=[sys.executable, "-c", BREAKING]))
    wait_until(lambda: state_of(library)[0] == "watched", 30)

    names = write_text([inbox / f"break-{where}.jpg", inbox / "at-once.jpg"])
    daemon.wait_for("inbox_watcher_restarted")
    names += write_text([inbox / "afterwards.jpg"])

    wait_taken_in(daemon, names)
    assert daemon.end() == 0


# what may not be read or removed


def without_root() -> list[str]:
    """How to start a command as the owner of our files but without root's power over all files."""
    if os.getuid() != 0:
        return []
    command = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    skip_unless_it_works([*command, sys.executable, "-c", ""], "root's power cannot be given up here")
    return command


def test_what_may_not_be_read_stays_in_the_inbox_until_it_may(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    closed, folder = inbox / "closed.jpg", inbox / "folder"
    folder.mkdir()
    write_text([closed, folder / "inside.jpg", inbox / "open.jpg"])
    closed.chmod(0)
    folder.chmod(0)
    command = [*without_root(), *COMMAND]
    daemon = ready(start(*settings(tmp_path, rescan_s=1, unfinished_grace_s=0.5), command=command))

    (said,) = daemon.wait_for("image_put_off")
    daemon.wait_for("inbox_folder_unreadable")
    wait_taken_in(daemon, ["open.jpg"])
    pause(1.5)  # another try, another walk
    assert "permission denied: its mode is ----------" in said["cause"]
    problems = status_of(library)["problems"]
    assert [problem.split(":")[0] for problem in problems] == [
        f"{closed} stays in the inbox",
        f"cannot look into {folder}",
    ]
    assert in_quarantine(library) == {"open.jpg"}

    closed.chmod(0o644)
    folder.chmod(0o755)
    wait_taken_in(daemon, ["open.jpg", "closed.jpg", "inside.jpg"])
    assert status_of(library)["problems"] == []
    assert len(daemon.events("image_put_off")) == len(daemon.events("inbox_folder_unreadable")) == 1
    assert daemon.end() == 0


def test_once_leaves_what_may_not_be_read_in_the_inbox_and_fails(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    write_text([inbox / "closed.jpg", inbox / "open.jpg"])
    (inbox / "closed.jpg").chmod(0)

    daemon = start("--once", *settings(tmp_path), command=[*without_root(), *COMMAND])

    wait_until(lambda: daemon.process.poll() is not None, 90)
    assert daemon.end() == 1
    (said,) = daemon.events("not_placed")
    assert "closed.jpg stays in the inbox: permission denied" in said["problem"]
    assert in_quarantine(library) == {"open.jpg"}
    assert [path.name for path in inbox.iterdir()] == ["closed.jpg"]


def test_an_image_that_may_not_be_removed_is_copied_once_and_removed_when_it_may(
    tmp_path: Path, inbox: Path, library: Path, start: Start, faces: list[Path]
) -> None:
    if os.getuid() != 0:
        pytest.skip("giving files to somebody else needs root")
    stranger, content = 65534, faces[0].read_bytes()
    source = inbox / faces[0].name
    source.write_bytes(content)
    inbox.chmod(0o1777)  # as /tmp is
    for path in (source, inbox):
        os.chown(path, stranger, stranger)
    command = [*without_root(), *COMMAND]
    daemon = ready(start(*settings(tmp_path, rescan_s=0.3), command=command))

    daemon.wait_for("placement_failed")
    pause(1.5)  # some walks
    (problem,) = status_of(library)["problems"]
    assert f"it is in outliers/{source.name}, but {source} cannot be removed from the inbox" in problem
    assert [path.read_bytes() for path in (library / "outliers").iterdir()] == [content]
    assert taken_in(daemon) == {source.name: 1}
    assert len(daemon.events("placement_failed")) == 1

    os.chown(inbox, os.getuid(), os.getgid())
    wait_until(lambda: not source.exists(), 30)
    wait_until(lambda: status_of(library)["problems"] == [], 30)
    assert [path.read_bytes() for path in (library / "outliers").iterdir()] == [content]
    assert as_json("check", "--library", library)["findings"] == []
    assert daemon.end() == 0


# where nobody tells of changes


def test_on_a_file_system_without_events_the_inbox_is_polled_and_everything_is_taken_in(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    mounting = [*own_mounts(), sys.executable, str(EVENTLESS), str(elsewhere), str(inbox)]
    skip_unless_it_works([*mounting, "true"], "FUSE cannot be had here")
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S, poll_s=1), command=[*mounting, *COMMAND]))
    assert daemon.wait_for("inbox_polling")[0]["reason"] == "fuse does not tell of changes"
    assert state_of(library) == ("polling", "fuse does not tell of changes")

    names = write_text([elsewhere / f"{number}.jpg" for number in range(20)])  # as another computer would
    names += write_text([elsewhere / "sub" / f"sub-{number}.jpg" for number in range(20)])

    wait_taken_in(daemon, names)
    assert in_quarantine(library) == set(names)
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []
    told = organizer("status", "--library", library).stdout
    assert "state polling, reason fuse does not tell of changes" in told
    assert daemon.end() == 0
