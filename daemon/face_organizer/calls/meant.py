"""Which person, which face is meant.

A person is meant by its number, its name or its folder. A face is meant by its number, or by a picture of it: the
content of the file is what counts, wherever it lies; in the folder of a person the person's face is meant.

Room:    app (wires)
Imports: pipeline, names
"""

from __future__ import annotations

from face_organizer.errors import RequestError
from face_organizer.pipeline.book import living_person, person_with
from face_organizer.pipeline.called import called
from face_organizer.ports import Transaction

DIGITS_MAX = 18

Picture = dict[str, str]
"""digest: of the content, hex; folder: the name of the folder it lies in; path: as it was typed."""


def person_meant(txn: Transaction, text: str) -> int:
    """The person that a text means. Raises RequestError."""
    if is_number(text) and txn.persons.get(int(text)) is not None:
        return living_person(txn, int(text))
    alive = {record.person_id for _, record in txn.assignments.items()}
    found = called(txn, text.rstrip("/"), alive)
    if not found and is_number(text):
        raise RequestError(f"there is no person {text}: `face-organizer people --all` lists them")
    if not found:
        raise RequestError(f"nobody here is called {text!r}: `face-organizer people` lists everybody")
    if len(found) > 1:
        raise RequestError(f"persons {', '.join(map(str, found))} are called {text!r}: say which number")
    return found[0]


def is_number(text: str) -> bool:
    """Can it be an id?"""
    return text.isdecimal() and len(text) <= DIGITS_MAX


def image_meant(txn: Transaction, picture: Picture) -> int:
    try:
        image_id = txn.image_of_content(bytes.fromhex(picture["digest"]))
    except (KeyError, ValueError) as error:
        raise RequestError(f"not a picture: {picture!r}") from error
    if not image_id:
        raise RequestError(f"{picture['path']} is not in this library (its content is what counts, not its name)")
    return image_id


def face_meant(txn: Transaction, meant: str | Picture) -> int:
    """A face by its number or its picture: the only face there, or the one of the person in whose folder it lies."""
    if isinstance(meant, str):
        if not is_number(meant):
            raise RequestError(f"{meant} is neither a face's number nor a picture that can be read")
        return int(meant)
    return _face_in(txn, meant)


def _face_in(txn: Transaction, picture: Picture) -> int:
    """The face of a picture that is meant: the only one, or the one of the person in whose folder it lies."""
    image = txn.images.get(image_meant(txn, picture))
    face_ids = image.face_ids if image else ()
    if not face_ids:
        raise RequestError(f"no face was found in {picture['path']}")
    if len(face_ids) == 1:
        return face_ids[0]
    told = []
    for face_id in face_ids:
        person = person_with(txn, face_id)
        if person is not None and person.folder == picture["folder"]:
            return face_id
        told.append(f"{face_id} ({person.name if person else 'nobody'})")
    raise RequestError(f"{picture['path']} shows {len(face_ids)} faces: {', '.join(told)}; say which number")
