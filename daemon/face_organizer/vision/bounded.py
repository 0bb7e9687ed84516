"""What the bytes of one image may cost: how often they are read, and how many passes a JPEG asks for.

Room:    vision (thinks)
Imports: errors, stdlib

The number of pixels bounds a decoder's memory, not its time. A megabyte can ask for hours: a progressive JPEG of
thousands of scans, each a pass over all pixels, or a header of a million segments, each appended to the one before.
"""

from __future__ import annotations

import io
import re

from face_organizer.errors import DecodeError

READS_MAX = 200_000
"""Pieces a file may be read in. A 250-MB PNG in chunks of 8 kB takes 130,000."""

READ_SHARE_MAX = 4
"""Times its own length that may be read of a file; no real file is read twice."""

SCANS_MAX = 100
"""Scans of a JPEG. Encoders write 1 to 4, progressive ones 10; a pass over 120 megapixels takes 0.1 s."""

_SEGMENT_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""What ends the compressed data of a scan: a marker that is neither a stuffed byte, a filler nor a restart."""

_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


class BoundedBytes(io.BytesIO):
    """A file in memory that gives up when it is read too often. read() raises DecodeError then."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads_left = READS_MAX
        self._bytes_left = READ_SHARE_MAX * len(data) + (1 << 20)

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self._reads_left -= 1
        self._bytes_left -= len(content)
        if self._reads_left < 0 or self._bytes_left < 0:
            raise DecodeError("its parts refer to each other so often that reading it would not end")
        return content


def scans_of(jpeg: bytes) -> int:
    """The scans of a JPEG's first image, counted up to the first too many. Whatever the bytes, it ends."""
    at, scans = 2, 0
    while at + 4 <= len(jpeg) and scans <= SCANS_MAX:
        if jpeg[at] != 0xFF:
            at += 1  # garbage between segments, which libjpeg skips too
            continue
        kind = jpeg[at + 1]
        if kind == _END_OF_IMAGE:
            break
        if kind in _ALONE or kind in (0x00, 0xFF):
            at += 1 if kind == 0xFF else 2
            continue
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if kind == _START_OF_SCAN:
            scans += 1
            marker = _SEGMENT_END.search(jpeg, at)
            at = marker.start() if marker else len(jpeg)
    return scans
