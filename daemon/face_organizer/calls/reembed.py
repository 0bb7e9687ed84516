"""Another model: begin, look how far it is, switch, discard.

Room:    app (wires)
Imports: calls
"""

from __future__ import annotations

from face_organizer.calls.desk import Answer, Desk
from face_organizer.calls.told import run_in_full


class Reembed:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def reembed(self, pack: str, compare_only: bool = False) -> Answer:
        """Begin to move the library to another model pack, or go on; returns at once. compare_only: never switch
        unasked."""
        self._desk.reembed.begin(pack, asks=compare_only)
        return self.reembed_told()

    def reembed_told(self) -> Answer:
        """{"in_use": the pack; "beside": how far the move is, see pipeline/reembed.py, None where nothing is beside;
        "comparison": the run that a re-clustering by the other model would be, None before it was thought through}."""
        desk = self._desk
        with desk.store.read() as txn:
            model = txn.models.get(1 - txn.slot)
            beside = desk.reembed.told(txn)
        compared = model.comparison if model is not None else None
        comparison = run_in_full(desk, (0, compared)) if compared is not None else None
        return {"in_use": desk.reembed.pack, "beside": beside, "comparison": comparison}

    def reembed_switch(self) -> Answer:
        """Switch, whatever the comparison says; it is done when `in_use` is the other pack."""
        self._desk.reembed.switch()
        return self.reembed_told()

    def reembed_discard(self) -> Answer:
        """Delete what is held of the model beside: ends a move, or after one gives up the way back."""
        return {"discarded": self._desk.reembed.discard()}
