"""Questions: who is there, who looks like this, why is it there, what was decided, does it all agree.

Room:    app (wires)
Imports: pipeline, calls, names
"""

from __future__ import annotations

from collections.abc import Sequence

from face_organizer.calls.desk import Answer, Desk
from face_organizer.calls.meant import Picture, image_meant, person_meant
from face_organizer.pipeline import answers
from face_organizer.pipeline.contradictions import contradictions
from face_organizer.pipeline.explain import explain
from face_organizer.pipeline.keep_graph import remake_graph
from face_organizer.pipeline.unheard import look_again
from face_organizer.ports import Transaction
from face_organizer.records import ImageRecord, RunRecord


class Ask:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def people(self, everybody: bool = False) -> list[Answer]:
        """Everybody, most faces first. everybody: hidden persons too."""
        with self._desk.store.read() as txn:
            return answers.people(txn, self._desk.library, everybody=everybody)

    def search(
        self,
        photos: list[tuple[str, str]],
        top: int = 20,
        similarity_min: float | None = None,
        face: int | None = None,
        person: str = "",
        together: Sequence[str] = (),
    ) -> list[Answer]:
        """Who looks like the faces in these photos, or which images show all of some persons.

        photos: (name, content in base64); none: every image that shows the persons `together`. face: which one of each
        photo, from the left, 1 the first; None: all. person: only this one's faces. Raises ItemError, RequestError.
        """
        probes = self._desk.embed(photos, face) if photos else None
        bound = self._desk.book.rules.similarity_member_min if similarity_min is None else similarity_min
        with self._desk.store.read() as txn:
            all_of = [person_meant(txn, each) for each in together]
            if probes is None:
                return answers.images_of(txn, self._desk.library, all_of, top)
            only = person_meant(txn, person) if person else None

            def fits(person_id: int, image: ImageRecord) -> bool:
                return only in (None, person_id) and answers.shows(txn, image, all_of)

            return answers.search(txn, self._desk.index, self._desk.library, probes, top, bound, fits)

    def explain(self, picture: Picture) -> Answer:
        """Why each face of an image is where it is."""
        with self._desk.store.read() as txn:
            image_id = image_meant(txn, picture)
            faces = explain(txn, self._desk.index, self._desk.library, self._desk.similarities, image_id)
            return {"image": picture["path"], "image_id": image_id, "faces": faces}

    def history(self) -> list[Answer]:
        """Every decision, the oldest first."""
        with self._desk.store.read() as txn:
            return [
                {"decision_id": id_, "kind": each.kind, "says": each.says, "undone_by": each.undone_by or None}
                | {"at_s": each.at_s}
                for id_, each in txn.decisions.items()
            ]

    def runs(self) -> list[Answer]:
        """Every run, the oldest first."""
        with self._desk.store.read() as txn:
            return [answers.run_summary(id_, run) for id_, run in txn.runs.items()]

    def check(self, repair: bool = False) -> Answer:
        """Compare truth, index and folders. repair: put the views right (truth is never changed to fit them), and say
        what is left of the findings then; what people are doing in the folders is decided first."""
        if repair:
            self._desk.hear_out()
        findings = left = self._findings()
        if repair and findings:
            desk = self._desk
            desk.in_gallery(self._remake_views)
            remake_graph(desk.store, desk.find_neighbours, desk.book.rules.neighbours, desk.in_gallery)
            desk.place()
            left = self._findings()
        return {"findings": findings, "repaired": len(findings) - len(left), "left": left, "clean": not left}

    def _findings(self) -> list[Answer]:
        with self._desk.store.read() as txn:
            return contradictions(txn, self._desk.index, self._desk.folders.holds, self._desk.folders.walk())

    def _remake_views(self) -> None:
        """In the gallery's thread: the index anew, and every file looked at again."""
        self._desk.keeper.rebuild("asked for", is_meant=True)
        with self._desk.store.write() as txn:
            look_again(txn, self._desk.is_undecided)


def proposal(txn: Transaction) -> Answer | None:
    """The run that waits to be applied, for status."""
    waiting = [(id_, run) for id_, run in txn.runs.items() if run.state == "proposed"]
    return _waiting(*waiting[-1]) if waiting else None


def _waiting(run_id: int, run: RunRecord) -> Answer:
    return {"run_id": run_id, "why": run.waits, "moved": run.moved, "merged": run.merged, "split": run.split}
