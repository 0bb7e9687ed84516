"""Routes that change something: decisions and runs. Each waits until it is done.

Room:    web (talks)
Imports: clerks, models, served, errors, fastapi, stdlib
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from face_organizer.errors import RequestError
from face_organizer.web.clerks import Clerks
from face_organizer.web.models import (
    AnyDecision,
    Apart,
    Assign,
    Decided,
    Found,
    Hide,
    Merge,
    Name,
    Reject,
    RunAction,
    Split,
    Undo,
    Unhide,
)
from face_organizer.web.served import Served


def change_routes(served: Served, clerks: Clerks) -> APIRouter:
    routes, calls = APIRouter(), served.calls

    @routes.post("/decisions", tags=["decisions"])
    async def decide(decision: AnyDecision) -> Decided:
        """What a human says, for ever: it holds in every re-clustering, until it is undone."""
        name, arguments = _call_of(decision)
        found = await clerks.ask("decide", calls[name], **arguments)
        if name == "undo":
            kept = {key: found[key] for key in ("says", "missing", "undone_by")}
            return Decided(decision_id=found["undone"], **kept)
        return Decided(**found)

    @routes.post("/runs", tags=["runs"])
    async def act(wanted: RunAction) -> dict[str, Any]:
        """Re-cluster, or say what becomes of a run. May take minutes on a large library."""
        match wanted:
            case RunAction(action="recluster"):
                return await clerks.ask("decide", calls["recluster"], "asked")
            case RunAction(action="propose"):
                return await clerks.ask("decide", calls["recluster"], "asked", propose=True)
            case RunAction(action="apply"):
                return await clerks.ask("decide", calls["apply"], wanted.run_id)
            case RunAction(action="dismiss"):
                return await clerks.ask("decide", calls["dismiss"], wanted.run_id)
        if wanted.run_id is None:
            raise RequestError("say which run to take back: run_id")
        return await clerks.ask("decide", calls["rollback"], wanted.run_id)

    return routes


def _call_of(decision: Any) -> tuple[str, dict[str, Any]]:
    """The call that makes a decision, and its arguments."""
    match decision:
        case Name(person=person, name=name):
            return "name", {"who": str(person), "name": name}
        case Merge(person=person, into=into, together=together):
            return "merge", {"one": str(person), "into": str(into), "together": together}
        case Apart(person=person, other=other):
            return "apart", {"one": str(person), "other": str(other)}
        case Split(person=person, parts=parts):
            return "split", {"person": str(person), "into": parts}
        case Reject(faces=faces):
            return "reject", {"faces": [str(face) for face in faces]}
        case Assign(faces=faces, person=person):
            return "assign", {"faces": [str(face) for face in faces], "person": str(person)}
        case Found(faces=faces, name=name):
            return "assign", {"faces": [str(face) for face in faces], "person": name, "new": True}
        case Hide(person=person) | Unhide(person=person):
            return "hide", {"person": str(person), "hidden": isinstance(decision, Hide)}
        case Undo(decision_id=decision_id):
            return "undo", {"decision_id": decision_id}
    raise AssertionError(decision)
