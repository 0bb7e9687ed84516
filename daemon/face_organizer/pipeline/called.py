"""Who is called so: by a name or by a folder, as a human would compare them.

Room:    pipeline (moves)
Imports: ports, identity
"""

from __future__ import annotations

from collections.abc import Container

from face_organizer.identity.placement import folded
from face_organizer.ports import Transaction


def called(txn: Transaction, text: str, alive: Container[int]) -> list[int]:
    """The persons among the living with this folder; where there is none, those with this name.

    Two may have one name: an undo brings a name back that somebody else got since. Their folders differ.
    """
    wanted = folded(text)
    living = [(person_id, person) for person_id, person in txn.persons.items() if person_id in alive]
    return [person_id for person_id, person in living if folded(person.folder) == wanted] or [
        person_id for person_id, person in living if folded(person.name) == wanted
    ]
