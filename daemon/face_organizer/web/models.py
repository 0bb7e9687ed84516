"""What is asked and answered, in the words of the specification that /openapi.json gives.

Room:    web (talks)
Imports: pydantic, stdlib
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

ID_MAX = 2**53 - 1


def _number(value: Any) -> Any:
    """1 and 1.0 are numbers in JSON; true and "1" are none, and nobody means face 1 by them."""
    if isinstance(value, bool | str):
        raise ValueError("a number is wanted")
    return value


Id = Annotated[int, Field(ge=1, le=ID_MAX), BeforeValidator(_number)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Refused(BaseModel):
    """Why not, in a sentence for people; kind: the name of the error."""

    error: str
    kind: str


class Answer(BaseModel):
    """Grows: what is not described here may be added."""

    model_config = ConfigDict(extra="allow")


class Person(Answer):
    """cover: the face that stands for the person. named: a human gave the name."""

    person_id: int
    name: str
    named: bool
    hidden: bool
    faces: int
    images: int
    cover: int | None
    folder: str


class OnePerson(Person):
    """confirmed: of so many faces a human said who it is. redirect: who took over the person that was asked for."""

    confirmed: int
    redirect: int | None


class People(BaseModel):
    """hidden: how many were left out for being so."""

    total: int
    hidden: int
    people: list[Person]


class Face(Answer):
    """similarity: cosine to the person; quality: 0 to 1; confirmed: a human said that it is this person."""

    face_id: int
    image_id: int
    similarity: float | None = None
    quality: float | None = None
    confirmed: bool = False
    path: str | None = None


class Faces(BaseModel):
    total: int
    faces: list[Face]


class FaceOfImage(Face):
    """box: x1 y1 x2 y2 in px of the upright image."""

    person_id: int | None
    person: str | None
    margin: float
    reason: str
    box: list[float]


class FacesOfNobody(BaseModel):
    total: int
    faces: list[FaceOfImage]


class FaceExplained(FaceOfImage):
    """explain: nearest faces, rule, decisions: why it is where it is."""

    explain: dict[str, Any]


class ImageRow(BaseModel):
    image_id: int
    path: str | None


class Images(BaseModel):
    total: int
    images: list[ImageRow]


class Image(ImageRow):
    """files: everywhere it lies in the library (copies of one content are one image)."""

    width_px: int
    height_px: int
    faces: list[FaceOfImage]
    files: list[str]


class Unusable(BaseModel):
    file_id: int
    path: str
    reason: str


class Quarantine(BaseModel):
    total: int
    files: list[Unusable]


class Hit(Answer):
    """One image and person, the best face of it; with `together` alone, only the image and who is in it."""

    image_id: int
    image: str
    face_id: int | None = None
    person_id: int | None = None
    person: str | None = None
    similarity: float | None = None


class FaceOfPhoto(BaseModel):
    """box: x1 y1 x2 y2 in px of the upright photo."""

    box: list[float]
    quality: float


class Photo(BaseModel):
    """faces: from the left, as `face` of a search counts them."""

    width_px: int
    height_px: int
    faces: list[FaceOfPhoto]


class NewFace(BaseModel):
    face_id: int
    person_id: int | None
    person: str | None
    similarity: float
    margin: float
    reason: str
    box: list[float]


class Enrolled(BaseModel):
    """placed: where it lies now, None while that is still to come. duplicate: its content was here before."""

    image_id: int
    faces: list[NewFace]
    placed: str | None
    duplicate: bool


class Decision(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Name(Decision):
    """The person is called so, and the folder too."""

    kind: Literal["name"]
    person: Id
    name: Text


class Merge(Decision):
    """`person` and `into` are one; all faces go to `into`. together: even if both are in one image."""

    kind: Literal["merge"]
    person: Id
    into: Id
    together: StrictBool = False


class Split(Decision):
    """The person is several: so many as `parts`, or as many as appear."""

    kind: Literal["split"]
    person: Id
    parts: Annotated[int, Field(ge=2, le=100), BeforeValidator(_number)] | None = None


class Apart(Decision):
    """`person` and `other` are two."""

    kind: Literal["apart"]
    person: Id
    other: Id


class Reject(Decision):
    """These faces are not the person they are with."""

    kind: Literal["reject"]
    faces: Annotated[list[Id], Field(min_length=1, max_length=10_000)]


class Assign(Decision):
    """These faces are this person."""

    kind: Literal["assign"]
    faces: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    person: Id


class Found(Decision):
    """These faces are somebody of that name, who is not here yet."""

    kind: Literal["found"]
    faces: Annotated[list[Id], Field(min_length=1, max_length=10_000)]
    name: Text


class Hide(Decision):
    """The person gets no folder."""

    kind: Literal["hide"]
    person: Id


class Unhide(Decision):
    """A hidden person gets the folder back."""

    kind: Literal["unhide"]
    person: Id


class Undo(Decision):
    """Take a decision back, the latest one if none is named."""

    kind: Literal["undo"]
    decision_id: Id | None = None


AnyDecision = Annotated[
    Name | Merge | Apart | Split | Reject | Assign | Found | Hide | Unhide | Undo, Field(discriminator="kind")
]


class Decided(Answer):
    """decision_id: what `undo` takes back (of an undo: what it took back). says: the decision as a sentence.
    missing: of an undo, so many of its images are gone from the library, and come back when they are put back.
    undone_by: the number of the undo, which takes the undo back."""

    decision_id: int
    says: str
    missing: int = 0
    undone_by: int | None = None


class DecisionRow(BaseModel):
    """at_s: seconds since 1970."""

    decision_id: int
    kind: str
    says: str
    undone_by: int | None
    at_s: float


class Decisions(BaseModel):
    total: int
    decisions: list[DecisionRow]


class Run(Answer):
    run_id: int
    state: str


class Runs(BaseModel):
    total: int
    runs: list[Run]


class RunAction(BaseModel):
    """recluster: now, and apply what is found; propose: keep it as a proposal; apply, dismiss: the proposal that waits
    (or this one); rollback: take this run back, and what came after it."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["recluster", "propose", "apply", "dismiss", "rollback"]
    run_id: Id | None = None


CHOICES: Final = {
    "action": get_args(RunAction.model_fields["action"].annotation),
    "kind": tuple(get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(AnyDecision)[0])),
}
"""What a field that is missing could have said."""


class Health(BaseModel):
    ok: bool
    problems: list[str]


class Session(BaseModel):
    """The token, once: a cookie takes its place."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]
