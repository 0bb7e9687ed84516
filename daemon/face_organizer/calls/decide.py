"""Decisions of humans and what becomes of runs: texts in, plain answers out.

Room:    app (wires)
Imports: pipeline, calls, names
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from face_organizer.calls.desk import Answer, Desk
from face_organizer.calls.meant import Picture, face_meant, person_meant
from face_organizer.calls.told import run_in_full
from face_organizer.errors import RequestError
from face_organizer.pipeline.change import images_gone
from face_organizer.pipeline.cover import cover_of
from face_organizer.pipeline.recluster import Kept, Kind
from face_organizer.pipeline.split import parts_of
from face_organizer.types import NOBODY

SPLIT_SEED = 0


class Decide:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def recluster(self, reason: str = "asked", propose: bool = False) -> Answer:
        """Re-cluster now, and wait for it; apply what was found, or keep it as a proposal."""
        kind: Kind = "proposal" if propose else "asked"
        return self._run(self._desk.recluster.request(reason, kind).wait(unless=self._desk.failed))

    def apply(self, run_id: int | None = None) -> Answer:
        """Apply a proposal, the one that waits if no run is named."""
        return self._run(self._desk.runs.apply(run_id))

    def dismiss(self, run_id: int | None = None) -> Answer:
        """Let a proposal wait no more, the one that waits if no run is named; nothing changes."""
        return self._run(self._desk.runs.dismiss(run_id))

    def run(self, run_id: int) -> Answer:
        """One run: what it moved, and what became of persons."""
        with self._desk.store.read() as txn:
            run = txn.runs.get(run_id)
        if run is None:
            raise RequestError(f"there is no run {run_id}: `face-organizer runs` lists them")
        return self._run((run_id, run))

    def rollback(self, run_id: int | None = None) -> Answer:
        """Take a run back, and what was applied after it; the latest that changed anything if no run is named."""
        try:
            return {"rolled_back": self._desk.runs.rollback(run_id)}
        finally:
            self._desk.crowd.outdate()

    # decisions

    def name(self, who: str | Picture, name: str) -> Answer:
        """A person's name. who: a person, or a picture whose person is meant; that face is confirmed then."""
        if isinstance(who, str):
            person_id = self._person(who)
            return self._decided(self._desk.decide.name(person_id, name, self._cover(person_id)))
        face_id = self._face(who)
        person_id = int(self._desk.roster.person_of[face_id])
        if person_id == NOBODY:
            return self._decided(self._desk.decide.found([face_id], name))
        return self._decided(self._desk.decide.name(person_id, name, [face_id]))

    def merge(self, one: str, into: str, together: bool = False) -> Answer:
        return self._decided(self._desk.decide.merge(self._person(one), self._person(into), together=together))

    def apart(self, one: str, other: str) -> Answer:
        """Two persons are not one; whoever says so has looked at the faces that stand for them."""
        a, b = self._person(one), self._person(other)
        return self._decided(self._desk.decide.apart((a, self._cover(a)), (b, self._cover(b))))

    def split(self, person: str, into: int | None = None) -> Answer:
        """A person is several: as many as `into`, or as many as appear."""
        person_id = self._person(person)
        with self._desk.store.read() as txn:
            parts = parts_of(txn, person_id, into, self._desk.book.rules, SPLIT_SEED)
        answer = self._decided(self._desk.decide.split(person_id, parts))
        now = [int(self._desk.roster.person_of[part[0]]) for part in parts]
        return answer | {
            "persons": [{"person_id": id_, "faces": len(part)} for id_, part in zip(now, parts, strict=True)]
        }

    def reject(self, faces: Sequence[str | Picture]) -> Answer:
        return self._decided(self._desk.decide.reject([self._face(face) for face in faces]))

    def assign(self, faces: Sequence[str | Picture], person: str, new: bool = False) -> Answer:
        """new: `person` is the name of somebody who has no face here yet."""
        face_ids = [self._face(face) for face in faces]
        if new:
            return self._decided(self._desk.decide.found(face_ids, person))
        return self._decided(self._desk.decide.assign(face_ids, self._person(person)))

    def hide(self, person: str, hidden: bool = True) -> Answer:
        return self._decided(self._desk.decide.hide(self._person(person), hidden=hidden))

    def would_forget(self, person: str) -> Answer:
        """What forgetting a person would take."""
        return asdict(self._desk.forget.would(self._person(person)))

    def forget(self, person: str, images: bool = False) -> Answer:
        """Forget a person for ever: faces, name, decisions; and the images that show nobody else, if asked."""
        try:
            return asdict(self._desk.forget.forget(self._person(person), images=images))
        finally:
            self._desk.crowd.outdate()

    def undo(self, decision_id: int | None = None) -> Answer:
        """Take a decision back, the latest one if none is named. missing: so many of its images nobody has any more;
        undone_by: the undo is a decision, too, and this is its number."""
        undone, decision = self._desk.decide.undo(decision_id)
        self._desk.crowd.outdate()
        self._desk.log.info("decision_undone", decision_id=undone, kind=decision.kind)
        with self._desk.store.read() as txn:
            change = txn.changes.get(decision.change_id)
            missing = images_gone(txn, change) if change else 0
            now = txn.decisions.get(undone)
        undone_by = now.undone_by if now else 0
        return {"undone": undone, "says": decision.says, "missing": missing, "undone_by": undone_by}

    # what is meant, and what was done

    def _person(self, text: str) -> int:
        with self._desk.store.read() as txn:
            return person_meant(txn, text)

    def _face(self, meant: str | Picture) -> int:
        with self._desk.store.read() as txn:
            return face_meant(txn, meant)

    def _cover(self, person_id: int) -> list[int]:
        def find() -> list[int]:
            with self._desk.store.read() as txn:
                return cover_of(txn, self._desk.roster, person_id)

        return list(self._desk.in_gallery(find))

    def _run(self, kept: Kept) -> Answer:
        self._desk.crowd.outdate()
        return run_in_full(self._desk, kept)

    def _decided(self, decision_id: int) -> Answer:
        self._desk.crowd.outdate()
        with self._desk.store.read() as txn:
            decision = txn.decisions.get(decision_id)
        assert decision is not None, decision_id
        self._desk.log.info("decision_made", decision_id=decision_id, kind=decision.kind)
        return {"decision_id": decision_id, "says": decision.says}
