"""What is a view is remade from the truth; and where the truth itself is gone, nothing is deleted because of that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from survival import (
    Nest,
    World,
    another,
    assert_the_index_answers_as_the_truth,
    opened,
    saved_index,
    side_by_side,
    tree_of,
)

from face_organizer.adapters.index import FaceIndex
from face_organizer.config import STATE_FOLDER
from face_organizer.pipeline.keep_index import GENERATION


def zeroed(data: bytes) -> bytes:
    middle = max(0, len(data) // 2 - 2048)
    return data[:middle] + bytes(min(4096, len(data) - middle)) + data[middle + 4096 :]


def damaged(damage: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def do(world: World) -> None:
        path = index_of(world)
        before = path.read_bytes()
        path.write_bytes(damage(before))
        assert path.read_bytes() != before

    return do


def index_of(world: World) -> Path:
    return world.library / STATE_FOLDER / "index" / "faces.faiss"


def old(world: World) -> None:
    """An index of some time ago: the first five faces only."""
    with opened(world.library) as store, store.read() as txn:
        ids, vectors = txn.vectors_from()
        index = FaceIndex(store.dimension, flat_max_faces=1000, retrain_factor=4.0, nprobe=8)
        index.add(ids[:5], vectors[:5].astype("float32"))
        index.save(index_of(world), fingerprint=store.fingerprint, generation=GENERATION)


def with_the_sidecar_of_an_old_one(world: World) -> None:
    """Death came between the two renames."""
    new = index_of(world).read_bytes()
    old(world)
    index_of(world).write_bytes(new)


def half_lost(world: World) -> None:
    index_of(world).with_name("faces.faiss.json").unlink()


def of_another_generation(world: World) -> None:
    sidecar = index_of(world).with_name("faces.faiss.json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"generation": GENERATION - 1}))


def left_by_a_death(world: World) -> None:
    for name in (".faces.faiss.part", ".faces.faiss.json.part"):
        index_of(world).with_name(name).write_bytes(b"half")
    half_lost(world)


DAMAGES: dict[str, Callable[[World], None]] = {
    "cut at 0 bytes": damaged(lambda data: b""),
    "cut at 50 bytes": damaged(lambda data: data[:50]),
    "its last byte missing": damaged(lambda data: data[:-1]),
    "4 KiB of zeros in its middle": damaged(zeroed),
    "old": old,
    "with the sidecar of an old one": with_the_sidecar_of_an_old_one,
    "without its sidecar": half_lost,
    "of another generation": of_another_generation,
    "half written beside it": left_by_a_death,
}


@pytest.mark.timeout(600)
def test_whatever_befalls_the_index_it_answers_as_before_after_the_next_start(
    nests: list[Nest], calm: tuple[World, dict[str, Any]], tmp_path: Path
) -> None:
    def befall(nest: Nest, name: str) -> None:
        world = another(calm[0], tmp_path / name)
        DAMAGES[name](world)
        checked = nest.run("check", "--library", world.library, "--json")
        assert json.loads(checked.out)["findings"] == [], (name, checked)
        assert not list(world.library.rglob("*.part")), name
        with opened(world.library) as store, store.read() as txn:
            assert_the_index_answers_as_the_truth(txn, saved_index(world.library, store))

    side_by_side(nests, [partial(befall, name=name) for name in DAMAGES])


@pytest.mark.timeout(600)
def test_without_its_truth_it_begins_anew_and_deletes_nothing(
    nests: list[Nest], small_batches: Path, new_world: Callable[..., World]
) -> None:
    def begin_anew(nest: Nest, world: World) -> None:
        assert nest.run(*world.run_once(small_batches)).code == 0
        before, inbox = tree_of(world.library), tree_of(world.inbox)
        shutil.rmtree(world.library / STATE_FOLDER / "truth")

        ended = nest.run(*world.run_once(small_batches))

        assert ended.code == 0, ended
        assert tree_of(world.inbox) == inbox
        assert before.items() <= tree_of(world.library).items()

    side_by_side(nests, [partial(begin_anew, world=new_world(placement)) for placement in ("move", "copy", "symlink")])
