"""What a library goes by while its model pack is not to be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.app.library_pack import NOTED, bounds_held, note_bounds
from face_organizer.app.parts import bounds_of, pack_of
from face_organizer.config import Config

GONE = "/mnt/disk/pack25"
PACK = pack_of(Config().faces)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = open_store(tmp_path / "truth", PACK.fingerprint, PACK.dimension)
    yield opened
    opened.close()


def test_the_bounds_that_were_noted_while_it_was_there_hold(store: LmdbStore) -> None:
    assert note_bounds(Config(), "opencv-zoo", store) == ""

    assert GONE in note_bounds(Config(), GONE, store)
    assert bounds_held(Config(), GONE, store) == bounds_of(PACK)


def test_those_of_another_model_are_not_taken_for_its_own_and_without_any_careful_ones_hold(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_note(NOTED, msgspec.json.encode(replace(bounds_of(PACK), fingerprint="another")))

    held = bounds_held(Config(), GONE, store)

    assert (held.fingerprint, held.similarity_join_min) == (PACK.fingerprint, 0.5)
    assert held.impostors.rates


@pytest.mark.parametrize(("pack", "way"), [("buffalo_l", "models pull buffalo_l` puts it back"), (GONE, "as it was")])
def test_what_helps_is_told_for_a_pack_that_can_be_pulled_and_for_a_folder(
    store: LmdbStore, tmp_path: Path, pack: str, way: str
) -> None:
    config = msgspec.structs.replace(
        Config(library="my photos"), faces=msgspec.structs.replace(Config().faces, models_dir=str(tmp_path))
    )

    told = note_bounds(config, pack, store)

    assert way in told
    assert "reembed --pack opencv-zoo --library '" in told
