"""Settling and walking, with a clock of our own and an inbox made of a dict."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from threading import Event

from support import Notes

from face_organizer.pipeline.ingest import Ingest, Patience
from face_organizer.types import ImageRef, InboxState, Signature

POLL_S = 2.0


class ManualClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class DictInbox:
    """Files by path; hints are given by the test. Stops the service after so many turns of its loop."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.walk_takes_s, self.file_takes_s = clock, 0.0, 0.0
        self.files: dict[Path, Signature] = {}
        self.hinted: list[Path] = []
        self.here = True
        self.pruned = 0
        self.rescan = False
        self.state = InboxState("watched")
        self.turns_left = 0
        self.stop = Impatient()

    def hints(self, within_s: float) -> list[Path]:
        hinted, self.hinted = self.hinted, []
        return hinted

    def walk(self) -> Iterator[Path]:
        for path in sorted(self.files):
            self.clock.now += self.file_takes_s
            yield path
        self.clock.now += self.walk_takes_s

    def signature(self, path: Path) -> Signature | None:
        return self.files.get(path)

    def check(self) -> bool:
        self.turns_left -= 1
        if self.turns_left < 0:
            self.stop.set()
            return False
        return self.here

    def prune(self, older_than_s: float) -> int:
        self.pruned += 1
        return 0


class Impatient(Event):
    """A stop event that is never waited for."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Bench:
    def __init__(self, settle_s: float = 0.5, rescan_s: float = 30.0, grace_s: float = 10.0) -> None:
        self.clock, self.log = ManualClock(), Notes()
        self.inbox = DictInbox(self.clock)
        self.submitted: list[ImageRef] = []
        self.known: set[tuple[Path, Signature]] = set()
        self.ingest = Ingest(
            self.inbox,
            lambda path, signature: (path, signature) in self.known,
            self.submitted.append,
            self.log,
            self.clock,
            Patience(settle_s, rescan_s, POLL_S, grace_s, 60.0),
        )

    def write(self, name: str, size: int = 1, mtime: int = 1) -> Path:
        path = Path("/in") / name
        self.inbox.files[path] = Signature(size, mtime, 1)
        return path

    def turn(self, after_s: float = 0.0, turns: int = 1) -> list[str]:
        """Let time pass and the loop turn; returns the names submitted so far."""
        self.clock.now += after_s
        self.inbox.turns_left, self.inbox.stop = turns, Impatient()
        self.ingest.run(self.inbox.stop)
        return [ref.path.name for ref in self.submitted]


def test_what_lay_there_before_the_start_is_taken_once_it_has_settled() -> None:
    bench = Bench()
    bench.write("a.jpg")

    assert bench.turn() == []
    assert bench.turn(0.4) == []
    assert bench.turn(0.2) == ["a.jpg"]
    assert bench.turn(60.0, turns=3) == ["a.jpg"]


def test_a_file_that_still_grows_is_waited_for() -> None:
    bench = Bench()
    for size in (1, 2, 3):
        bench.write("a.jpg", size)
        assert bench.turn(0.4) == []

    assert bench.turn(0.4) == []
    assert bench.turn(0.2) == ["a.jpg"]
    assert bench.submitted[0].signature.size_bytes == 3


def test_a_hint_of_a_change_starts_the_wait_at_once_not_at_its_end() -> None:
    bench = Bench()
    path = bench.write("a.jpg", size=0)
    bench.turn()

    bench.write("a.jpg", size=9)
    bench.inbox.hinted = [path]
    bench.turn(0.1)

    assert bench.turn(0.4) == []
    assert bench.turn(0.11) == ["a.jpg"]


def test_a_hint_is_taken_without_waiting_for_the_next_walk() -> None:
    bench = Bench()
    bench.turn()
    path = bench.write("late.jpg")

    bench.inbox.hinted = [path] * 10
    bench.turn(0.1)

    assert bench.turn(0.6) == ["late.jpg"]


def test_a_file_without_any_event_is_found_by_the_next_walk() -> None:
    bench = Bench(rescan_s=30.0)
    bench.turn()
    bench.write("silent.jpg")

    assert bench.turn(20.0, turns=2) == []
    bench.turn(11.0)
    assert bench.turn(0.6) == ["silent.jpg"]


def test_lost_hints_bring_the_next_walk_forward() -> None:
    bench = Bench(rescan_s=1000.0)
    bench.turn()
    bench.write("missed.jpg")

    bench.inbox.rescan = True
    bench.turn()

    assert bench.turn(0.6) == ["missed.jpg"]


def test_what_truth_knows_is_not_taken_again_unless_it_changed() -> None:
    bench = Bench()
    path = bench.write("kept.jpg")
    bench.known.add((path, Signature(1, 1, 1)))
    bench.turn()
    assert bench.turn(0.6) == []

    bench.write("kept.jpg", size=2)
    bench.turn(31.0)

    assert bench.turn(0.6) == ["kept.jpg"]


def test_a_file_under_way_is_not_taken_twice_and_may_come_again_afterwards() -> None:
    bench = Bench()
    path = bench.write("a.jpg")
    bench.turn()
    bench.turn(0.6)

    bench.inbox.hinted = [path]
    assert bench.turn(1.0, turns=3) == ["a.jpg"]

    bench.ingest.done(bench.submitted)
    bench.inbox.hinted = [path]
    bench.turn()
    assert bench.turn(0.6) == ["a.jpg", "a.jpg"]


def test_a_file_that_vanishes_while_settling_is_forgotten() -> None:
    bench = Bench()
    path = bench.write("a.jpg")
    bench.turn()
    del bench.inbox.files[path]

    assert bench.turn(1.0) == []
    assert bench.ingest.idle()


def test_an_unfinished_file_gets_another_look_until_its_time_is_up() -> None:
    bench = Bench(grace_s=10.0)
    bench.write("half.jpg")
    bench.turn()
    bench.turn(0.6)
    (ref,) = bench.submitted

    assert bench.ingest.postpone(ref, "cut short")
    bench.ingest.done([ref])
    assert bench.turn(0.5) == ["half.jpg"]
    assert bench.turn(0.7) == ["half.jpg", "half.jpg"]
    bench.clock.now += 10.0
    assert not bench.ingest.postpone(ref, "cut short")


def test_an_empty_file_that_is_filled_later_is_taken_then() -> None:
    bench = Bench()
    bench.write("a.jpg", size=0)
    bench.turn()
    bench.turn(0.6)
    assert bench.ingest.postpone(bench.submitted[0], "the file is empty")
    bench.ingest.done(bench.submitted)

    bench.write("a.jpg", size=5, mtime=9)
    bench.turn(1.1)
    bench.turn(0.6)

    assert [ref.signature.size_bytes for ref in bench.submitted] == [0, 5]


def test_the_grace_of_an_unfinished_file_begins_anew_with_every_change() -> None:
    bench = Bench(grace_s=10.0)
    for size in range(1, 6):
        bench.write("slow.jpg", size)
        bench.turn(4.0, turns=2)
        bench.turn(1.0)
        assert bench.ingest.postpone(bench.submitted[-1], "cut short"), size
        bench.ingest.done(bench.submitted)

    bench.turn(10.0)

    assert [ref.signature.size_bytes for ref in bench.submitted] == [1, 2, 3, 4, 5, 5]
    assert not bench.ingest.postpone(bench.submitted[-1], "cut short")


def test_an_empty_file_has_no_verdict_and_is_taken_however_late_it_is_filled() -> None:
    bench = Bench(grace_s=10.0)
    path = bench.write("a.jpg", size=0)
    for _ in range(2):
        bench.turn()
        bench.turn(10.6)
        assert bench.ingest.postpone(bench.submitted[-1], "the file is empty")
        bench.ingest.done(bench.submitted)

    assert bench.turn(100_000.0, turns=3) == ["a.jpg", "a.jpg"]
    assert bench.log.lines == [("image_put_off", {"image": str(path), "cause": "the file is empty"})]
    assert bench.ingest.problems() == [f"{path} stays in the inbox: the file is empty"]
    assert bench.ingest.idle()

    bench.write("a.jpg", size=5, mtime=9)
    bench.turn(31.0)
    assert bench.turn(0.6) == ["a.jpg"] * 3
    bench.ingest.done(bench.submitted)
    assert bench.ingest.problems() == []


def test_without_a_grace_an_empty_file_has_its_verdict_at_once() -> None:
    bench = Bench(grace_s=0.0)
    bench.write("a.jpg", size=0)
    bench.turn()
    bench.turn(0.6)

    assert not bench.ingest.postpone(bench.submitted[0], "the file is empty")


def refuse(bench: Bench) -> None:
    """What the decode stage does with a file that may not be read."""
    bench.ingest.put_off(bench.submitted[-1], "permission denied")
    bench.ingest.done(bench.submitted)


def test_a_file_that_cannot_be_read_is_tried_again_after_ever_longer_times_and_told_once() -> None:
    bench = Bench(settle_s=0.0, rescan_s=1.0)
    path = bench.write("a.jpg")
    tried_at_s: list[float] = []
    while bench.clock.now < 400:
        bench.turn(0.25, turns=1)
        if len(bench.submitted) > len(tried_at_s):
            tried_at_s.append(bench.clock.now)
            refuse(bench)

    gaps_s = [later - earlier for earlier, later in itertools.pairwise(tried_at_s)]
    assert gaps_s[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert bench.log.lines == [("image_put_off", {"image": str(path), "cause": "permission denied"})]


def test_a_hint_brings_the_next_try_of_a_file_that_could_not_be_read_forward() -> None:
    bench = Bench()
    path = bench.write("a.jpg")
    for _ in range(6):
        bench.turn(60.0)
        bench.turn(0.6)
        refuse(bench)
    before = len(bench.submitted)

    bench.inbox.hinted = [path]
    bench.turn(0.1)
    bench.turn(0.6)

    assert len(bench.submitted) == before + 1
    bench.ingest.done(bench.submitted)
    assert bench.ingest.problems() == []


def test_a_file_that_was_put_off_and_is_taken_away_is_no_problem_any_more() -> None:
    bench = Bench()
    path = bench.write("a.jpg")
    bench.turn()
    bench.turn(0.6)
    refuse(bench)

    del bench.inbox.files[path]
    bench.turn(31.0)

    assert bench.ingest.problems() == []


def test_where_nobody_tells_of_changes_the_walks_come_often() -> None:
    bench = Bench(rescan_s=30.0)
    bench.inbox.state = InboxState("polling", "nfs4 does not tell of changes")
    bench.turn()
    bench.write("silent.jpg")

    bench.turn(POLL_S - 0.1)
    bench.turn(0.6)
    bench.turn(0.6)

    assert len(bench.submitted) == 1
    assert bench.log.lines == []


def test_an_inbox_that_takes_long_to_walk_is_not_walked_more_than_a_tenth_of_the_time() -> None:
    bench = Bench(rescan_s=30.0)
    bench.inbox.walk_takes_s = 20.0
    bench.turn()
    assert bench.ingest.walks == 1

    bench.turn(199.0, turns=2)
    assert bench.ingest.walks == 1
    bench.turn(1.0)
    assert bench.ingest.walks == 2


def test_a_long_walk_leaves_the_others_their_turn() -> None:
    bench = Bench()
    for number in range(1000):
        bench.known.add((path := bench.write(f"{number:03d}.jpg"), Signature(1, 1, 1)))
        bench.inbox.files[path] = Signature(1, 1, 1)
    bench.inbox.file_takes_s = 0.1
    bench.turn()
    assert bench.ingest.walks == 0

    bench.inbox.hinted = [bench.write("zzz.jpg", size=9)]
    bench.turn(turns=6)

    assert [ref.path.name for ref in bench.submitted] == ["zzz.jpg"]
    assert bench.ingest.walks == 0


def test_the_time_that_the_pipeline_needs_does_not_count_as_walking() -> None:
    bench = Bench(rescan_s=30.0)
    for number in range(10_000):
        bench.write(f"{number:05d}.jpg")
    while bench.ingest.walks == 0:
        bench.turn(1000.0)
    bench.known.update((ref.path, ref.signature) for ref in bench.submitted)
    bench.ingest.done(bench.submitted)

    bench.turn(31.0)

    assert bench.ingest.walks == 2


def test_what_a_walk_finds_that_nobody_told_of_is_said() -> None:
    bench = Bench()
    bench.write("a.jpg")
    bench.turn()
    bench.turn(0.6)
    assert bench.log.lines == []

    bench.write("silent.jpg")
    bench.inbox.hinted = [bench.write("told.jpg")]
    bench.turn(31.0)

    assert bench.log.lines == [("rescan_found", {"images": 1})]


def test_idle_means_walked_settled_and_nothing_under_way() -> None:
    bench = Bench()
    assert not bench.ingest.idle()
    bench.write("a.jpg")
    bench.turn()
    assert not bench.ingest.idle()
    bench.turn(0.6)
    assert not bench.ingest.idle()

    bench.ingest.done(bench.submitted)

    assert bench.ingest.idle()


def test_a_huge_inbox_is_never_held_in_memory_as_a_whole() -> None:
    bench = Bench()
    for number in range(10_000):
        bench.write(f"{number:05d}.jpg")

    bench.turn()
    assert len(bench.ingest._settling) == 4096
    for _ in range(3):
        bench.turn(0.6, turns=2)

    assert len(bench.submitted) == 10_000


def test_while_the_inbox_is_away_nothing_is_taken_and_nothing_is_lost() -> None:
    bench = Bench()
    bench.write("a.jpg")
    bench.inbox.here = False
    assert bench.turn(1.0, turns=3) == []

    bench.inbox.here = True
    bench.turn()

    assert bench.turn(0.6) == ["a.jpg"]
