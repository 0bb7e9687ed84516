"""Events are hints: however files arrive, and whatever events are lost, every file of the inbox is taken in once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
import pytest
from intake import NEVER_S, Start, in_quarantine, pause, ready, settings, status_of, taken_in, wait_taken_in, write_text
from process import Daemon
from support import wait_until


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
    before = write_text([inbox / "before.jpg"])
    wait_taken_in(daemon, before)  # the first walk is over
    queue_max = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    names = overflow_while_stopped(daemon, inbox, count=500, noise=queue_max + 100)

    wait_taken_in(daemon, names)
    assert daemon.events("inbox_overflow")[0]["cause"] == "the kernel's queue of events was full"
    assert sum(line["images"] for line in daemon.events("rescan_found")) == 500
    assert in_quarantine(library) == {*before, *names}
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
    assert status_of(library)["quarantined"] == 8000
    assert daemon.end() == 0


# ways to arrive


SETTLE_S, GRACE_S = 0.4, 4.0


@pytest.fixture(scope="module")
def arriving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A daemon, and the folder that holds its inbox and its library."""
    folder = tmp_path_factory.mktemp("arriving")
    daemon = Daemon(*settings(folder, rescan_s=20, settle_s=SETTLE_S, unfinished_grace_s=GRACE_S))
    try:
        daemon.wait_for("ready", within_s=90)
        wait_until(lambda: status_of(folder / "library")["inbox_state"]["state"] == "watched", 30)
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
    assert status_of(folder / "library")["problems"] == [f"{late} stays in the inbox: the file is empty"]
    late.write_bytes(faces[21].read_bytes())
    wait_taken_in(daemon, ["late.jpg"])
    assert not {"early.jpg", "late.jpg"} & in_quarantine(folder / "library")
    assert status_of(folder / "library")["problems"] == []


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
    before = status_of(folder / "library")["images"]
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
        status = status_of(folder / "library")
        return status["images"] == before + 1 and not status["pending"] and not status["in_flight"]

    wait_until(settled, 30)
    pause(3 * SETTLE_S)
    assert settled()
    assert len(list((folder / "library").glob("*/restless-*.jpg"))) == 1
    assert list((folder / "inbox").glob("restless-*.jpg")) == []


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
    assert status_of(library)["quarantined"] == 100_000
    assert list(inbox.iterdir()) == []
    assert daemon.end() == 0
