"""The decode stage: from a settled file to pixels.

Room:    pipeline (moves)
Imports: types, ports, vision
"""

from __future__ import annotations

from collections.abc import Callable

from face_organizer.ports import ImageReader
from face_organizer.types import DecodedImage, ImageRef, Limits
from face_organizer.vision.decode import content_digest, decode


class Decode:
    """Reads and decodes; a worker of its own in every decoder thread. Raises ItemError for what is no image.
    limits(): those of now."""

    def __init__(self, reader: ImageReader, limits: Callable[[], Limits]) -> None:
        self._reader, self._limits = reader, limits

    def __call__(self, refs: list[ImageRef]) -> list[DecodedImage]:
        return [self._decoded(ref) for ref in refs]

    def _decoded(self, ref: ImageRef) -> DecodedImage:
        data = self._reader.read(ref)
        limits = self._limits()
        image = decode(data, pixels_max=limits.pixels_max, side_max_px=limits.side_max_px)
        return DecodedImage(ref, content_digest(data), image.pixels, image.width_px, image.height_px)
