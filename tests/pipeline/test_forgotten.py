"""Whoever is forgotten after whatever was decided: no trace is left, the rest is sound and can still be undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from threading import Event

import pytest
from test_anything import Chaos
from test_runs import World, proposed

from face_organizer.errors import RequestError
from face_organizer.pipeline import changes as changes_module
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.types import FileToPlace, PlacementMode


def forget_in(world: World, erase: Callable[[FileToPlace], str] = lambda file: "") -> Forget:
    desk = world.desk
    keeper = IndexKeeper(
        desk.store,
        desk.index,
        world.folder / "index" / "faces.faiss",
        lambda work: work(),
        desk.log,
        lambda: 0.0,
        save_every_s=60,
    )
    applier = Applier(desk.changes, lambda work: work())
    return Forget(
        desk.store,
        desk.roster,
        desk.book,
        keeper,
        applier,
        lambda work: work(),
        world.place,
        erase,
        desk.log,
        lambda: 1.0,
    )


def everything_written(world: World) -> bytes:
    files = [path for path in world.folder.rglob("*") if path.is_file() and path.parent.name in ("truth", "index")]
    return b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize(("seed", "mode"), [(1, "move"), (2, "hardlink"), (3, "symlink"), (4, "copy"), (5, "move")])
def test_whatever_was_decided_nothing_is_left_of_whom_is_forgotten_and_the_rest_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, mode: PlacementMode
) -> None:
    monkeypatch.setattr(changes_module, "CHUNK_FACES", 2)
    chaos, random = Chaos(tmp_path, seed, mode), Random(seed)
    world = chaos.world
    for _ in range(8):
        chaos.drop()
    for _ in range(30):
        chaos.something()
    name = "Quellenhofer-who-is-nobody-else"
    chosen = random.choice(sorted(world.desk.roster.faces_of))
    world.decide.name(chosen, name)
    for _ in range(3):
        chaos.drop()
    world.place()
    hers = [face for face, now in enumerate(world.desk.persons(), 1) if now == chosen]
    with world.desk.store.read() as txn:
        vectors = [vector.astype("<f2").tobytes() for vector in txn.vectors(hers)]
    assert name.encode() in everything_written(world)

    told = forget_in(world).forget(chosen)

    assert (told.name, told.faces) == (name, len(hers))
    data = everything_written(world)
    assert name.encode() not in data
    assert [number for number, vector in enumerate(vectors) if vector in data] == []
    chaos.must_hold()
    with pytest.raises(RequestError, match="no decision to undo"):
        while True:  # back to where it began, without her
            world.decide.undo(None)
            chaos.must_hold()
    with world.desk.store.read() as txn:
        runs = txn.last_id("runs")
    for run_id in range(runs, 0, -1):
        with suppress(RequestError):
            world.runs.rollback(run_id)
        chaos.must_hold()
    assert chosen not in world.desk.roster.faces_of
    assert name.encode() not in everything_written(world)
    with world.desk.store.read() as txn:
        assert txn.persons.get(chosen) is None
        assert all(not set(txn.neighbours(200).neighbours.ravel().tolist()) & {face} for face in hers)
    world.restart()
    chaos.must_hold()
    forget_in(world).resume(Event())
    world.desk.store.close()


def test_everybody_can_be_forgotten_one_after_the_other(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, 9, "move")
    world = chaos.world
    for _ in range(12):
        chaos.drop()
    for who in sorted(world.desk.roster.faces_of):
        forget_in(world).forget(who)
        chaos.must_hold()
        world.restart()

    assert world.desk.roster.faces_of == {}
    with world.desk.store.read() as txn:
        assert txn.persons.count() == 0
        assert txn.last_id("persons") > 0
    with pytest.raises(RequestError, match="no person 1"):
        forget_in(world).forget(1)
    world.desk.store.close()


def test_a_run_that_was_thought_out_before_does_not_bring_anybody_back(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, 9, "move")
    world = chaos.world
    for _ in range(12):
        chaos.drop()
    now = world.desk.persons()
    who, *_ = sorted(world.desk.roster.faces_of)
    run, change = proposed(world, [who if person else person for person in now], {})
    forget_in(world).forget(who)

    world.runs.keep(run, replace(change, last_decision=0), asked=True)  # it knew of no decision

    chaos.must_hold()
    assert who not in world.desk.roster.faces_of
    with world.desk.store.read() as txn:
        assert all(record.person_id != who for _, record in txn.assignments.items())
    world.desk.store.close()


def test_while_an_image_that_is_to_go_cannot_be_deleted_nobody_is_forgotten(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, 9, "move")
    world = chaos.world
    for _ in range(12):
        chaos.drop()
    who, *_ = sorted(world.desk.roster.faces_of)
    before = world.desk.persons()

    with pytest.raises(RequestError, match="the disk says no; nobody was forgotten"):
        forget_in(world, lambda file: "the disk says no").forget(who, images=True)

    assert world.desk.persons() == before
    world.desk.store.close()
