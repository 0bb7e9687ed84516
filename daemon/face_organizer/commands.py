"""What a command does: ask the daemon that owns the library, or open the library for this one call.

Room:    app (wires)
Imports: app (only when it must open a library), adapters

Asking a running daemon should take no longer than the answer: the heavy rooms are imported only where they are needed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from face_organizer.adapters.control import ask
from face_organizer.adapters.files import digest_at
from face_organizer.adapters.log import open_log
from face_organizer.adapters.models import list_packs, load_pack, verify_pack
from face_organizer.errors import RequestError
from face_organizer.types import STATE_FOLDER

FINISH_WITHIN_S = 86_400.0
"""Nobody waits for a command as systemd waits for a daemon: what it set in motion, it ends."""


def answer(library: Path, call: str, **arguments: Any) -> Any:
    """The answer to a call, see app.Organizer.calls. Raises FaceOrganizerError."""
    try:
        return ask(library / STATE_FOLDER, call, **arguments)
    except ConnectionError:
        from face_organizer.opening import open_existing

        organizer = open_existing(library, open_log("auto", "warning"))
    try:
        organizer.start()
        return organizer.calls()[call](**arguments)
    finally:
        organizer.stop(within_s=FINISH_WITHIN_S)


def picture(path: Path) -> dict[str, str]:
    """A picture as a command may send it: by its content. Raises RequestError."""
    try:
        digest = digest_at(path)
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!a}: {error.strerror}") from error
    folder = os.fsencode(path.absolute().parent.name).decode("utf-8", "replace")
    return {"digest": digest.hex(), "folder": folder, "path": ascii(str(path))[1:-1]}


def packs() -> list[dict[str, Any]]:
    """Every model pack we know."""
    return [
        {
            "name": pack.name,
            "detector": pack.detector_kind,
            "dimension": pack.dimension,
            "fingerprint": pack.fingerprint,
            "licence": pack.licence,
        }
        for pack in list_packs()
    ]


def verify_packs() -> list[dict[str, Any]]:
    """What is wrong with the files of each pack. One never used is made first; a run mends the others."""
    rows = []
    for pack in list_packs():
        if not pack.recogniser_path.exists():
            load_pack(pack.name)
        problems = verify_pack(pack.name)
        rows.append({"name": pack.name, "ok": not problems, "problem": "; ".join(problems)})
    return rows
