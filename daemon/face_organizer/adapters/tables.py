"""Rows as CSV, JSON lines or Parquet, written as they come: a library of any size in the memory of one page.

Room:    adapters (touches a file that the user names, or standard output)
Imports: errors, results, stdlib, msgspec, pyarrow (only for Parquet)
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from face_organizer.adapters.results import Mark, whole_file
from face_organizer.errors import RequestError

Format = Literal["csv", "jsonl", "parquet"]
Kind = Literal["int", "float", "text", "bool"]
Rows = Sequence[Mapping[str, Any]]


class Table(Protocol):
    def write(self, rows: Rows) -> None: ...
    def close(self) -> None: ...


@contextmanager
def open_table(path: Path | None, kind: Format, columns: Mapping[str, Kind]) -> Iterator[Table]:
    """A table to write to: a file that is there whole or not at all, or (None) standard output. Raises RequestError,
    also where another file is there than an earlier table of the same kind."""
    mark = KINDS[kind].mark(columns)
    try:
        with whole_file(path, mark) if path else open(sys.stdout.fileno(), "wb", closefd=False) as file:
            table: Table = KINDS[kind](file, columns)
            try:
                yield table
            finally:
                table.close()
    except BrokenPipeError:
        pass  # who reads has enough
    except OSError as error:
        raise RequestError(f"cannot write to standard output: {error.strerror}") from error


class _Csv:
    @staticmethod
    def mark(columns: Mapping[str, Kind]) -> Mark:
        return Mark(",".join(columns).encode())

    def __init__(self, file: BinaryIO, columns: Mapping[str, Kind]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        self._writer = csv.DictWriter(self._text, list(columns), extrasaction="ignore")
        self._writer.writeheader()

    def write(self, rows: Rows) -> None:
        self._writer.writerows(rows)

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class _JsonLines:
    @staticmethod
    def mark(columns: Mapping[str, Kind]) -> Mark:
        return Mark(f'{{"{next(iter(columns))}":'.encode())

    def __init__(self, file: BinaryIO, columns: Mapping[str, Kind]) -> None:
        self._file, self._columns = file, columns

    def write(self, rows: Rows) -> None:
        for row in rows:
            self._file.write(msgspec.json.encode({name: row[name] for name in self._columns}) + b"\n")

    def close(self) -> None:
        self._file.flush()


class _Parquet:
    """Every page becomes a row group."""

    @staticmethod
    def mark(columns: Mapping[str, Kind]) -> Mark:
        return Mark(b"PAR1", b"written by Face Organizer")

    def __init__(self, file: BinaryIO, columns: Mapping[str, Kind]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise RequestError(
                f"--format parquet needs pyarrow, which is not installed: {sys.executable} -m pip install pyarrow"
            ) from error
        kinds = {"int": pyarrow.int64(), "float": pyarrow.float64(), "text": pyarrow.string(), "bool": pyarrow.bool_()}
        self._arrow = pyarrow
        self._schema = pyarrow.schema(
            [(name, kinds[kind]) for name, kind in columns.items()], {"comment": self.mark(columns).holds}
        )
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Rows) -> None:
        if rows:
            names = self._schema.names
            table = self._arrow.Table.from_pylist([{name: row[name] for name in names} for row in rows], self._schema)
            self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


KINDS: Mapping[Format, type[_Csv] | type[_JsonLines] | type[_Parquet]] = {
    "csv": _Csv,
    "jsonl": _JsonLines,
    "parquet": _Parquet,
}
