"""Libraries of older versions, as the programs of their time left them, are opened after a copy (tests/data)."""

from __future__ import annotations

import json
import tarfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numbered import paint, vector_of
from process import files_below
from survival import Nest

from face_organizer.adapters import schema as schema_module
from face_organizer.adapters.schema import SCHEMA, backup_of
from face_organizer.adapters.store import open_store
from face_organizer.errors import StoreError

DATA = Path(__file__).parents[1] / "data"
OLDER = range(1, SCHEMA)
PAINTED = {f"{'abc'[number // 4]}{number % 4}.png": (number // 4 + 1, number + 1) for number in range(12)}


def unpacked(schema: int, folder: Path) -> Path:
    """A library as the version with that schema left it."""
    with tarfile.open(DATA / f"library-schema-{schema}.tar.xz") as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Debian 12's Python is older
        archive.extractall(folder, **safely)  # type: ignore[arg-type]
    return folder / "library"


def schema_in(folder: Path) -> int:
    import lmdb

    with lmdb.open(str(folder), max_dbs=32, readonly=True, lock=False) as env, env.begin() as txn:
        return int(txn.get(b"schema", db=env.open_db(b"meta", txn)) or b"0")


def test_every_older_schema_has_a_stored_library_and_a_migration() -> None:
    assert {path.name for path in DATA.glob("*.tar.xz")} == {f"library-schema-{schema}.tar.xz" for schema in OLDER}
    assert set(schema_module.MIGRATIONS) == set(OLDER)


@pytest.mark.parametrize("schema", OLDER)
def test_an_older_library_is_copied_then_opened_with_everything_in_it(schema: int, tmp_path: Path, nest: Nest) -> None:
    def as_json(*arguments: str | Path) -> Any:
        return json.loads(nest.run(*arguments, "--library", library, "--json").out)

    library = unpacked(schema, tmp_path)
    truth = library / ".face-organizer" / "truth"
    assert schema_in(truth) == schema

    people = as_json("people")

    assert [(person["faces"], person["images"]) for person in people] == [(5, 5), (5, 5), (4, 4)]
    assert people[0]["name"] == ("Alice" if schema > 1 else "person_0001")
    assert as_json("check")["findings"] == []
    assert [each["kind"] for each in as_json("history")] == (["name", "reject", "undo"] if schema > 1 else [])
    assert schema_in(truth) == SCHEMA
    assert schema_in(backup_of(truth, schema)) == schema
    store = open_store(truth, "", 0)
    with store.read() as txn:
        for face_id, face in txn.faces.items():
            image = txn.images.get(face.image_id)
            assert image is not None
            file = txn.files.get(image.file_ids[0])
            assert file is not None
            if painted := PAINTED.get(file.name.decode()):
                np.testing.assert_allclose(txn.vectors([face_id])[0], vector_of(*painted), atol=1e-3)
    store.close()


@pytest.mark.parametrize("schema", OLDER)
def test_an_older_library_goes_on_growing(schema: int, tmp_path: Path, nest: Nest) -> None:
    library, inbox = unpacked(schema, tmp_path), tmp_path / "inbox"
    paint(inbox / "new.png", [3], 77)

    done = nest.run("run", "--once", "--json", "--inbox", inbox, "--library", library)

    if "holds embeddings of the model" in done.err:
        assert done.code == 1  # another model's: nothing was touched
        assert schema_in(library / ".face-organizer" / "truth") == schema
        return
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == 16
    assert "store_migrated" in done.err
    assert files_below(inbox) == []
    assert json.loads(nest.run("check", "--library", library, "--json").out)["findings"] == []


@pytest.mark.parametrize(
    ("step", "when"),
    [*product(("truth_copied", "copy_renamed"), ("before", "after")), ("schema_raised", "after")],
)
def test_a_kill_in_the_middle_leaves_the_old_store_and_the_next_start_ends_it(
    step: str, when: str, tmp_path: Path, nest: Nest
) -> None:
    library = unpacked(1, tmp_path)
    truth = library / ".face-organizer" / "truth"
    killed = nest.run("people", "--library", library, arm={"step": step, "when": when, "nth": 1})
    assert (killed.happened, killed.code) == (True, -9), killed.err
    assert schema_in(truth) == 1

    store = open_store(truth, "", 0)

    with store.read() as txn:
        assert (txn.faces.count(), txn.images.count()) == (15, 15)
    assert store.backup == backup_of(truth, 1)
    store.close()
    assert schema_in(truth) == SCHEMA
    assert schema_in(backup_of(truth, 1)) == 1
    assert [path.name for path in truth.parent.glob(".*part")] == []


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = unpacked(1, tmp_path) / ".face-organizer" / "truth"
    before = (truth / "data.mdb").read_bytes()
    monkeypatch.setattr(schema_module, "ROOM_FACTOR", 1e12)

    with pytest.raises(StoreError, match=r"is copied before it is changed: that needs .* MB, and .* are free"):
        open_store(truth, "", 0)

    assert (truth / "data.mdb").read_bytes() == before
    assert schema_in(truth) == 1


def test_a_command_says_where_the_copy_is(tmp_path: Path, nest: Nest) -> None:
    told = nest.run("people", "--library", unpacked(2, tmp_path)).err
    assert "store_migrated" in told
    assert "truth-schema-2-backup" in told
