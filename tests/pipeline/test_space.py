"""Pausing for want of room: the disks are numbers, the store is real and its commits fail when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from support import Notes
from test_gallery import Desk, seen_face
from test_ingest import Bench as InboxBench
from test_ingest import ManualClock

from face_organizer.adapters import store as store_module
from face_organizer.errors import NoRoomError, RequestError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.ingest import Ingest
from face_organizer.pipeline.messages import Call, RecordPlaced, Rules
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.roster import Roster, load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.space import LIBRARY, RETRY_S, STATE, Lack, Space
from face_organizer.ports import Store, Transaction
from face_organizer.types import FileToPlace, ImageRef, Placed, SeenImage, Signature

LIBRARY_PATH, STATE_PATH = Path("/library"), Path("/state")


class SpaceBench:
    def __init__(self, free_min_bytes: int = 1000, *, copies: bool = False) -> None:
        self.log, self.clock = Notes(), ManualClock()
        self.free: dict[Path, int | None] = {LIBRARY_PATH: 5000, STATE_PATH: 5000}
        folders = {LIBRARY: LIBRARY_PATH, STATE: STATE_PATH}
        self.space = Space(folders, self.free.__getitem__, free_min_bytes, self.log, self.clock, lambda: copies)

    def admits(self, name: str = "a", size_bytes: int = 100) -> bool:
        return self.space.admits(Path(name), size_bytes)


@pytest.mark.parametrize(("where", "folder"), [(LIBRARY, LIBRARY_PATH), (STATE, STATE_PATH)])
def test_below_the_mark_nothing_is_admitted_and_one_line_says_what_is_needed_where(where: str, folder: Path) -> None:
    bench = SpaceBench()
    assert bench.admits()

    bench.free[folder] = 999
    assert [bench.admits() for _ in range(3)] == [False] * 3

    ((event, fields),) = bench.log.lines
    assert event == "intake_paused"
    assert (fields["what"], fields["folder"], fields["free_bytes"]) == (where, str(folder), 999)
    assert fields["needed_bytes"] == 1100
    assert str(bench.space.lack).endswith(f"{folder} has 0.0 MB free, 0.0 MB are needed")


def test_it_goes_on_by_itself_with_a_tenth_more_and_one_line() -> None:
    bench = SpaceBench()
    bench.free[STATE_PATH] = 10
    bench.space.look()
    assert not bench.space.is_lasting()
    bench.clock.now += 7
    assert bench.space.is_lasting()

    bench.free[STATE_PATH] = 1050
    bench.space.look()
    assert bench.log.events == ["intake_paused"]
    bench.free[STATE_PATH] = 1100
    bench.space.look()

    assert bench.log.lines[1:] == [("intake_resumed", {"seconds": 7.0})]
    assert bench.admits()
    assert not bench.space.is_lasting()


def test_images_on_their_way_count_as_if_they_were_placed_where_placing_copies() -> None:
    bench = SpaceBench(copies=True)

    assert bench.admits("a", 2000)
    assert bench.admits("b", 2000)
    assert not bench.admits("c", 1)
    bench.free[LIBRARY_PATH] = 3000  # a lies there now
    bench.space.placed(Path("a"))
    assert not bench.admits("c", 1)
    bench.free[LIBRARY_PATH] = 3200
    assert bench.admits("c", 1)


def test_a_look_does_not_forget_the_large_image_that_waits() -> None:
    bench = SpaceBench(copies=True)
    assert not bench.admits("huge", 4500)

    bench.space.look()
    assert bench.log.events == ["intake_paused"]
    bench.clock.now += RETRY_S  # it was taken away
    bench.space.look()

    assert bench.log.events == ["intake_paused", "intake_resumed"]


def test_renaming_takes_no_room() -> None:
    bench = SpaceBench(copies=False)

    assert all(bench.admits(str(number), 1_000_000) for number in range(10))


def test_a_refused_write_pauses_until_the_same_work_was_done_whatever_the_disk_says() -> None:
    bench = SpaceBench(free_min_bytes=0)
    bench.space.refused("enrol", STATE, "no room to write")
    bench.space.refused("place", LIBRARY, "no room to copy")
    assert not bench.admits()
    assert str(bench.space.lack) == "no room to write: /state has 0.0 MB free"
    assert str(Lack(STATE, "/state", 268_435_456, 0, "no room")) == "no room: /state has 268.4 MB free"
    assert str(Lack(STATE, "/away", None, 0, "no room")) == "no room: /away has an unknown amount free"

    bench.space.accepted("place")
    bench.space.accepted("never refused")
    assert not bench.admits()
    bench.space.accepted("enrol")

    assert bench.admits()
    assert bench.log.events == ["intake_paused", "intake_resumed"]


def test_a_disk_that_nobody_can_ask_stops_nothing() -> None:
    bench = SpaceBench()
    bench.free[LIBRARY_PATH] = None

    assert bench.admits()


def test_settled_files_wait_in_the_inbox_until_there_is_room() -> None:
    bench, inbox = SpaceBench(), InboxBench()
    inbox.ingest = Ingest(
        inbox.inbox,
        lambda path, signature: False,
        inbox.submitted.append,
        bench.log,
        inbox.clock,
        inbox.ingest.patience,
        bench.space,
    )
    inbox.write("a.jpg")
    inbox.write("b.jpg")
    inbox.turn()
    bench.free[STATE_PATH] = 0

    assert inbox.turn(0.6, turns=5) == []
    assert not inbox.ingest.idle()
    bench.free[STATE_PATH] = 5000
    bench.space.look()

    assert inbox.turn(0.1) == ["a.jpg", "b.jpg"]


class FullStore:
    """The real store, on a disk that is full after so many more commits."""

    def __init__(self, store: Store) -> None:
        self._store, self.commits_left = store, 1 << 30
        self.fingerprint, self.dimension, self.read = store.fingerprint, store.dimension, store.read

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        with self._store.write() as txn:
            yield txn
            if self.commits_left <= 0:
                raise NoRoomError("no room")
            self.commits_left -= 1


class World:
    """A desk whose store may be full."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.clock = Desk(folder), ManualClock()
        desk, log = self.desk, self.desk.log
        self.store = FullStore(desk.store)
        self.space = Space({STATE: STATE_PATH}, lambda path: 1, 0, log, self.clock)
        self.roster, self.cut_short = desk.roster, 0
        desk.book = Book(self.store, desk.roster, Rules("auto", "move", 2, 0.5, 0.52, 0.45, 20))
        desk.changes = Changes(desk.roster, desk.book)
        desk.gallery = self.gallery = Gallery(
            self.store, desk.index, desk.roster, desk.book, log, self.clock, lambda: None, desk.done.extend, self.space
        )
        self.applier = Applier(desk.changes, self.in_gallery)
        desk.runs = Runs(self.store, desk.changes, self.applier, lambda file_ids: None)
        desk.decide = Decide(desk.roster, desk.changes, self.applier, desk.runs, lambda: 1.0)

    def in_gallery(self, work):  # type: ignore[no-untyped-def]
        call = Call(work)
        self.gallery.handle([call])
        return call.reply.wait()

    def tried(self, decide: Callable[[], object], commits: int) -> bool:
        """Do it on a disk that takes so many commits, then make room; returns whether it was decided."""
        self.store.commits_left, made = commits, True
        try:
            decide()
        except NoRoomError as error:
            is_kept, is_taken_back = "is kept" in str(error), "is taken back" in str(error)
            assert self.applier.behind or self.desk.runs.behind or not (is_kept or is_taken_back)
            made = is_kept or is_taken_back
            self.cut_short += made
        assert self.is_true_view()
        self.store.commits_left = 1 << 30
        self.applier.catch_up()
        self.desk.runs.resume()
        assert self.is_true_view()
        assert not (self.applier.behind or self.desk.runs.behind)
        return made

    def is_true_view(self) -> bool:
        """Does the roster know what the store knows, and the book?"""
        with self.desk.store.read() as txn:
            return same(self.roster, load_roster(txn, self.desk.store.dimension)) and (
                Book(self.store, self.roster, self.desk.book.rules).constraints == self.desk.book.constraints
            )


def same(one: Roster, other: Roster) -> bool:
    mine, theirs = one.picture(), other.picture()
    columns = ("face_ids", "image_of", "person_of", "founder", "person_ids", "sums", "sizes")
    return one.faces_of == other.faces_of and all(
        np.array_equal(getattr(mine, name), getattr(theirs, name)) for name in columns
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.desk.store.close()


def test_what_finds_no_room_is_held_in_its_order_and_enrolled_when_there_is_room(world: World) -> None:
    world.desk.drop(1, name="1")
    world.store.commits_left = 0
    for name in ("2", "3", "4"):
        world.desk.drop(1, name=name)
    assert (world.gallery.held, world.desk.index.count, len(world.desk.done)) == (3, 1, 1)
    assert world.is_true_view()

    world.store.commits_left = 1 << 30
    world.gallery.enrol_held()  # too soon
    assert world.gallery.held == 3
    world.clock.now += RETRY_S
    world.gallery.enrol_held()

    assert (world.gallery.held, world.desk.index.count) == (0, 4)
    assert [ref.path.stem for ref in world.desk.done] == ["1", "2", "3", "4"]
    assert len(set(world.desk.persons())) == 1
    assert world.is_true_view()
    assert [name for name in world.desk.log.events if name.startswith("intake")] == ["intake_paused", "intake_resumed"]
    assert world.desk.log.events.count("image_enrolled") == 4


def test_a_thousand_images_outgrow_a_map_of_one_mebibyte_and_nobody_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAP_SIZE_BYTES", 1 << 20)
    world, rng = World(tmp_path), np.random.default_rng(0)

    for start in range(0, 1000, 50):
        world.gallery.handle([an_image(number, [(number % 20, True)], rng) for number in range(start, start + 50)])

    assert world.desk.store.size_bytes() > 1 << 20
    assert (len(world.desk.done), world.desk.index.count, world.gallery.held) == (1000, 1000, 0)
    assert not {"intake_paused", "intake_resumed"} & set(world.desk.log.events)
    assert world.is_true_view()
    world.desk.store.close()


def an_image(number: int, shown: list[tuple[int, bool]], rng: np.random.Generator) -> SeenImage:
    """It shows these people; whether each may found a person."""
    faces = tuple(seen_face(person, rng, founder) for person, founder in shown)
    ref = ImageRef(Path(f"/in/{number}.jpg"), Signature(1, number, 1))
    return SeenImage(ref, number.to_bytes(16, "little"), 9, 9, faces)


def test_an_undone_transaction_that_founded_persons_and_moved_faces_leaves_no_trace_in_the_roster(world: World) -> None:
    for people in [(1,), (2,), (3, 4)]:
        world.desk.drop(*people)
    before = world.roster.picture()
    world.store.commits_left = 0
    rng = np.random.default_rng(0)
    batch = [
        an_image(number, shown, rng)
        for number, shown in enumerate(
            [[(1, True), (2, True)], [(1, True), (5, False)], [(3, True), (4, True)], [(6, True)]], start=1
        )
    ]

    world.gallery.handle(list(batch))

    assert np.array_equal(world.roster.picture().person_of, before.person_of)
    assert world.is_true_view()
    assert world.gallery.held == len(batch)


MERGED, APART = [1] * 6, [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("commits", range(8))
def test_a_decision_and_its_undo_that_find_no_room_are_not_made_or_are_made_to_their_end_later(
    world: World, commits: int
) -> None:
    for person in (1, 1, 1, 2, 2, 2):
        world.desk.drop(person)
    assert world.desk.persons() == APART

    made = world.tried(lambda: world.desk.decide.merge(2, 1), commits)
    assert world.desk.persons() == (MERGED if made else APART)
    if not made:
        world.desk.decide.merge(2, 1)
    undone = world.tried(lambda: world.desk.decide.undo(None), commits)
    assert world.desk.persons() == (APART if undone else MERGED)


def test_both_were_seen_to_happen(world: World) -> None:
    for person in (1, 1, 1, 2, 2, 2):
        world.desk.drop(person)

    assert not world.tried(lambda: world.desk.decide.merge(2, 1), commits=1)
    assert world.tried(lambda: world.desk.decide.merge(2, 1), commits=2)
    assert world.cut_short == 1


def test_a_refused_request_too_leaves_roster_and_decisions_as_they_were(world: World) -> None:
    for person in (1, 1):
        world.desk.drop(person)

    with pytest.raises(RequestError):
        world.desk.decide.merge(1, 7)

    assert world.is_true_view()


class Cramped:
    """A library on a disk that takes so many more files."""

    def __init__(self) -> None:
        self.room, self.asked = 0, 0

    def reconcile(self, file: FileToPlace) -> Placed:
        self.asked += 1
        if self.room <= 0:
            return Placed(file.file_id, file.places, problem=f"no room for {file.name}", no_room=True)
        self.room -= 1
        return Placed(file.file_id, tuple(f"{folder}/{file.name}" for folder in file.folders))

    def holds(self, place: str) -> bool:
        return True

    def walk(self) -> Iterator[str]:
        return iter(())


class PlacingWorld:
    def __init__(self, world: World) -> None:
        self.world, self.library = world, Cramped()
        self.placer = Placer(world.store, self.library, self._post, world.desk.log, world.clock, world.space)

    def _post(self, command: RecordPlaced) -> None:
        self.world.gallery.handle([command])

    def place(self) -> int:
        """One pass; returns how many are still pending."""
        self.placer.place_all(Event(), frozenset())
        with self.world.store.read() as txn:
            return txn.pending_count()

    def lines(self) -> list[str]:
        return [name for name in self.world.desk.log.events if name not in ("image_enrolled", "image_placed")]


def test_a_full_library_is_one_line_and_a_few_tries_a_pass_and_heals_by_itself(world: World) -> None:
    bench = PlacingWorld(world)
    for person in range(20):
        world.desk.drop(person)

    assert [bench.place() for _ in range(4)] == [20] * 4
    assert bench.library.asked <= 4 * 3
    assert bench.placer.blocked
    assert bench.lines() == ["intake_paused"]
    assert all("no room for" in problem for problem in bench.placer.problems.values())

    bench.library.room = 1000
    left = [bench.place() for _ in range(2)]

    assert left[-1] == 0
    assert not bench.placer.blocked
    assert bench.placer.problems == {}
    assert bench.lines() == ["intake_paused", "intake_resumed"]


def test_files_behind_those_that_find_no_room_get_their_turn(world: World) -> None:
    bench = PlacingWorld(world)
    for person in range(10):
        world.desk.drop(person)
    assert bench.place() == 10

    bench.library.room = 7
    assert bench.place() == 3

    with world.store.read() as txn:
        assert txn.pending(10) == [1, 2, 3]


def test_what_was_placed_but_could_not_be_recorded_is_recorded_later(world: World) -> None:
    bench = PlacingWorld(world)
    bench.library.room = 1000
    world.desk.drop(1)
    world.store.commits_left = 0

    assert bench.place() == 1
    assert bench.placer.blocked
    assert bench.lines() == ["intake_paused"]
    world.store.commits_left = 1 << 30

    assert bench.place() == 0
    assert bench.lines() == ["intake_paused", "intake_resumed"]
    assert not bench.placer.blocked
