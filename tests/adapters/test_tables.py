"""Tables of rows, written as they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from face_organizer.adapters.tables import Format, open_table
from face_organizer.errors import RequestError

COLUMNS = {"face_id": "int", "person": "text", "quality": "float", "named": "bool"}
ROWS: list[dict[str, Any]] = [
    {"face_id": 1, "person": 'Zoë, "the" one\nand only', "quality": 0.5, "named": True, "more": "x"},
    {"face_id": 2, "person": None, "quality": None, "named": False},
]
WHOLE = [{name: row.get(name) for name in COLUMNS} for row in ROWS]


def read(path: Path, kind: Format) -> list[dict[str, Any]]:
    if kind == "jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if kind == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_what_is_written_is_read_with_its_kinds(tmp_path: Path, kind: Format) -> None:
    with open_table(tmp_path / "out", kind, COLUMNS) as table:
        for row in ROWS:
            table.write([row])
        table.write([])

    assert read(tmp_path / "out", kind) == WHOLE


def test_a_spreadsheet_reads_every_cell(tmp_path: Path) -> None:
    with open_table(tmp_path / "out", "csv", COLUMNS) as table:
        table.write(ROWS)

    assert read(tmp_path / "out", "csv") == [
        {"face_id": "1", "person": ROWS[0]["person"], "quality": "0.5", "named": "True"},
        {"face_id": "2", "person": "", "quality": "", "named": "False"},
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_that_fails_half_way_leaves_the_file_of_before(tmp_path: Path, kind: Format) -> None:
    with open_table(tmp_path / "out", kind, COLUMNS) as table:
        table.write(ROWS[:1])
    before = (tmp_path / "out").read_bytes()

    with pytest.raises(ZeroDivisionError), open_table(tmp_path / "out", kind, COLUMNS) as table:
        table.write(ROWS)
        raise ZeroDivisionError

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == before


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path, kind: Format) -> None:
    out = tmp_path / "out"
    for rows in ([], ROWS, ROWS[:1]):
        with open_table(out, kind, COLUMNS) as table:
            table.write(rows)
        assert len(read(out, kind)) == len(rows)

    for theirs in (b"\xff\xd8\xff a photo", b"a,b\n1,2\n", b'{"a": 1}\n', b"PAR1 of another program PAR1"):
        out.write_bytes(theirs)
        with pytest.raises(RequestError, match="is there already"), open_table(out, kind, COLUMNS):
            pass
        assert out.read_bytes() == theirs
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("folder", ["no", "file"])
def test_a_folder_that_is_not_there_or_is_none_is_told(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RequestError, match="cannot write"), open_table(tmp_path / folder / "out", "csv", COLUMNS):
        pass
