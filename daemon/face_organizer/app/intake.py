"""The front of the house: the inbox, the networks, and the stages from a path in the one to faces seen by the others.

Room:    app (wires)
Imports: parts, library_pack, tried, adapters, pipeline, names, stdlib
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

import numpy as np

from face_organizer.adapters.at_work import AtWork, WaryReader
from face_organizer.adapters.files import numbered
from face_organizer.adapters.inbox import FolderInbox, is_candidate_name
from face_organizer.app.library_pack import held_pack
from face_organizer.app.parts import Reader, decode_photo, limits_of, make_folder, patience_of, refuse_stranger
from face_organizer.app.tried import why_deadly
from face_organizer.config import Config, check_folders
from face_organizer.errors import DISK_FULL, ConfigError, DeniedError, GoneError, ItemError, NoRoomError, RequestError
from face_organizer.pipeline.book import wanted_folders
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.pipeline.ingest import Ingest
from face_organizer.pipeline.messages import Skipped
from face_organizer.pipeline.pulse import waiting
from face_organizer.pipeline.read import Decode
from face_organizer.pipeline.service import Reply
from face_organizer.pipeline.space import Space
from face_organizer.ports import Log, Store
from face_organizer.types import (
    TRASH,
    DecodedImage,
    Float32,
    ImageRef,
    InboxState,
    Limits,
    Rejected,
    SeenFace,
    SeenImage,
    Signature,
)

ON_TRIAL = Lock()
"""Of all libraries of the process one suspect at a time is at work, so that it is known which of them it was."""


class Intake:
    """Until open(), nobody looks at the inbox, and the engine is there for questions only.

    pipeline(): begins with the stages that open() gives. engine: may be shared. at_work: the file for AtWork.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        pipeline: Callable[[], Pipeline],
        space: Space,
        engine: Engine,
        at_work: Path,
        log: Log,
    ) -> None:
        self._config, self._store, self._pipeline, self._space, self._log = config, store, pipeline, space, log
        self._engine, self._at_work_file = engine, at_work
        self._at_work: AtWork | None = None
        self.reader = Reader(lambda: self._config)
        self._inbox: FolderInbox | None = None
        self._ingest: Ingest | None = None
        self._senders: dict[Path, Reply[int]] = {}

    # open, follow, close

    def open(self, *, once: bool) -> list[Stage]:
        """Open the inbox and the networks; returns the stages between them. once: nothing gets a second look.

        Raises ConfigError, ModelError, NoRoomError.
        """
        check_folders(self._config)
        config, flow = self._config, self._config.flow
        make_folder(config.inbox_path, "inbox")
        self._inbox = inbox = self._new_inbox()
        inbox.start()
        self._engine.start()
        self._at_work = at_work = AtWork(self._at_work_file)
        if suspects := at_work.suspects():
            self._log.warning("ended_at_work", images=suspects, remedy="each of them is looked at by itself now")
        reader = WaryReader(self.reader, at_work)
        patience = patience_of(config, once=once)
        self._ingest = Ingest(inbox, self._known, self.submit, self._log, monotonic, patience, self._space)
        return [
            Stage("decode", tuple(Decode(reader, self.limits) for _ in range(flow.decoders)), capacity=8),
            Stage("see", lane=self._engine.lane()),
        ]

    def _new_inbox(self) -> FolderInbox:
        return FolderInbox(self._config.inbox_path, self._log)

    def run(self, stop: Event) -> None:
        """The service: until stop, follow the open inbox."""
        assert self._ingest is not None, "open() comes first"
        self._ingest.run(stop)

    def close(self) -> None:
        """Let go of the inbox, if it was opened."""
        if self._inbox is not None:
            self._inbox.stop()

    def end(self, *, as_it_should: bool) -> None:
        """Nothing is at work any more. as_it_should: and nothing failed."""
        if self._at_work is not None:
            self._at_work.close(as_it_should=as_it_should)

    def reload(self, config: Config) -> None:
        """Take over what can change while running."""
        self._config = config
        if self._ingest is not None:
            self._ingest.patience = patience_of(config, once=False)

    # how it stands

    @property
    def device(self) -> str:
        """What the networks run on; "none" where they have not been asked for."""
        return self._engine.name

    def devices(self) -> list[dict[str, Any]]:
        """How each device gets on; see Engine.figures."""
        return self._engine.figures()

    def notices(self) -> list[str]:
        """What its user should know of the devices, in sentences."""
        return self._engine.notices()

    @property
    def thread_states(self) -> dict[str, dict[str, Any]]:
        """Of the engine's threads; see Pulses.states."""
        return self._engine.pulses.states()

    @property
    def is_open(self) -> bool:
        return self._ingest is not None

    @property
    def state(self) -> InboxState | None:
        """Watched, polling or lost; None where nobody looks at the inbox."""
        return self._inbox.state if self._inbox is not None else None

    def is_away(self) -> bool:
        """What lies at the inbox's path is not the inbox: its file system is not mounted."""
        return self.state is not None and self.state.kind == "lost"

    def is_idle(self) -> bool:
        """Everything in the inbox has been submitted, or cannot be for now."""
        return self._ingest is None or self._ingest.idle()

    def problems(self) -> set[str]:
        """What cannot be taken in for now, in sentences for people."""
        if self._inbox is None or self._ingest is None:
            return set()
        return {*self._inbox.problems, *self._ingest.problems()}

    def waiting(self) -> int:
        """How many files the inbox holds now. Walks it."""
        return sum(1 for _ in self._inbox.walk()) if self._inbox is not None else 0

    def contents(self) -> set[tuple[int, int]]:
        """Size and time of what was put into the inbox to be moved out of it; what is to stay there is none of that."""
        if not self._config.empties_inbox:
            return set()
        return (self._inbox or self._new_inbox()).contents()

    @property
    def sidecars(self) -> int | None:
        """How many sidecars lie in the inbox and stay there; None where nobody looks at it."""
        return self._inbox.sidecars if self._inbox is not None else None

    def prune(self) -> None:
        """Remove the folders that moving has emptied."""
        if self._inbox is not None and self._config.empties_inbox:
            self._inbox.prune(older_than_s=0.0)

    # what goes through the pipeline

    def submit(self, ref: ImageRef) -> None:
        """Into the pipeline, when there is room; a suspect alone. Raises Cancelled."""
        if self._at_work is None or not self._at_work.is_suspect(ref):
            self._pipeline().submit(ref)
            return
        with waiting():
            ON_TRIAL.acquire()
        try:
            if self._at_work.was_alone(ref) and (cause := self._why_deadly(ref)):
                self._at_work.give_up(ref, cause)
            self._pipeline().submit(ref, alone=True)
        finally:
            ON_TRIAL.release()

    def _why_deadly(self, ref: ImageRef) -> str:
        """See why_deadly."""
        with waiting():
            cause = why_deadly(self._config, ref)
        self._log.warning("image_tried_apart", image=str(ref.path), problem=cause)
        return cause

    def survived(self, refs: Iterable[ImageRef]) -> None:
        """These have been read and seen, or rejected."""
        if self._at_work is not None:
            self._at_work.end(refs)

    def limits(self) -> Limits:
        """How much of an image is taken in, as the configuration has it now. Any thread."""
        return limits_of(self._config)

    def reject(self, item: ImageRef | DecodedImage, error: ItemError) -> Rejected | Skipped:
        """What becomes of an input that a stage refused."""
        ref = item if isinstance(item, ImageRef) else item.ref
        if ref.laid_in:
            problem = f"{ref.laid_in}: {error}; it was left where you laid it"
            self._log.warning("folders_unclear", problem=problem)
            return Skipped(ref)
        if isinstance(error, GoneError):
            return Skipped(ref)
        if self._ingest is not None:
            if isinstance(error, DeniedError):
                self._ingest.put_off(ref, str(error))
                return Skipped(ref)
            if error.unfinished and self._ingest.postpone(ref, str(error)):
                return Skipped(ref)
        return Rejected(ref, str(error))

    def done(self, refs: list[ImageRef]) -> None:
        """These images have left the pipeline. In the gallery's thread."""
        self._tell_senders(refs)
        if self._ingest is not None:
            self._ingest.done(refs)

    # one that somebody sends

    def take_in(self, name: str, content: bytes) -> Reply[int]:
        """Put an image into the inbox and submit it, past all that wait to settle. The reply is the id of its file, 0
        where it was not taken in. Raises RequestError, DecodeError, NoRoomError, GoneError."""
        inbox, ingest = self._inbox, self._ingest
        if inbox is None or ingest is None or self.is_away():
            raise RequestError("the inbox is not there for now; try again later")
        if not is_candidate_name(name):
            raise RequestError(f"{name!a} cannot be the name of an image: such names are left where they lie")
        refuse_stranger(content)
        reply: Reply[int] = Reply()
        for number in count(1):
            path = self._config.inbox_path / numbered(name, number)
            if not self._space.admits(path, len(content)):
                raise NoRoomError(f"no room for it: {self._space.lack or 'a disk is full'}")

            def put(path: Path = path) -> None:
                inbox.put(path, content)
                self._senders[path] = reply  # the path is ours by now

            try:
                ingest.take_whole(path, put)
                return reply
            except FileExistsError:
                self._space.placed(path)
            except OSError as error:
                self._space.placed(path)
                kind = NoRoomError if error.errno in DISK_FULL else RequestError
                raise kind(f"cannot write into the inbox: {error.strerror}") from error
        raise AssertionError("there are no more numbers")

    def _tell_senders(self, refs: list[ImageRef]) -> None:
        waiting = [(ref, reply) for ref in refs if (reply := self._senders.pop(ref.path, None)) is not None]
        if waiting:
            with self._store.read() as txn:
                for ref, reply in waiting:
                    reply.give(txn.file_of_source(os.fsencode(ref.path)))

    def _known(self, path: Path, signature: Signature) -> bool:
        """Truth has exactly this file already, or somebody threw away what the inbox still holds. Any thread."""
        with self._store.read() as txn:
            if txn.is_forgotten(os.fsencode(path), signature):
                return True
            file = txn.files.get(txn.file_of_source(os.fsencode(path)))
            if file is None or signature not in (file.signature, file.origin):
                return False
            is_thrown = not self._config.empties_inbox and wanted_folders(txn, file) == (TRASH,)
            return is_thrown or not file.missing

    # questions

    def embed(self, photos: list[tuple[str, str]], face: int | None = None) -> Float32:
        """The faces in pictures (name, content in base64) as unit rows, float32 (n, d). Raises ItemError.

        face: which one of each picture, from the left, 1 the first; None: all of them.
        """
        found: list[SeenFace] = []
        for (name, _), image in zip(photos, self.see(photos), strict=True):
            if face is not None and image.faces and face > len(image.faces):
                raise ItemError(f"{name} shows {len(image.faces)} faces: there is no face {face} from the left")
            found += image.faces if face is None else image.faces[face - 1 : face]
        if not found:
            raise ItemError("no face was found in the photo; try one where the face is larger or sharper")
        return np.stack([seen.embedding for seen in found])

    def see(self, photos: list[tuple[str, str]]) -> list[SeenImage]:
        """Pictures (name, content in base64) as seen, faces from the left. Raises ItemError, RequestError."""
        try:
            pack = held_pack(self._config, self._config.faces.pack)
        except ConfigError as error:
            raise RequestError(f"no photo can be looked at: {error}") from error
        if pack.fingerprint != self._store.fingerprint:
            raise RequestError(
                f"the library holds embeddings of another model than {pack.name} of this version: a photo cannot be"
                f" compared with them; `face-organizer reembed --pack {pack.address}` moves the library to it"
            )
        images = [decode_photo(name, base64.b64decode(content), self._config) for name, content in photos]
        return [
            replace(image, faces=tuple(sorted(image.faces, key=lambda face: float(face.detection.box[[0, 2]].sum()))))
            for image in self._engine.see(images)
        ]
