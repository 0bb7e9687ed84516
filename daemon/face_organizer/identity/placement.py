"""In which folders an image should appear, and what the folders are called.

Room:    identity (thinks)
Imports: types, errors, stdlib
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from face_organizer.errors import RequestError
from face_organizer.types import NO_FACE, OUTLIERS, QUARANTINE, TRASH, People, PersonId

_LENGTH_MAX_BYTES = 200  # of the 255 a file system allows: room for "~2" and ".part"
_UNSAFE = re.compile(r'[<>:"/\\|?*]')  # what Windows and network shares refuse
_DEFAULT = re.compile(r"person_([A-Z]|\d+)", re.IGNORECASE)  # what person_folder_name says
_UNSEEN = re.compile("[\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufeff]")
"""What shows nothing or turns the direction of what follows: two names would look alike, or other than they are."""

_DEVICES = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)


def person_folder_name(person_id: PersonId, people: People, given: AbstractSet[str]) -> str:
    """The folder of a person without a name: the first letter that nobody has where few were asked for, else a number.

    An id is never given twice, a letter is: with people = 2, who comes after person_B has vanished is person_B.
    given: the folders that persons have, casefolded.
    """
    assert person_id >= 1, person_id
    letters = string.ascii_uppercase if isinstance(people, int) and people <= 26 else ""
    names = (f"person_{letter}" for letter in letters)
    return next((name for name in names if name.casefold() not in given), f"person_{person_id:04d}")


def numbered_person(folder: str) -> int:
    """The person whose usual folder this is by its number, 0 if it is no such folder."""
    found = re.fullmatch(r"person_(\d{4,18})", folder)
    return int(found[1]) if found else 0


def safe_folder_name(name: str) -> str:
    """A human's name for a person as the name of a folder: itself wherever possible.

    Raises RequestError when nothing is left of it. Two names may become one folder: the caller keeps them apart.
    """
    text = _shortened(_UNSAFE.sub("_", plain_name(name)).lstrip(".~ ")).rstrip(". ")
    if text.isdecimal():
        raise RequestError(f"the name {name!r} is a number, and a number means a person by its id: add a letter")
    if not any(c.isalnum() for c in text):
        raise RequestError(f"the name {name!r} cannot become a folder: it needs at least one letter or digit")
    taken = text.casefold() in (OUTLIERS, NO_FACE, QUARANTINE, TRASH)
    return f"{text}_" if taken or _DEFAULT.fullmatch(text) or _DEVICES.fullmatch(text) else text


def plain_name(name: str) -> str:
    """A human's name for a person in one line of composed characters: what is written down of it."""
    name = _UNSEEN.sub("", name)
    text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)
    return " ".join(unicodedata.normalize("NFC", text).split())


def normal(name: str) -> str:
    """The name in composed characters; a file system may keep another form of it."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Names that are equal so are one name to a human."""
    return plain_name(name).casefold()


def desired_folders(person_folders: Iterable[str], has_faces: bool, is_trashed: bool = False) -> tuple[str, ...]:
    """Where an image should appear, given the folder of each face that has a person: never nowhere. is_trashed: a human
    deleted it from somebody's folder."""
    folders = tuple(sorted(set(person_folders)))
    if folders:
        return folders
    if is_trashed:
        return (TRASH,)
    return (OUTLIERS,) if has_faces else (NO_FACE,)


def _shortened(text: str) -> str:
    return text.encode("utf-8")[:_LENGTH_MAX_BYTES].decode("utf-8", errors="ignore")
