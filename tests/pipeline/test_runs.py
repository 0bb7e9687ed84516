"""A re-clustering is a proposal: shown, applied, rolled back exactly. A change that a crash cut is done to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from test_gallery import Desk, seen_face
from test_recluster import Bench

from face_organizer.adapters.library import Folders
from face_organizer.errors import RequestError
from face_organizer.identity.diff import Margin
from face_organizer.pipeline import changes as changes_module
from face_organizer.pipeline.answers import run_events
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.recluster import When
from face_organizer.pipeline.runs import Runs
from face_organizer.records import UNBORN
from face_organizer.types import ImageRef, PlacementMode, SeenImage, Signature
from face_organizer.vision.decode import content_digest

NARROW = When(3600, growth_factor=1.5, growth_faces_min=1000, margin=Margin(0.1, 1, 0.1))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Five faces of one person, wrongly taken for two: 1 1 1 2 2."""
    made = Bench(tmp_path, when=NARROW)
    for _ in range(5):
        made.desk.drop(3)
    made.desk.apply([1, 1, 1, UNBORN, UNBORN])
    assert made.desk.persons() == [1, 1, 1, 2, 2]
    yield made
    made.desk.store.close()


def test_a_proposal_changes_nothing_until_it_is_applied(bench: Bench) -> None:
    run = bench.run("proposal")

    assert bench.desk.persons() == [1, 1, 1, 2, 2]
    assert (run.state, run.merged, run.moved) == ("proposed", 1, 2)
    assert [(move.before, move.after, move.faces, move.of) for move in run.moves] == [(2, 1, 2, 2)]
    assert run.parameters["similarity_link_min"] == 0.52

    run_id, applied = bench.desk.runs.apply(None)

    assert (run_id, applied.state) == (2, "applied")
    assert bench.desk.persons() == [1] * 5


def test_a_run_tells_what_became_of_persons(bench: Bench) -> None:
    for person in (3, 3, 7, 7):
        bench.desk.drop(person)
    bench.desk.apply([1, 1, 1, 2, 2, 1, 1, 1, 1], merged={3: 1})
    run = bench.run()

    with bench.desk.store.read() as txn:
        told = [(event["kind"], event["person_id"], event.get("into")) for event in run_events(txn, run)]

    assert told == [("split", 1, None), ("born", 4, None), ("merged", 2, 1)]


def test_a_run_that_nobody_asked_for_waits_when_it_would_change_too_much(bench: Bench) -> None:
    run = bench.run("unasked")

    assert run.state == "proposed"
    assert "2 of 5 placed faces" in run.waits
    assert "recluster_waits" in bench.desk.log.events
    assert bench.desk.persons() == [1, 1, 1, 2, 2]


def test_a_run_that_would_empty_a_named_person_waits(tmp_path: Path) -> None:
    wide = When(3600, 1.5, 1000, margin=Margin(moved_share_max=1.0, moved_faces_min=99, named_loss_share_max=0.1))
    bench = Bench(tmp_path, when=wide)
    for person in (3, 3, 3, 4, 4, 4):
        bench.desk.drop(person)
    bench.desk.apply([1, 1, 1, 1, 1, 1], merged={2: 1})
    bench.desk.decide.name(1, "Alice", [1])

    run = bench.run("unasked")

    assert run.state == "proposed"
    assert "persons whom you named" in run.waits
    bench.desk.store.close()


def test_a_later_run_makes_a_proposal_out_of_date(bench: Bench) -> None:
    bench.run("proposal")
    bench.run("proposal")

    with pytest.raises(RequestError, match="out of date, for run 3 has looked again"):
        bench.desk.runs.apply(2)
    bench.desk.runs.apply(3)
    assert bench.desk.persons() == [1] * 5


def test_a_dismissed_proposal_changes_nothing_and_waits_no_more(bench: Bench) -> None:
    bench.run("proposal")

    run_id, run = bench.desk.runs.dismiss(None)

    assert (run_id, run.state) == (2, "dismissed")
    assert bench.desk.persons() == [1, 1, 1, 2, 2]
    for act in (bench.desk.runs.apply, bench.desk.runs.dismiss):
        with pytest.raises(RequestError, match="no proposal waits"):
            act(None)
    with pytest.raises(RequestError, match="is dismissed, not a waiting proposal"):
        bench.desk.runs.apply(2)


def test_a_decision_made_while_a_proposal_waits_is_not_overruled_by_it(bench: Bench) -> None:
    bench.run("proposal")
    bench.desk.decide.name(2, "Bob", [4])

    bench.desk.runs.apply(None)

    assert bench.desk.persons()[3] == 2


def test_without_a_number_the_latest_run_that_changed_anything_is_rolled_back(bench: Bench) -> None:
    before = bench.desk.persons()
    bench.run()
    assert bench.desk.persons() != before
    bench.run()  # finds nothing new

    assert bench.desk.runs.rollback() == [2, 3]

    assert bench.desk.persons() == before
    bench.desk.runs.rollback()  # the run before those
    with pytest.raises(RequestError, match="has changed anything"):
        bench.desk.runs.rollback()


def test_a_proposal_that_a_run_has_replaced_is_called_out_of_date(bench: Bench) -> None:
    bench.run("proposal")
    bench.run()

    with pytest.raises(RequestError, match="run 2 was one, but is out of date, for run 3 has looked again"):
        bench.desk.runs.apply(None)


def test_what_cannot_be_applied_or_rolled_back_is_told(bench: Bench) -> None:
    with pytest.raises(RequestError, match="no proposal waits"):
        bench.desk.runs.apply(None)
    with pytest.raises(RequestError, match="no run 77"):
        bench.desk.runs.rollback(77)
    bench.run("proposal")
    with pytest.raises(RequestError, match="nothing to roll back"):
        bench.desk.runs.rollback(2)


def test_after_a_rollback_runs_wait_until_a_human_goes_on(bench: Bench) -> None:
    bench.run()
    bench.desk.runs.rollback(2)
    assert bench.desk.persons() == [1, 1, 1, 2, 2]

    bench.recluster.when = When(3600, 1.5, 1000, margin=Margin(1.0, 99, 1.0))
    assert "run 2 was rolled back" in bench.run("unasked").waits
    assert bench.desk.persons() == [1, 1, 1, 2, 2]

    bench.run("asked")
    assert bench.desk.persons() == [1] * 5
    bench.desk.drop(3)
    assert bench.run("unasked").state == "applied"


def test_a_rollback_takes_later_runs_along_and_leaves_decisions(bench: Bench) -> None:
    bench.run()
    bench.desk.decide.name(1, "Alice", [1])
    bench.desk.drop(9)
    bench.desk.drop(9)
    bench.desk.apply([1, 1, 1, 1, 1, UNBORN, UNBORN], merged={3: UNBORN})

    assert bench.desk.runs.rollback(2) == [2, 3]

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 3, 3]
    assert bench.desk.folders(1) == ("Alice",)


class World:
    """A gallery over real files and folders: what a rollback must bring back is the tree, byte by byte."""

    def __init__(self, folder: Path, mode: PlacementMode = "move") -> None:
        self.folder, self.inbox, self.library = folder, folder / "inbox", folder / "library"
        self.inbox.mkdir()
        self.library.mkdir()
        self.folders = Folders(self.library, self.inbox, mode)
        self.open()

    def restart(self) -> None:
        """As after a crash: all that is not on disk is gone, and what was cut is done to its end."""
        self.desk.store.close()
        self.open()
        while self.desk.changes.step():
            pass
        self.place()
        self.runs.resume()

    def open(self) -> None:
        self.desk = Desk(self.folder)
        self.desk.book.rules = replace(self.desk.book.rules, placement=self.folders.mode)
        self.placer = Placer(
            self.desk.store,
            self.folders,
            lambda message: self.desk.gallery.handle([message]),
            self.desk.log,
            lambda: 0.0,
        )
        applier = Applier(self.desk.changes, lambda work: work())
        self.runs = self.desk.runs = Runs(self.desk.store, self.desk.changes, applier, self.place)
        self.decide = Decide(self.desk.roster, self.desk.changes, applier, self.runs, lambda: 1.0)

    def place(self, file_ids: Sequence[int] = ()) -> None:
        self.placer.place_all(Event(), frozenset())

    def drop(self, person: int, name: str, text: str) -> None:
        path = self.inbox / name
        path.write_text(text)
        found = path.stat()
        face = seen_face(person, np.random.default_rng(hash(text) % 1000))
        ref = ImageRef(path, Signature(found.st_size, found.st_mtime_ns, found.st_ino))
        self.desk.gallery.handle([SeenImage(ref, content_digest(text.encode()), 9, 9, (face,))])
        self.place()

    def tree(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.library)): path.read_bytes() for path in sorted(self.library.rglob("*.*"))}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.desk.store.close()


def test_a_rollback_brings_back_every_name_and_byte_of_the_tree(world: World) -> None:
    for person, name, text in [(3, "a.jpg", "3a"), (3, "b.jpg", "3b"), (4, "a.jpg", "4a"), (4, "b.jpg", "4b")]:
        world.drop(person, name, text)
    world.drop(3, "a.jpg", "3c")  # the same name again: a~2.jpg
    world.drop(9, "c.jpg", "9c")
    before = world.tree()
    assert "person_0001/a~2.jpg" in before

    # a fuses into one, b and the newest a swap and leave, so that every name is taken and freed on the way
    run_id, _ = world.runs.keep(*proposed(world, [UNBORN, 2, 1, 1, 2, 1]), asked=True)
    world.place()
    assert world.tree() != before
    world.runs.rollback(run_id)

    assert world.tree() == before
    with world.desk.store.read() as txn:
        assert not any(file.wished for _, file in txn.files.items())
        assert txn.pending_count() == 0


def test_undo_brings_back_every_name_and_byte_of_the_tree(world: World) -> None:
    for person, name, text in [(3, "a.jpg", "3a"), (3, "b.jpg", "3b"), (4, "a.jpg", "4a"), (4, "b.jpg", "4b")]:
        world.drop(person, name, text)
    before = world.tree()

    world.decide.merge(2, 1)
    world.decide.name(1, "Alice")
    world.place()
    assert set(world.tree()) == {"Alice/a.jpg", "Alice/b.jpg", "Alice/a~2.jpg", "Alice/b~2.jpg"}
    world.decide.undo(None)
    world.decide.undo(None)

    assert world.tree() == before


@pytest.mark.parametrize("steps", range(6))
def test_an_undo_that_a_crash_cut_still_ends_with_every_name_and_byte(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(changes_module, "CHUNK_FACES", 3)
    for person, name, text in [(3, "a.jpg", "3a"), (3, "b.jpg", "3b"), (4, "a.jpg", "4a"), (4, "b.jpg", "4b")]:
        world.drop(person, name, text)
    before = world.tree()
    world.decide.merge(1, 2)
    world.place()

    left = iter(range(steps + 1))  # one to see that nothing was left from before

    def in_gallery(work: Callable[[], object]) -> object:
        if next(left, None) is None:
            raise PowerCutError
        return work()

    applier = Applier(world.desk.changes, in_gallery)
    runs = Runs(world.desk.store, world.desk.changes, applier, world.place)
    cut = Decide(world.desk.roster, world.desk.changes, applier, runs, lambda: 1.0)
    with pytest.raises(PowerCutError):
        cut.undo(None)
    while world.desk.changes.step():
        pass
    world.place()
    world.runs.resume()

    undone = steps > 0
    assert (world.tree() == before) == undone
    with world.desk.store.read() as txn:
        assert not any(file.wished for _, file in txn.files.items())
        assert txn.note("laying_back") == b""


def proposed(world: World, after: list[int], merged: dict[int, int] | None = None) -> tuple[object, object]:
    kept: list[tuple[object, object]] = []
    desk = world.desk
    keep, desk.runs = (
        desk.runs,
        type("Keep", (), {"keep": lambda self, run, change, asked: kept.append((run, change))})(),
    )
    desk.apply(after, merged=merged)
    desk.runs = keep
    return kept[0]


@pytest.mark.parametrize("steps", range(4))
def test_a_change_that_a_crash_cut_is_done_to_its_end_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(changes_module, "CHUNK_FACES", 2)
    desk = Desk(tmp_path)
    for person in (3, 3, 3, 4, 4, 4):
        desk.drop(person)
    die_after(desk, steps)

    with pytest.raises(PowerCutError):
        desk.decide.merge(2, 1)
    desk.store.close()
    again = Desk(tmp_path)
    while again.changes.step():
        pass

    assert again.persons() == [1] * 6
    assert again.roster.faces_of == {1: 6}
    with again.store.read() as txn:
        assert txn.persons.get(2).merged_into == 1
    assert set(again.book.constraints.confirmed) == {1, 2, 3, 4, 5, 6}
    again.decide.undo(None)
    assert again.persons() == [1, 1, 1, 2, 2, 2]
    again.store.close()


class PowerCutError(BaseException):
    pass


def die_after(desk: Desk, steps: int) -> None:
    """The process dies after so many steps of the next change."""
    left = iter(range(steps + 1))  # one to see that nothing was left from before

    def in_gallery(work: Callable[[], object]) -> object:
        if work == desk.changes.step and next(left, None) is None:
            raise PowerCutError
        return work()

    applier = Applier(desk.changes, in_gallery)
    desk.decide = Decide(desk.roster, desk.changes, applier, desk.runs, lambda: 1.0)


def test_a_copy_that_came_after_a_decision_follows_when_it_is_undone(world: World) -> None:
    for number in range(3):
        world.drop(7, f"{number}.jpg", f"somebody {number}")
    with world.desk.store.read() as txn:
        face_id = txn.last_id("faces")
        (file_id,) = txn.images.get(txn.faces.get(face_id).image_id).file_ids
        name, folder = txn.files.get(file_id).name.decode(), world.desk.folders(file_id)[0]
    world.decide.reject([face_id])
    world.place()
    world.drop(7, "zz.jpg", "somebody 2")
    assert {"outliers/2.jpg", "outliers/zz.jpg"} <= world.tree().keys()

    world.decide.undo(None)
    world.place()

    assert name == "2.jpg"
    assert {f"{folder}/2.jpg", f"{folder}/zz.jpg"} <= world.tree().keys()
    assert not any(place.startswith("outliers/") for place in world.tree())
