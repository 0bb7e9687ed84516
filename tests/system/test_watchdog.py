"""The watchdog of a real systemd: a daemon with a hung thread is started again, one that is busy for long is not.

The threads are hung from outside (tests/hang.py); the program has no switch for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from lab import CONFIG, HOME, LIBRARY, START_WITHIN_S, TRIGGER, UNIT, Lab
from steps import found
from support import wait_until

HUNG_AFTER_S = 2.0
WATCHDOG_S = 4.0


def test_every_function_that_a_test_lets_hang_exists() -> None:
    sources = [path.read_text() for path in Path(__file__).parent.glob("test_*.py")]
    names = {name for source in sources for name in re.findall(r'"(face_organizer[\w.]*:[\w.]+)"', source)}

    assert len(names) > 10
    assert all(callable(found(name)[2]) for name in names)


@contextmanager
def hanging(lab: Lab, name: str, hung_after_s: float = HUNG_AFTER_S) -> Iterator[None]:
    """The service, ready, with a function that will hang once the trigger is there."""
    lab.write(CONFIG, f"[flow]\nhung_after_s = {hung_after_s}\n")
    lab.stop()
    lab.drop_in_hang(name, watchdog_s=WATCHDOG_S)
    try:
        lab.start()
        yield
    finally:
        lab.stop()
        lab.drop_out()
        lab.configure("")


def pull(lab: Lab, seconds: str = "") -> None:
    lab.shell(f"printf '{seconds}' >{TRIGGER}.new && chown face-organizer {TRIGGER}.new && mv {TRIGGER}.new {TRIGGER}")


def nothing(lab: Lab, images: Path) -> None:
    pass


def drop(lab: Lab, images: Path) -> None:
    lab.drop_images(images)


def hangup(lab: Lab, images: Path) -> None:
    lab.run("systemctl", "reload", UNIT)


def ask(lab: Lab, images: Path) -> None:
    """Nobody waits for the answer."""
    lab.shell(f"setsid {HOME}/.venv/bin/face-organizer status --library {LIBRARY} </dev/null >/dev/null 2>&1 &")


THREADS = [
    pytest.param("decode-0", "face_organizer.pipeline.read:Decode.__call__", drop, id="decode"),
    pytest.param("see-", "face_organizer.pipeline.see:See.__call__", drop, id="see"),
    pytest.param("sink", "face_organizer.pipeline.gallery:Gallery.handle", hangup, id="sink"),
    pytest.param("place", "face_organizer.pipeline.place:Placer.place_all", nothing, id="place"),
    pytest.param("ingest", "face_organizer.adapters.inbox:FolderInbox.check", nothing, id="ingest"),
    pytest.param("recluster", "face_organizer.pipeline.keep_index:IndexKeeper.tend", nothing, id="recluster"),
    pytest.param("control", "face_organizer.adapters.control:_Server.service_actions", nothing, id="control"),
    pytest.param("call status", "face_organizer.app.status:Status.answer", ask, id="call"),
]


def restarted_by_the_watchdog(lab: Lab, act: Callable[[Lab, Path], None], images: Path) -> None:
    pid, kills = lab.show("MainPID"), killed(lab)
    pull(lab)
    act(lab, images)
    wait_until(lambda: killed(lab) > kills, within_s=120)
    wait_until(lambda: lab.show("ActiveState") == "active", within_s=START_WITHIN_S)
    assert lab.show("MainPID") not in {"0", pid}
    assert int(lab.show("NRestarts")) >= 1


def killed(lab: Lab) -> int:
    return lab.run("journalctl", "-u", UNIT, "-o", "cat").count("Watchdog timeout")


def test_a_hung_thread_gets_the_daemon_started_again(lab: Lab, images: Path) -> None:
    hung = len(lab.events("thread_hung"))
    with hanging(lab, "face_organizer.pipeline.gallery:Gallery.handle"):
        restarted_by_the_watchdog(lab, hangup, images)

        told = lab.events("thread_hung")[hung:]
        assert [entry["THREAD"] for entry in told] == ["sink"]
        assert "in hanging" in told[0]["STACK"]
        assert 'File "' in lab.run("journalctl", "-u", UNIT, "-o", "cat")  # what Python left when it was killed


@pytest.mark.long
@pytest.mark.parametrize(("thread", "name", "act"), THREADS)
def test_whichever_thread_hangs_the_daemon_is_started_again(
    lab: Lab, images: Path, thread: str, name: str, act: Callable[[Lab, Path], None]
) -> None:
    hung = len(lab.events("thread_hung"))
    patient = thread in ("recluster", "call status")  # has twelve times as long
    with hanging(lab, name, HUNG_AFTER_S / 8 if patient else HUNG_AFTER_S):
        restarted_by_the_watchdog(lab, act, images)

        assert any(entry["THREAD"].startswith(thread) for entry in lab.events("thread_hung")[hung:])


@pytest.mark.long
def test_a_hung_main_loop_gets_the_daemon_started_again(lab: Lab, images: Path) -> None:
    with hanging(lab, "face_organizer.app.status:Status.line"):
        restarted_by_the_watchdog(lab, nothing, images)


def test_a_reclustering_that_takes_three_times_the_watchdogs_period_is_let_live(lab: Lab, images: Path) -> None:
    before, kills, hung = len(lab.events("recluster_finished")), killed(lab), len(lab.events("thread_hung"))
    with hanging(lab, "face_organizer.pipeline.recluster:reconciled"):
        pid = lab.show("MainPID")
        pull(lab, str(3 * WATCHDOG_S))
        hangup(lab, images)

        wait_until(lambda: lab.show("StatusText").startswith("re-clustering"), within_s=30)
        wait_until(lambda: len(lab.events("recluster_finished")) > before, within_s=60)
        assert float(lab.events("recluster_finished")[-1]["SECONDS"]) >= 3 * WATCHDOG_S
        assert (lab.show("MainPID"), killed(lab)) == (pid, kills)
        assert lab.events("thread_hung")[hung:] == []


@contextmanager
def starting(lab: Lab, hung_after_s: float, seconds: str) -> Iterator[None]:
    """The service stopped, its next start to hang for so long, and systemd impatient."""
    impatient = f"/run/systemd/system/{UNIT}.d/time.conf"
    with hanging(lab, "face_organizer.app.house:load_roster", hung_after_s):
        lab.run("systemctl", "stop", UNIT)
        lab.write(impatient, "[Service]\nTimeoutStartSec=5\nTimeoutStopSec=5\n")
        lab.run("systemctl", "daemon-reload")
        pull(lab, seconds)
        try:
            yield
        finally:
            lab.run("rm", impatient)


@pytest.mark.long
def test_a_start_that_takes_longer_than_systemd_waits_is_let_live_while_it_gets_on(lab: Lab, images: Path) -> None:
    with starting(lab, hung_after_s=60.0, seconds="15"):
        lab.start()

        assert (lab.show("ActiveState"), lab.show("NRestarts")) == ("active", "0")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_start_that_hangs_is_ended(lab: Lab, images: Path) -> None:
    hung = len(lab.events("thread_hung"))
    with starting(lab, hung_after_s=1.0, seconds=""):
        assert lab.control("exec", "systemctl", "start", UNIT).returncode != 0

        assert [entry["THREAD"] for entry in lab.events("thread_hung")[hung:]] == ["main"]


@pytest.mark.long
def test_a_stop_waits_for_a_batch_that_takes_half_a_minute_and_the_watchdog_lets_it(lab: Lab, images: Path) -> None:
    kills = killed(lab)
    with hanging(lab, "face_organizer.pipeline.see:See.__call__", hung_after_s=60.0):
        pull(lab, "30")
        lab.drop_images(images)
        wait_until(lambda: lab.status()["queues"]["see"] > 0, within_s=60)

        begun = monotonic()
        lab.run("systemctl", "stop", UNIT)

        took_s = monotonic() - begun
        print(f"stopped after {took_s:.1f} s")  # noqa: T201
        assert took_s < 45  # of TimeoutStopSec=60
        assert (lab.show("Result"), killed(lab)) == ("success", kills)
        assert lab.left_in_inbox()
