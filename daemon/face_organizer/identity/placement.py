"""In which folders an image should appear, and what the folders are called.

Room:    identity (thinks)
Imports: types, errors, stdlib
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

from face_organizer.errors import FaceOrganizerError
from face_organizer.types import NO_FACE, OUTLIERS, QUARANTINE, People, PersonId

_LENGTH_MAX_BYTES = 200  # of the 255 a file system allows: room for "~2" and ".part"
_UNSAFE = re.compile(r'[<>:"/\\|?*]')  # what Windows and network shares refuse
_DEFAULT = re.compile(r"person_([A-Z]|\d+)", re.IGNORECASE)  # what person_folder_name says
_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)


def person_folder_name(person_id: PersonId, people: People) -> str:
    """The folder of a person without a name: a letter where few were asked for, else a number.

    A letter once given stays: with people = 2 a third id (the second person vanished, a new one came) is person_C.
    """
    assert person_id >= 1, person_id
    letters = isinstance(people, int) and people <= 26
    if letters and person_id <= 26:
        return f"person_{string.ascii_uppercase[person_id - 1]}"
    return f"person_{person_id:04d}"


def safe_folder_name(name: str) -> str:
    """A human's name for a person as the name of a folder: itself wherever possible.

    Raises FaceOrganizerError when nothing is left of it. Two names may become one folder: the caller keeps them apart.
    """
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", text))
    text = _shortened(" ".join(text.split()).lstrip(".~ ")).rstrip(". ")
    if not any(c.isalnum() for c in text):
        raise FaceOrganizerError(f"the name {name!r} cannot become a folder: it needs at least one letter or digit")
    taken = text.casefold() in (OUTLIERS, NO_FACE, QUARANTINE)
    return f"{text}_" if taken or _DEFAULT.fullmatch(text) or _DEVICES.fullmatch(text) else text


def desired_folders(person_folders: Iterable[str], has_faces: bool) -> tuple[str, ...]:
    """Where an image should appear, given the folder of each face that has a person: never nowhere."""
    folders = tuple(sorted(set(person_folders)))
    if folders:
        return folders
    return (OUTLIERS,) if has_faces else (NO_FACE,)


def _shortened(text: str) -> str:
    return text.encode("utf-8")[:_LENGTH_MAX_BYTES].decode("utf-8", errors="ignore")
