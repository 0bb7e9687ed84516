"""Makes one decision of what somebody did in the folders: what a walk found, as the gallery finds it again.

Room:    pipeline (moves)
Imports: types, ports, identity, book, brought, compose, decide, drafts, matched, roster,
         unheard, walked

Between the walk and the decision files may have been placed, or laid elsewhere. So everything is looked at once more in
the gallery's thread, in the transaction of the decision: a file that is not pending there is touched by nobody of ours,
and what it lacks, people took.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from face_organizer.identity.laid import About, Around, Laid, Meaning, Target, meaning_of
from face_organizer.identity.placement import numbered_person
from face_organizer.pipeline.book import Book, living_person
from face_organizer.pipeline.brought import drop_brought
from face_organizer.pipeline.compose import Composition
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.drafts import Draft
from face_organizer.pipeline.matched import folder_of, places_of
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.unheard import put_unheard, unheard
from face_organizer.pipeline.walked import Sighting, Walked
from face_organizer.ports import Transaction, Tree
from face_organizer.types import NOBODY


@dataclass
class Understood:
    """What became of it. decision_id: 0 where nothing was decided. files: how many were spoken of. unclear: what
    was left alone, and why, in sentences. spoiled: something changed meanwhile. named: the folders that somebody is
    called after now."""

    decision_id: int = 0
    says: str = ""
    files: int = 0
    unclear: list[str] = field(default_factory=list)
    spoiled: bool = False
    named: list[str] = field(default_factory=list)


class ByHand:
    """See the module's text. Any thread but the gallery's."""

    def __init__(self, decide: Decide, roster: Roster, book: Book, tree: Tree) -> None:
        self._decide, self._roster, self._book, self._tree = decide, roster, book, tree

    def understand(self, walked: Walked, renamed: Mapping[str, str]) -> Understood:
        """Decide what was meant, all in one, and have it done. renamed: folder -> what the same folder is called now.

        Raises NoRoomError, Cancelled as every decision does.
        """
        answer = Understood()

        def draft(txn: Transaction) -> Draft:
            seen: list[Sighting] = []
            spoiled: list[Sighting] = []
            for each in walked.sightings:
                (seen if self._is_still_so(txn, each) else spoiled).append(each)
            answer.spoiled = bool(spoiled)
            left = dict(walked.left)
            for folder in (folder_of(place) for each in spoiled for place in places_of(each.record)):
                left[folder] = left.get(folder, 0) + 1
            persons, hidden = self._persons(txn, seen)
            before = unheard(txn)
            around = Around(persons, walked.folders.keys(), left, renamed, walked.known, hidden, before)
            gone_by = [each for each in seen if each.laid_in and persons.get(each.laid_in, NOBODY) in {NOBODY, *hidden}]
            drop_brought(txn, (each.file_id for each in gone_by))  # that folder is nobody's any more
            seen = [each for each in seen if each not in gone_by] if gone_by else seen
            laid = self._laid(txn, seen)
            meant = meaning_of(laid, around, lambda faces, target: self._closest(txn, faces, target))
            made, failed = Composition(txn, self._decide.drafts, self._roster, self._book.rules.one_face_per_image).of(
                meant
            )
            put_unheard(txn, meant.unheard | (before & {each.file_id for each in spoiled}))
            answer.unclear += [f"{_named(seen, file_id)}: {why}" for file_id, why in meant.unclear.items()]
            answer.unclear += failed.values()
            answer.named = [folder for id_, folder in meant.names.items() if ("person", id_) not in failed]
            for each, file in zip(seen, laid, strict=True):
                self._write_down(made, each, file, meant, failed)
            drop_brought(txn, made.files)
            answer.says, answer.files = made.says, len(made.files)
            return made

        answer.decision_id = self._decide.make(draft)
        return answer

    def _is_still_so(self, txn: Transaction, seen: Sighting) -> bool:
        if txn.files.get(seen.file_id) != seen.record or txn.pending(1, seen.file_id) == [seen.file_id]:
            return False
        look = self._tree.look
        try:
            instead = {lying.place: lying for lying in seen.instead}
            gone = all(look(place) == instead.get(place) for place in seen.gone) and all(map(look, seen.stands))
            return gone and all(look(lying.place) == lying for lying in seen.came)
        except OSError:
            return False

    def _persons(self, txn: Transaction, seen: Sequence[Sighting]) -> tuple[dict[str, int], set[int]]:
        """folder -> whose it is, and who of them is hidden. The number in a folder's name says so, too, of who had that
        folder until just now."""
        living = [(id_, person) for id_, person in txn.persons.items() if id_ in self._roster.faces_of]
        hidden = {id_ for id_, person in living if person.hidden}
        found = {person.folder: id_ for id_, person in living if id_ in hidden}
        found |= {person.folder: id_ for id_, person in living if id_ not in hidden}
        for folder in {folder_of(lying.place) for each in seen for lying in each.came} - found.keys():
            heir = living_person(txn, numbered_person(folder))
            if heir in self._roster.faces_of:
                found[folder] = heir
        return found, hidden

    def _laid(self, txn: Transaction, seen: Sequence[Sighting]) -> list[Laid]:
        lies = {
            each.file_id: frozenset(
                [each.laid_in]
                if each.laid_in
                else map(folder_of, (*each.stands, *(lying.place for lying in each.came)))
            )
            for each in seen
        }
        laid = []
        for each in seen:
            image = txn.images.get(each.record.image_id) if each.record.image_id else None
            twins: set[str] = set()
            for other in image.file_ids if image else ():
                file = txn.files.get(other) if other != each.file_id else None
                if file is not None and not file.missing:
                    twins |= lies.get(other, frozenset(map(folder_of, places_of(file))))
            lost = each.record.missing or bool(each.laid_in)
            was = frozenset() if lost else frozenset(map(folder_of, places_of(each.record)))
            faces = {face: int(self._roster.person_of[face]) for face in (image.face_ids if image else ())}
            crossed = frozenset(folder_of(lying.place) for lying in each.came if lying.signature.inode in each.inodes)
            laid.append(
                Laid(
                    each.file_id,
                    was,
                    lies[each.file_id],
                    faces,
                    frozenset(twins),
                    comes_back=each.comes_back,
                    was_lost=lost,
                    crossed=crossed,
                    is_new=bool(each.laid_in),
                )
            )
        return laid

    def _closest(self, txn: Transaction, faces: Sequence[int], target: Target) -> int:
        """The most similar to the person's centroid; of somebody yet unknown, the largest."""
        centroids = self._roster.centroids
        if isinstance(target, int) and len(rows := np.flatnonzero(centroids.ids == target)):
            return faces[int(np.argmax(txn.vectors(faces) @ centroids.matrix[int(rows[0])]))]

        def area(face_id: int) -> float:
            face = txn.faces.get(face_id)
            return (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) if face else 0.0

        return max(faces, key=area)

    def _write_down(self, made: Draft, seen: Sighting, laid: Laid, meant: Meaning, failed: Mapping[About, str]) -> None:
        """Where the file lies, so that what is done next begins there. What was not understood stays as it is known."""
        told = meant.told.get(seen.file_id, [])
        if laid.file_id in meant.unheard | meant.unclear.keys() or any(about in failed for about in told):
            return
        lies = tuple(dict.fromkeys((*(lying.place for lying in seen.came), *seen.stands)))
        if laid.is_gone:
            made.files[seen.file_id] = replace(seen.record, places=(), missing=True, kept_in=())
            return
        is_moved = bool(laid.lies - laid.was) and not seen.record.missing
        if told or (is_moved and laid.lies != laid.was):  # it is placed anew, and clears up what is left behind
            came = {folder_of(lying.place).casefold() for lying in seen.came}
            lies += tuple(place for place in seen.gone if folder_of(place).casefold() not in came)
        if not told and (is_moved or seen.record.missing):
            made.again.add(seen.file_id)
        places = tuple(os.fsencode(place) for place in lies)
        kept_in = tuple(os.fsencode(folder) for folder in sorted(laid.kept_in))
        made.files[seen.file_id] = replace(seen.record, places=places, missing=False, kept_in=kept_in)
        if kept_in:
            made.kept.add(seen.file_id)


def _named(seen: Sequence[Sighting], file_id: int) -> str:
    """Where a file lies that nothing was understood of."""
    each = next(each for each in seen if each.file_id == file_id)
    return ", ".join(lying.place for lying in each.came) or os.fsdecode(each.record.name)
