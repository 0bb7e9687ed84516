"""What the web server serves, as the doors it needs. Who stands behind them, only app/door.py knows.

Room:    web (talks)
Imports: stdlib
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol


class File(Protocol):
    """An open file; whoever has it closes it."""

    @property
    def file(self) -> BinaryIO: ...
    @property
    def name(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


class Pictures(Protocol):
    """JPEGs of at most about side_px. Any thread. Raise RequestError."""

    def face(self, face_id: int, side_px: int) -> bytes: ...
    def image(self, image_id: int, side_px: int) -> bytes: ...
    def original(self, image_id: int) -> File: ...


class Line(Protocol):
    """One thing that happened."""

    @property
    def number(self) -> int: ...
    @property
    def event(self) -> str: ...
    @property
    def fields(self) -> dict[str, Any]: ...


class Told(Protocol):
    """What happened lately. Any thread, and at once."""

    @property
    def last(self) -> int: ...
    def since(self, number: int, limit: int) -> tuple[Sequence[Line], bool]: ...


@dataclass(frozen=True, slots=True)
class Served:
    """One library. (Several would be several of these, under a prefix each.)

    calls: by name, as over the control socket; any thread. enrol(name, content): takes an image in, and answers when it
    is placed. health(): why not all is well, [] if it is. busy(): images are on their way. figures(): see metrics.py.
    file_max_bytes(): of one that is sent, now.
    """

    calls: Mapping[str, Callable[..., Any]]
    pictures: Pictures
    told: Told
    enrol: Callable[[str, bytes], dict[str, Any]]
    health: Callable[[], list[str]]
    busy: Callable[[], bool]
    figures: Callable[[], dict[str, Any]]
    file_max_bytes: Callable[[], int]
