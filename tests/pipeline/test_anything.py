"""Anything may be decided, in any order, with runs, rollbacks and crashes in between: truth and disk agree, nothing is
lost, names hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from test_gallery import seen_face
from test_runs import PowerCutError, World, proposed

from face_organizer.errors import RequestError
from face_organizer.pipeline import changes as changes_module
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.contradictions import contradictions
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.runs import Runs
from face_organizer.records import UNBORN
from face_organizer.types import NOBODY, ImageRef, PlacementMode, SeenImage, Signature
from face_organizer.vision.decode import content_digest

STEPS = 40
NAMES = ["Ann", "ann", "Bob", "outliers", "a/b", "Zoë", "person_0002", "7"]


class Chaos:
    """Does something at random to a world, and knows what must hold afterwards."""

    def __init__(self, folder: Path, seed: int, mode: PlacementMode) -> None:
        self.random, self.world = Random(seed), World(folder, mode)
        self.dropped: list[str] = []
        self.told: list[str] = []

    def drop(self) -> None:
        number = len(self.dropped)
        text = f"content {number}"
        path = self.world.inbox / self.random.choice(["a.jpg", "b.jpg", f"{number}.jpg"])
        path = path if not path.exists() else path.with_name(f"{number}.jpg")
        path.write_text(text)
        found = path.stat()
        people = self.random.sample(range(3, 8), self.random.choice([1, 1, 2, 3]))
        rng = np.random.default_rng(number)
        faces = tuple(seen_face(who, rng) for who in people)
        ref = ImageRef(path, Signature(found.st_size, found.st_mtime_ns, found.st_ino))
        self.dropped.append(text)
        self.world.desk.gallery.handle([SeenImage(ref, content_digest(text.encode()), 9, 9, faces)])

    def person(self) -> int:
        return self.random.choice([*sorted(self.world.desk.roster.faces_of), 99])

    def faces(self) -> list[int]:
        return self.random.sample(range(1, len(self.world.desk.persons()) + 1), self.random.choice([1, 1, 2]))

    def run(self) -> None:
        now = self.world.desk.persons()
        alive = sorted(self.world.desk.roster.faces_of)
        goes = {who: self.random.choice([who, who, self.random.choice(alive)]) for who in alive}
        after = [goes.get(who, who) if self.random.random() < 0.9 else UNBORN for who in now]
        vanished = {who: goes[who] for who in alive if who not in after and goes[who] in after}
        self.world.runs.keep(*proposed(self.world, after, vanished), asked=True)

    def rollback(self) -> None:
        with self.world.desk.store.read() as txn:
            self.world.runs.rollback(self.random.randint(1, txn.last_id("runs") + 1))

    def undo(self) -> None:
        with self.world.desk.store.read() as txn:
            last = txn.last_id("decisions")
        self.world.decide.undo(self.random.choice([None, self.random.randint(1, last + 1)]))

    def split(self) -> None:
        who = self.person()
        theirs = [face for face, now in enumerate(self.world.desk.persons(), 1) if now == who]
        self.world.decide.split(who, [theirs[::2], theirs[1::2]])

    def something(self) -> None:
        world, random = self.world, self.random
        what: list[tuple[str, Callable[[], object]]] = [
            *(("drop", self.drop),) * 2,
            ("run", self.run),
            ("rollback", self.rollback),
            *(("undo", self.undo),) * 2,
            ("split", self.split),
            ("place", world.place),
            ("name", lambda: world.decide.name(self.person(), random.choice(NAMES))),
            ("merge", lambda: world.decide.merge(self.person(), self.person(), together=random.random() < 0.5)),
            ("reject", lambda: world.decide.reject(self.faces())),
            ("assign", lambda: world.decide.assign(self.faces(), self.person())),
            ("found", lambda: world.decide.found(self.faces(), random.choice(NAMES))),
            ("hide", lambda: world.decide.hide(self.person(), hidden=random.random() < 0.5)),
        ]
        name, do = random.choice(what)
        self.told.append(name)
        try:
            do()
        except RequestError as error:
            self.told[-1] += f" refused: {error}"

    def crash(self) -> None:
        """The process dies somewhere in what it does next, and starts anew."""
        left = iter(range(self.random.randint(0, 4)))

        def in_gallery(work: Callable[[], object]) -> object:
            if next(left, None) is None:
                raise PowerCutError
            return work()

        world, desk = self.world, self.world.desk
        whole = world.runs, world.decide
        applier = Applier(desk.changes, in_gallery)
        world.runs = desk.runs = Runs(desk.store, desk.changes, applier, world.place)
        world.decide = Decide(desk.roster, desk.changes, applier, world.runs, lambda: 1.0)
        try:
            self.something()
        except PowerCutError:
            self.told.append("crash")
        world.runs, world.decide = whole
        desk.runs = world.runs
        world.restart()

    def must_hold(self) -> None:
        world, told = self.world, self.told[-4:]
        world.place()
        with world.desk.store.read() as txn:
            found = contradictions(txn, world.desk.index, world.folders.holds, world.folders.walk())
            assert found == [], (found, told)
            assert txn.pending_count() == 0, told
            persons = dict(txn.persons.items())
            assignments = dict(txn.assignments.items())
            confirmed = world.desk.book.constraints.confirmed
        alive = {record.person_id for record in assignments.values()} - {int(NOBODY)}
        assert alive == set(world.desk.roster.faces_of), told
        assert {id_ for id_, each in persons.items() if not each.retired} ^ alive == set(), (alive, told)
        folders = [persons[id_].folder.casefold() for id_ in alive]
        assert len(set(folders)) == len(folders), (folders, told)
        wrong = {
            face: (now, confirmed[face])
            for face in confirmed
            if (now := assignments[face].person_id) != confirmed[face]
        }
        assert wrong == {}, (wrong, told)
        for face, rejected in world.desk.book.constraints.rejected.items():
            assert assignments[face].person_id not in rejected, (face, told)
        contents = [path.read_text() for path in world.library.rglob("*.jpg")]
        assert set(contents) == set(self.dropped), told


@pytest.mark.parametrize(("seed", "mode"), [(1, "move"), (14, "hardlink"), (17, "symlink"), (21, "copy")])
def test_whatever_is_decided_truth_and_disk_agree_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, mode: PlacementMode
) -> None:
    monkeypatch.setattr(changes_module, "CHUNK_FACES", 2)
    chaos = Chaos(tmp_path, seed, mode)
    for _ in range(8):
        chaos.drop()

    for step in range(STEPS):
        (chaos.crash if step % 5 == 4 else chaos.something)()
        chaos.must_hold()

    while True:  # and back to where it began
        try:
            chaos.world.decide.undo(None)
        except RequestError:
            break
        chaos.must_hold()
    chaos.world.desk.store.close()
