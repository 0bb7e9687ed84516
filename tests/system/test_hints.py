"""Events are hints: whatever the kernel, the watcher or the file system does, every file of the inbox is taken in once.

The real process, real inotify, real mounts. Files that are no images go to quarantine within a millisecond: where only
the way of a file through the inbox matters, they stand for images.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from time import monotonic

import psutil
import pytest
from process import COMMAND, Daemon, as_json, organizer
from support import wait_until

Start = Callable[..., Daemon]

EVENTLESS = Path(__file__).resolve().parents[1] / "eventless.py"

NEVER_S = 100_000
"""A rescan_s that leaves everything to the events."""


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


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


def overflow_while_stopped(daemon: Daemon, inbox: Path, count: int, noise: int) -> list[str]:
    """Stop the process, make more events than the kernel keeps, write so many files, and let it go on."""
    daemon.process.send_signal(signal.SIGSTOP)
    loud = [inbox / "one.part", inbox / "other.part"]
    for path in loud:
        path.touch()
    for number in range(noise):
        os.utime(loud[number % 2], ns=(number, number))  # alike events in a row would be one
    names = write_text([inbox / f"{number:05}.jpg" for number in range(count)])
    daemon.process.send_signal(signal.SIGCONT)
    return names


# lost events


def test_files_whose_events_were_lost_while_it_was_stopped_are_found_by_a_walk_at_once(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S)))
    wait_until(lambda: as_json("status", "--library", library)["inbox_state"]["state"] == "watched", 30)
    queue_max = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    names = overflow_while_stopped(daemon, inbox, count=500, noise=queue_max + 100)

    wait_taken_in(daemon, names)
    assert daemon.events("inbox_overflow")[0]["cause"] == "the kernel's queue of events was full"
    assert sum(line["images"] for line in daemon.events("rescan_found")) == 500
    assert in_quarantine(library) == set(names)
    assert daemon.end() == 0


@pytest.mark.long
def test_8000_files_written_while_it_was_stopped_are_taken_in_once_each(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    daemon = ready(start(*settings(tmp_path, rescan_s=30)))

    names = overflow_while_stopped(daemon, inbox, count=8000, noise=0)

    wait_taken_in(daemon, names, within_s=90)
    assert daemon.events("inbox_overflow") or daemon.events("rescan_found")
    assert in_quarantine(library) == set(names)
    assert as_json("status", "--library", library)["quarantined"] == 8000
    assert daemon.end() == 0


# ways to arrive


SETTLE_S, GRACE_S = 0.4, 4.0


def pause(for_s: float) -> None:
    """Between two writes of a slow writer: the time itself is what is tested."""
    Event().wait(for_s)


@pytest.fixture(scope="module")
def arriving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A daemon, and the folder that holds its inbox and its library."""
    folder = tmp_path_factory.mktemp("arriving")
    daemon = Daemon(*settings(folder, rescan_s=20, settle_s=SETTLE_S, unfinished_grace_s=GRACE_S))
    try:
        daemon.wait_for("ready", within_s=90)
        wait_until(lambda: as_json("status", "--library", folder / "library")["inbox_state"]["state"] == "watched", 30)
        yield daemon, folder
        assert daemon.end() == 0
    finally:
        daemon.end(signal.SIGKILL)


def test_what_is_renamed_or_linked_in_is_taken_in_and_temporary_names_never_are(
    arriving: tuple[Daemon, Path],
) -> None:
    daemon, folder = arriving
    inbox, outside = folder / "inbox", folder / "outside"
    (outside / "holiday").mkdir(parents=True)
    write_text([outside / "moved.jpg", outside / "linked.jpg", outside / "holiday" / "in-folder.jpg"])
    write_text([inbox / ".goutputstream-A1B2", inbox / "download.jpg.part", inbox / "first.jpg", inbox / "gone.jpg"])

    (outside / "moved.jpg").rename(inbox / "moved.jpg")
    (inbox / "linked.jpg").hardlink_to(outside / "linked.jpg")
    (outside / "holiday").rename(inbox / "holiday")
    (inbox / ".goutputstream-A1B2").rename(inbox / "edited.jpg")
    (inbox / "download.jpg.part").rename(inbox / "download.jpg")
    (inbox / "first.jpg").rename(inbox / "second.jpg")
    (inbox / "gone.jpg").rename(outside / "gone.jpg")

    names = ["moved", "linked", "in-folder", "edited", "download", "second"]
    wait_taken_in(daemon, [f"{name}.jpg" for name in names])
    assert not {"first.jpg", "gone.jpg", "download.jpg.part", ".goutputstream-A1B2"} & taken_in(daemon).keys()
    assert (outside / "gone.jpg").exists()
    assert (outside / "linked.jpg").exists()


def test_files_in_folders_that_appear_at_once_are_taken_in(arriving: tuple[Daemon, Path]) -> None:
    daemon, folder = arriving
    names = []
    for number in range(200):
        nested = folder / "inbox" / f"{number}" / "a" / "b"
        nested.mkdir(parents=True)
        names += write_text([nested / f"nested-{number}.jpg"])

    wait_taken_in(daemon, names)


def test_a_slow_writer_is_waited_for_also_beyond_the_grace_as_long_as_it_goes_on(
    arriving: tuple[Daemon, Path], faces: list[Path]
) -> None:
    daemon, folder = arriving
    gaps_s = {"quick.jpg": SETTLE_S / 4, "scanned.jpg": SETTLE_S, "slow.jpg": 2 * SETTLE_S, "slower.jpg": GRACE_S / 2.7}
    contents = dict(zip(gaps_s, (path.read_bytes() for path in faces), strict=False))
    done = dict.fromkeys(gaps_s, 0)
    began = monotonic()
    while min(done.values()) < 4:
        for name, gap_s in gaps_s.items():
            if done[name] < 4 and monotonic() - began >= done[name] * gap_s:
                part = len(contents[name]) // 4 + 1
                with (folder / "inbox" / name).open("ab") as file:
                    file.write(contents[name][done[name] * part : (done[name] + 1) * part])
                done[name] += 1
        pause(0.05)

    assert monotonic() - began > GRACE_S
    wait_taken_in(daemon, list(gaps_s))
    assert {Path(line["image"]).name for line in daemon.events("image_enrolled")} >= set(gaps_s)


def test_an_empty_file_stays_until_it_is_filled_however_long_that_takes(
    arriving: tuple[Daemon, Path], faces: list[Path]
) -> None:
    daemon, folder = arriving
    early, late = folder / "inbox" / "early.jpg", folder / "inbox" / "late.jpg"
    early.touch()
    late.touch()
    pause(3 * SETTLE_S)

    early.write_bytes(faces[20].read_bytes())

    wait_taken_in(daemon, ["early.jpg"])
    (said,) = daemon.wait_for("image_put_off")  # once the grace is over
    assert (said["image"], said["cause"]) == (str(late), "the file is empty")
    assert as_json("status", "--library", folder / "library")["problems"] == [
        f"{late} stays in the inbox: the file is empty"
    ]
    late.write_bytes(faces[21].read_bytes())
    wait_taken_in(daemon, ["late.jpg"])
    assert not {"early.jpg", "late.jpg"} & in_quarantine(folder / "library")
    assert as_json("status", "--library", folder / "library")["problems"] == []


def test_dates_far_in_the_past_and_in_the_future_are_as_good_as_any(arriving: tuple[Daemon, Path]) -> None:
    daemon, folder = arriving
    dates_s = {"1969.jpg": -1_000, "1970.jpg": 0, "2100.jpg": 4_102_444_800}
    for name, date_s in dates_s.items():
        (path := folder / "outside" / name).parent.mkdir(exist_ok=True)
        write_text([path])
        os.utime(path, (date_s, date_s))
        path.rename(folder / "inbox" / name)

    wait_taken_in(daemon, list(dates_s))


def test_touches_and_renames_while_it_is_being_looked_at_leave_one_image_in_one_place(
    arriving: tuple[Daemon, Path], faces: list[Path]
) -> None:
    _, folder = arriving
    before = as_json("status", "--library", folder / "library")["images"]
    path = folder / "inbox" / "restless-0.jpg"
    path.write_bytes(faces[30].read_bytes())
    for number in range(1, 11):
        pause(0.15)
        try:
            os.utime(path)
            if number % 2:
                path = path.rename(path.with_name(f"restless-{number}.jpg"))
        except FileNotFoundError:
            break  # it has been taken

    def settled() -> bool:
        status = as_json("status", "--library", folder / "library")
        return status["images"] == before + 1 and not status["pending"] and not status["in_flight"]

    wait_until(settled, 30)
    pause(3 * SETTLE_S)
    assert settled()
    assert len(list((folder / "library").glob("*/restless-*.jpg"))) == 1
    assert list((folder / "inbox").glob("restless-*.jpg")) == []


# an inbox that goes and comes


def state_of(library: Path) -> tuple[str, str | None]:
    told = as_json("status", "--library", library)["inbox_state"]
    return told["state"], told["reason"]


def test_an_inbox_that_is_removed_and_made_again_is_lost_and_back(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    daemon = ready(start(*settings(tmp_path, rescan_s=NEVER_S)))
    write_text([inbox / "before.jpg"])
    daemon.wait_for("image_placed")

    for number in range(2):
        shutil.rmtree(inbox)
        lost = daemon.wait_for("inbox_lost", count=number + 1)[-1]
        assert (state_of(library), lost["cause"]) == (("lost", "it is gone"), "it is gone")
        inbox.mkdir()
        write_text([inbox / f"early-{number}.jpg"])
        daemon.wait_for("inbox_back", count=number + 1)
        wait_until(lambda: state_of(library) == ("watched", None), 30)
        write_text([inbox / f"late-{number}.jpg"])
        wait_taken_in(daemon, [f"early-{number}.jpg", f"late-{number}.jpg"])

    assert in_quarantine(library) == {"before.jpg", "early-0.jpg", "late-0.jpg", "early-1.jpg", "late-1.jpg"}
    assert daemon.end() == 0


def own_mounts() -> list[str]:
    """How to start a command with mounts of its own; skips where that is forbidden."""
    command = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    skip_unless_it_works([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], "mounts of one's own are forbidden here")
    return command


def skip_unless_it_works(command: list[str], reason: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"{reason}: {error}")
    if done.returncode != 0:
        pytest.skip(f"{reason}: {done.stderr.strip()}")


def beside(daemon: Daemon, *command: str | Path) -> None:
    """Run a command among the daemon's own mounts."""
    user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
    enter = ["nsenter", "--target", str(daemon.process.pid), "--mount", *user]
    done = subprocess.run([*enter, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


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


def test_with_too_few_watches_the_inbox_is_polled_and_everything_is_taken_in(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    limit = "/proc/sys/user/max_inotify_watches"
    namespace = ["unshare", "--user", "--map-root-user", "sh", "-ec", f'echo 5 > {limit}; exec "$@"', "sh"]
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
    whole = getattr(kind, name)
    def broken(self, event, *arguments, **options):
        if f"break-{name}" in str(event):
            raise RuntimeError("made to fail")
        return whole(self, event, *arguments, **options)
    setattr(kind, name, broken)

breaking(Hints, "dispatch")
breaking(InotifyEmitter, "build_and_queue_event")
breaking(InotifyFD, "handle_event")
main(prog_name="face-organizer")
"""


@pytest.mark.parametrize("where", ["dispatch", "build_and_queue_event", "handle_event"])
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
    daemon = ready(start(*settings(tmp_path, rescan_s=2, unfinished_grace_s=0.5), command=command))

    (said,) = daemon.wait_for("image_put_off")
    daemon.wait_for("inbox_folder_unreadable")
    wait_taken_in(daemon, ["open.jpg"])
    pause(4)  # some tries
    assert "permission denied: its mode is ----------" in said["cause"]
    problems = as_json("status", "--library", library)["problems"]
    assert [problem.split(":")[0] for problem in problems] == [
        f"{closed} stays in the inbox",
        f"cannot look into {folder}",
    ]
    assert in_quarantine(library) == {"open.jpg"}

    closed.chmod(0o644)
    folder.chmod(0o755)
    wait_taken_in(daemon, ["open.jpg", "closed.jpg", "inside.jpg"])
    assert as_json("status", "--library", library)["problems"] == []
    assert len(daemon.events("image_put_off")) == len(daemon.events("inbox_folder_unreadable")) == 1
    assert daemon.end() == 0


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
    daemon = ready(start(*settings(tmp_path, rescan_s=1), command=command))

    daemon.wait_for("placement_failed")
    pause(6)  # some walks, and one more try
    (problem,) = as_json("status", "--library", library)["problems"]
    assert f"it is in outliers/{source.name}, but {source} cannot be removed from the inbox" in problem
    assert [path.read_bytes() for path in (library / "outliers").iterdir()] == [content]
    assert taken_in(daemon) == {source.name: 1}
    assert len(daemon.events("placement_failed")) == 1

    os.chown(inbox, os.getuid(), os.getgid())
    wait_until(lambda: not source.exists(), 30)
    wait_until(lambda: as_json("status", "--library", library)["problems"] == [], 30)
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


# a huge inbox


@pytest.mark.long
@pytest.mark.timeout(900)
def test_of_100000_files_the_first_is_placed_at_once_and_memory_stays_bounded(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    for number in range(100_000):
        (inbox / f"{number:06}.jpg").write_text(f"{number}")
    began = monotonic()
    daemon = ready(start(*settings(tmp_path, rescan_s=30)))
    ready_s = monotonic() - began

    daemon.wait_for("image_placed", within_s=30)
    first_s = monotonic() - began
    peaks: list[int] = []

    def all_placed() -> bool:
        peaks.append(psutil.Process(daemon.process.pid).memory_info().rss)
        return len(daemon.events("image_placed")) >= 100_000

    wait_until(all_placed, 800)
    assert (first_s - ready_s < 10, max(peaks) < 1_000_000_000) == (True, True), (ready_s, first_s, max(peaks))
    assert as_json("status", "--library", library)["quarantined"] == 100_000
    assert list(inbox.iterdir()) == []
    assert daemon.end() == 0
