"""How an organizer stands: an answer for programs, a line for people.

Room:    app (wires)
Imports: intake, calls, adapters, pipeline, names
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import Any

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.store import LmdbStore
from face_organizer.app.intake import Intake
from face_organizer.calls.ask import proposal
from face_organizer.calls.desk import Answer
from face_organizer.config import Config
from face_organizer.pipeline import answers
from face_organizer.pipeline.flow import Pipeline
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.hands import Hands
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.pulse import Pulses
from face_organizer.pipeline.recluster import Recluster
from face_organizer.pipeline.reembed import Reembed
from face_organizer.pipeline.rejected import RejectedFiles
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.scrub import FORGOTTEN
from face_organizer.pipeline.space import Lack, Space
from face_organizer.pipeline.told import Telling
from face_organizer.types import InboxState

PROBLEMS_SHOWN = 50
ATTENTION = {"watched": "watching", "polling": "polling", "lost": "waiting for"}


@dataclass(frozen=True)
class Status:
    """What it looks at. in_gallery runs something in the gallery's thread; neighbours(): see Organizer; trash(): how
    many files lie in trash/, None where that cannot be told. Any thread."""

    config: Config
    store: LmdbStore
    index: FaceIndex
    roster: Roster
    intake: Intake
    pipeline: Callable[[], Pipeline]
    gallery: Gallery
    placer: Placer
    space: Space
    recluster: Recluster
    reembed: Reembed
    hands: Hands
    rejected: RejectedFiles
    pulses: Pulses
    told: Telling
    in_gallery: Callable[[Callable[[], Any]], Any]
    neighbours: Callable[[], Sequence[str]]
    trash: Callable[[], int | None]
    started: float = field(default_factory=monotonic)

    def answer(self) -> Answer:
        """The call `status`: counts, queues, index, last run."""
        return {
            "running": self.intake.is_open,
            "pid": os.getpid() if self.intake.is_open else None,
            "inbox": answers.printable(str(self.config.inbox_path)),
            "inbox_state": _state_told(self.intake.state),
            "library": answers.printable(str(self.config.library_path)),
            "read_only": answers.printable(self.store.unwritable) or None,
            "people": self.config.people,
            **self.in_gallery(self._truth),
            "trash": self.trash(),
            "sidecars": self.intake.sidecars,
            "in_flight": self._in_flight(),
            "folders": self._folders(),
            "paused": _lack_told(self.space.lack),
            "queues": self.pipeline().queues(),
            "threads": self.intake.thread_states | self.pulses.states(),
            "device": self.intake.device,
            "devices": self.intake.devices(),
            "notices": [*map(answers.printable, self.intake.notices())],
            "pack": self.reembed.pack,
            "reclustering": self.recluster.running,
            "problems": [*map(answers.printable, self.neighbours()), *self.hands.problems(), *self.problems()],
            "index": self._index(),
            "store_bytes": self.store.size_bytes(),
            "up_s": round(monotonic() - self.started, 1),
        }

    def events(self, limit: int = 20) -> list[Answer]:
        """The call `events`: the newest lines of the log, the oldest of them first."""
        lines, _ = self.told.since(max(0, self.told.last - limit), limit)
        return [
            {"number": line.number, "event": line.event}
            | {"fields": {key: answers.printable(str(value)) for key, value in line.fields.items()}}
            for line in lines
        ]

    def line(self) -> str:
        """What it does just now, and how much there is."""
        state = self.intake.state or InboxState("lost", "nobody looks at it")
        doing = f"{ATTENTION[state.kind]} {ascii(str(self.config.inbox_path))[1:-1]}"
        doing += f" ({state.reason})" if state.reason else ""
        if self.recluster.running:
            doing = "re-clustering"
        if lack := self.space.lack:
            doing = f"paused, no room in {ascii(lack.folder)[1:-1]}"
        if notices := self.intake.notices():
            doing = f"on {self.intake.device} only ({answers.printable(notices[0])}): {doing}"
        counted = f"{len(self.roster.faces_of)} persons, {self.index.count} faces"
        return f"{doing}: {counted}, {self._in_flight()} in flight"

    def _truth(self) -> Answer:
        """What the truth says. In the gallery's thread."""
        with self.store.read() as txn:
            last_id = txn.last_id("runs")
            last = txn.runs.get(last_id)
            return answers.counts(txn, self.roster, self.rejected) | {
                "last_run": answers.run_summary(last_id, last) if last else None,
                "proposal": proposal(txn),
                "reembed": self.reembed.told(txn),
                "decisions": txn.decisions.count(),
            }

    def _folders(self) -> Answer | None:
        """How the library's folders are followed, and what was understood last, while that stands; None where nobody
        ever does. moved: while no daemon follows them, how many files were moved by hand and wait to be taken in."""
        if not self.hands.patience.is_on:
            return None
        told, last_id = _state_told(self.hands.state) or {}, self.hands.last.decision_id
        if not self.intake.is_open:
            told = {"state": "unwatched", "reason": "no daemon runs"}
        with self.store.read() as txn:  # it may have been taken back since, or speak of somebody who was forgotten
            last = txn.decisions.get(last_id)
        if last is None or last.undone_by or last.kind == FORGOTTEN:
            last_id, last = 0, None
        return (
            told
            | {"moved": self.hands.moved}
            | {"decision_id": last_id or None, "says": last.says if last else None}
            | {"unclear": [answers.printable(problem) for problem in self.hands.unclear()]}
        )

    def _index(self) -> Answer:
        """nprobe, recall: None until they are known; an index without lists is exact."""
        tuned, trained_on = self.index.tuned, self.index.trained_on
        return {
            "faces": self.index.count,
            "trained_on": trained_on,
            "nprobe": tuned.nprobe if tuned else None,
            "recall": tuned.recall if tuned else None if trained_on else 1.0,
        }

    def _in_flight(self) -> int:
        return self.pipeline().in_flight + self.gallery.held

    def problems(self) -> list[str]:
        """What cannot be done for now in this library, in sentences for people."""
        problems = {*self.placer.problems.values(), *self.intake.problems()}
        shown = sorted(map(answers.printable, problems))
        return shown[:PROBLEMS_SHOWN] + [f"and {len(shown) - PROBLEMS_SHOWN} more"] * (len(shown) > PROBLEMS_SHOWN)


def _state_told(state: InboxState | None) -> Answer | None:
    """watched, polling or lost, and why it is not watched."""
    return {"state": state.kind, "reason": answers.printable(state.reason) or None} if state else None


def _lack_told(lack: Lack | None) -> Answer | None:
    return asdict(lack) | {"folder": answers.printable(lack.folder)} if lack else None
