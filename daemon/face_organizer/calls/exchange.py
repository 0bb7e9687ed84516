"""What goes out to other programs and comes in from them, a page at a time.

Room:    app (wires)
Imports: pipeline, calls, errors
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from face_organizer.calls.desk import Answer, Desk
from face_organizer.errors import RequestError
from face_organizer.pipeline.export import faces_page, regions_page
from face_organizer.pipeline.import_names import Meant, plan_names
from face_organizer.pipeline.where import conditions

PAGE_MAX = 2000


class Exchange:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def export_faces(self, after: int = 0, limit: int = PAGE_MAX, where: Sequence[str] = ()) -> Answer:
        """{"rows", "next"}: the faces after a face id, in the order of their ids. where: see pipeline/where.py."""
        holds = conditions(where, self._desk.attributes_lack())
        with self._desk.store.read() as txn:
            return faces_page(txn, self._desk.library, self._desk.book.constraints, holds, after, _limited(limit))

    def export_regions(self, after: int = 0, limit: int = PAGE_MAX) -> Answer:
        """{"rows", "next"}: the images after an image id that show a person with a name, and whose faces where."""
        with self._desk.store.read() as txn:
            return regions_page(txn, after, _limited(limit))

    def follow_edits(self, image_ids: list[int]) -> Answer:
        """{"edited", "problems"}: somebody edited these images where they lie; all their places show it in a moment."""
        followed = self._desk.edits.follow_images(image_ids)
        return {"edited": followed.edited, "problems": followed.unclear}

    def import_names(self, images: list[dict[str, Any]], dry_run: bool = False) -> Answer:
        """Names that other programs gave to faces, as decisions: {"decisions", "images", "matched", "unmatched",
        "unknown"}.

        images: [{"digest" (hex), "regions": [{"name", "box": shares of the image, upright or as stored}], "turn": the
        EXIF orientation, "ours": was it we who wrote them?}]. dry_run: only tell what would be decided.
        """
        desk = self._desk
        with desk.store.read() as txn:
            plan = plan_names(txn, desk.book.constraints, images)
        done = [each.says if dry_run else self._decide(each) for each in plan.meant]
        return {
            "decisions": [each for each in done if each],
            "images": plan.images,
            "matched": plan.matched,
            "unmatched": plan.unmatched,
            "unknown": plan.unknown,
        }

    def _decide(self, meant: Meant) -> str:
        """Raises nothing that one name alone is to blame for: it is told instead."""
        decide = self._desk.decide
        try:
            if meant.kind == "name":
                decide.name(meant.person_id, meant.name, meant.face_ids)
            elif meant.kind == "assign":
                decide.assign(meant.face_ids, meant.person_id)
            else:
                decide.found(meant.face_ids, meant.name)
        except RequestError as error:
            return f"{meant.says}: refused: {error}"
        return meant.says


def _limited(limit: int) -> int:
    if not 0 < limit <= PAGE_MAX:
        raise RequestError(f"a page holds 1 to {PAGE_MAX} lines, not {limit}")
    return limit
