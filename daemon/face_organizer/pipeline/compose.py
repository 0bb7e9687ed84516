"""One decision of everything that somebody did in the folders in one go, made of those that there are.

Room:    pipeline (moves)
Imports: types, records, errors, ports, identity, book, cover, drafts, roster

What cannot be decided (a name that somebody has) is left out, with the reason, and the rest is done.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from face_organizer.errors import RequestError
from face_organizer.identity.laid import About, Meaning, Target
from face_organizer.pipeline.book import Called
from face_organizer.pipeline.cover import cover_of
from face_organizer.pipeline.drafts import Draft, Drafts
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Transaction
from face_organizer.records import UNBORN, Verdict
from face_organizer.types import NOBODY

SORTED = "sorted"
"""The kind of a decision that is of several kinds."""

SAYS_MAX = 6


class Composition:
    """See the module's text. In the gallery's thread, within the transaction of the decision."""

    def __init__(self, txn: Transaction, drafts: Drafts, roster: Roster, one_face_per_image: bool) -> None:
        self._txn, self._drafts, self._roster = txn, drafts, roster
        self._one_face_per_image = one_face_per_image
        self._parts: list[Draft] = []
        self._failed: dict[About, str] = {}

    def of(self, meant: Meaning) -> tuple[Draft, dict[About, str]]:
        """The draft, without a kind where nothing is decided; and of whom nothing could be, with the reason."""
        for person_id, folder in meant.names.items():
            self._try([("person", person_id)], lambda: self._name(person_id, folder))  # noqa: B023 - called at once
        for person_id in meant.hides:
            self._try([("person", person_id)], lambda: self._drafts.hide(self._txn, person_id, hidden=True))  # noqa: B023
        for person_id in meant.shows:
            self._try([("person", person_id)], lambda: self._drafts.hide(self._txn, person_id, hidden=False))  # noqa: B023
        for person_id, into_id in meant.merges.items():
            self._try([("person", person_id)], lambda: self._merge(person_id, into_id, meant))  # noqa: B023
        goes: dict[int, int] = {}
        for number, (target, faces) in enumerate(self._by_target(meant.assigns).items()):
            made = self._all_or_each(faces, lambda some: self._assign(some, target, UNBORN + number))  # noqa: B023
            goes |= {face: target if isinstance(target, int) else UNBORN + number for face in made}
        for trashed in (False, True):
            rejected = [face for face, away in meant.rejects.items() if away == trashed]
            self._all_or_each(rejected, lambda some: self._reject(some, trashed=trashed))  # noqa: B023
        return self._whole(goes), self._failed

    # the parts

    def _name(self, person_id: int, folder: str) -> Draft:
        cover = cover_of(self._txn, self._roster, person_id)
        return self._drafts.name(self._txn, person_id, Called(folder, stands=True), cover)

    def _merge(self, from_id: int, into_id: int, meant: Meaning) -> Draft:
        """The folder that everything was dragged into stays as it is called, if somebody just gave it that name."""
        made = self._drafts.merge(self._txn, from_id, into_id)
        if into_id in meant.names:
            made.persons = []
        return made

    def _by_target(self, assigns: Mapping[int, Target]) -> dict[Target, list[int]]:
        """Whose each face is said to be; of one image, one face for each."""
        by_target: dict[Target, list[int]] = defaultdict(list)
        taken: set[tuple[Target, int]] = set()
        for face, target in assigns.items():
            image = int(self._roster.image_of[face])
            if self._one_face_per_image and (target, image) in taken:
                self._failed["face", face] = f"face {face} is in one image with another that was laid with {target}"
                continue
            taken.add((target, image))
            by_target[target].append(face)
        return by_target

    def _assign(self, faces: Sequence[int], target: Target, unborn: int) -> Draft:
        """They are this person, and not who they were."""
        if isinstance(target, int):
            made = self._drafts.assign(self._txn, faces, target)
        else:
            made = self._drafts.found(self._txn, faces, Called(target, stands=True), unborn)
        were: dict[int, list[int]] = defaultdict(list)
        for face in faces:
            were[int(self._roster.person_of[face])].append(face)
        no_more = [
            Verdict(tuple(some), was, is_person=False) for was, some in were.items() if was not in (NOBODY, target)
        ]
        made.verdicts = [*no_more, *made.verdicts]
        return made

    def _reject(self, faces: Sequence[int], *, trashed: bool) -> Draft:
        made = self._drafts.reject(self._txn, faces, to_nobody=True)
        made.trashed = set(faces) if trashed else set()
        return made

    # one by one where not all together

    def _try(self, about: Sequence[About], make: Callable[[], Draft]) -> bool:
        try:
            self._parts.append(make())
        except RequestError as error:
            self._failed |= dict.fromkeys(about, str(error))
            return False
        return True

    def _all_or_each(self, faces: Sequence[int], make: Callable[[Sequence[int]], Draft]) -> list[int]:
        """One draft for all of these faces, or, where that is refused, one for each; returns those that were taken."""
        if not faces:
            return []
        try:
            self._parts.append(make(faces))
            return list(faces)
        except RequestError:
            return [face for face in faces if self._try([("face", face)], lambda: make([face]))]  # noqa: B023

    # all in one

    def _whole(self, goes: Mapping[int, int]) -> Draft:
        """goes: where faces go that somebody spoke of, over what follows for others."""
        parts = self._parts
        kinds = dict.fromkeys(part.kind for part in parts)
        whole = Draft("" if not parts else next(iter(kinds)) if len(kinds) == 1 else SORTED, "")
        for part in parts:
            whole.verdicts += part.verdicts
            whole.goes |= part.goes
            changed = {each.person_id for each in whole.persons}
            whole.persons += [each for each in part.persons if each.person_id not in changed]
            whole.merged |= part.merged
            whole.born_as |= part.born_as
            whole.trashed |= part.trashed
        whole.goes |= goes
        whole.trashed = {face for face in whole.trashed if whole.goes[face] == NOBODY}
        told = [part.says for part in parts]
        more = f"; and {len(told) - SAYS_MAX} more" if len(told) > SAYS_MAX else ""
        whole.says = "in the folders: " + "; ".join(told[:SAYS_MAX]) + more
        return whole
