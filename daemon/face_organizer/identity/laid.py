"""What people mean by how they lay files: from where truth put them, and where they lie now.

Room:    identity (thinks)
Imports: types, stdlib

The folder tree is an interface: an image that was dragged from one person's folder to another's says "this face is that
person", and a folder that got another name names the person. What is understood here is done by decisions that can be
taken back; what cannot be understood is left alone, and told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Literal

from face_organizer.types import NO_FACE, NOBODY, OUTLIERS, QUARANTINE, TRASH

NOBODYS = frozenset({OUTLIERS, NO_FACE, QUARANTINE, TRASH})
"""Folders that belong to nobody: what is dragged there is not who it was."""

GUTTED_MIN = 50
"""So many images, and more than half of all, that are gone at once are an accident, not a thousand opinions. Then
nothing is made of what is only gone from a folder, be it all of a file or one of its places."""

About = tuple[Literal["person", "face"], int]
"""Of whom something is said."""

Target = int | str
"""A person by its id, or one who is yet unborn by the name of the new folder."""


@dataclass(frozen=True, slots=True)
class Laid:
    """A file that does not lie where truth put it.

    was: the folders truth put it in; lies: those where it lies now. faces: of its image, in their order, with their
    persons. twins: where other files of the image lie. comes_back: it was put into the inbox, to be sorted anew.
    was_lost: it was given up as missing, and has appeared. crossed: folders where it lies as one file with what truth
    put elsewhere: no copy, but dragged there while we were moving it. is_new: it was never anywhere else.
    """

    file_id: int
    was: frozenset[str]
    lies: frozenset[str]
    faces: Mapping[int, int]
    twins: frozenset[str] = frozenset()
    comes_back: bool = False
    was_lost: bool = False
    crossed: frozenset[str] = frozenset()
    is_new: bool = False

    @property
    def is_gone(self) -> bool:
        return not self.lies

    @property
    def is_taken(self) -> bool:
        """Is it gone from more folders than it came to? Then not all that it left can be a move."""
        return not self.comes_back and (self.is_gone or len(self.was - self.lies) > len(self.lies - self.was))

    @property
    def kept_in(self) -> frozenset[str]:
        """Where it is to stay: of what shows no face nothing else can be told than where somebody laid it."""
        return self.lies if not self.faces and self.lies - NOBODYS else frozenset()


@dataclass(frozen=True)
class Around:
    """What else is so. persons: folder -> whose it is. standing: the folders that there are. left: how many other files
    lie in a folder as they should, or are on their way there; shared: in both of two. renamed: folder -> what the same
    folder is called now, where that is known for sure. known: how many files lie in folders by truth. hidden: of those
    persons, who has no folder. unheard: files that were taken away in an accident and are not all back."""

    persons: Mapping[str, int] = field(default_factory=dict)
    standing: AbstractSet[str] = frozenset()
    left: Mapping[str, int] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    known: int = 0
    hidden: AbstractSet[int] = frozenset()
    unheard: AbstractSet[int] = frozenset()
    shared: Mapping[AbstractSet[str], int] = field(default_factory=dict)


@dataclass
class Meaning:
    """What was meant. names: person -> the name of the folder. exchanges: person -> whose name and folder it takes, all
    or none of them. merges: person -> into whom. hides, shows: persons.

    assigns: face -> who it is. rejects: face that is to be nobody's -> was its image thrown away? unclear: file -> why
    nothing was understood. unheard: files that are gone, or gone from some folder, of which nothing was made because
    that looks like an accident. told: file -> the persons and faces about whom it says something.
    """

    names: dict[int, str] = field(default_factory=dict)
    exchanges: dict[int, int] = field(default_factory=dict)
    merges: dict[int, int] = field(default_factory=dict)
    hides: list[int] = field(default_factory=list)
    shows: list[int] = field(default_factory=list)
    assigns: dict[int, Target] = field(default_factory=dict)
    rejects: dict[int, bool] = field(default_factory=dict)
    unclear: dict[int, str] = field(default_factory=dict)
    unheard: set[int] = field(default_factory=set)
    told: dict[int, list[About]] = field(default_factory=lambda: defaultdict(list))


Closest = Callable[[Sequence[int], Target], int]
"""Of these faces, the one that is most likely that person."""


def meaning_of(laid: Sequence[Laid], around: Around, closest: Closest) -> Meaning:
    """What was meant by all of this together."""
    meant = Meaning()
    doubtful = _doubtful(laid, around)
    still = Counter(
        folder for file in laid if file.file_id in doubtful and file.lies <= file.was for folder in file.was
    )
    around = replace(around, left=Counter(around.left) + still)
    settled = _whole_folders([file for file in laid if file.file_id not in doubtful], around, meant)
    persons = {folder: person for folder, person in around.persons.items() if not settled.get(folder)}
    for folder, into in settled.items():
        if into:
            persons[into] = meant.merges.get(around.persons[folder], around.persons[folder])
    for file in laid:
        # What a whole folder said is said; the file may say more, by where else it was or lies.
        done = {folder for folder in file.was if folder in settled}
        if file.file_id in doubtful and not any(settled[folder] in file.lies for folder in done):
            meant.unheard.add(file.file_id)
            continue
        meant.told[file.file_id] += [("person", around.persons[folder]) for folder in sorted(done - file.lies)]
        back = _shown(file, around, meant)
        came = {settled[folder] for folder in done} - (file.was - done)
        rest = replace(file, was=file.was - done | back, lies=file.lies - done - came)
        if file.file_id not in doubtful or not rest.is_taken:
            _one_file(rest, persons, meant, closest)
    return meant


def _doubtful(laid: Sequence[Laid], around: Around) -> set[int]:
    """The files that were taken away, where that looks like an accident, or did when they went."""
    gone = sum(file.is_gone and not file.comes_back for file in laid)
    is_gutted = gone > max(GUTTED_MIN, around.known / 2)
    return {file.file_id for file in laid if file.is_taken and (is_gutted or file.file_id in around.unheard)}


def _shown(file: Laid, around: Around, meant: Meaning) -> set[str]:
    """Who is hidden is shown again where something is laid into the folder. Returns the folders that thereby have the
    file for good: who is in it already."""
    came = {folder for folder in file.lies - file.was if around.persons.get(folder) in around.hidden}
    for person in sorted({around.persons[folder] for folder in came}):
        if person not in meant.shows:
            meant.shows.append(person)
        meant.told[file.file_id].append(("person", person))
    return {folder for folder in came if around.persons[folder] in file.faces.values()}


def _whole_folders(laid: Sequence[Laid], around: Around, meant: Meaning) -> dict[str, str]:
    """The persons' folders of which nothing is left where it was, and where all of it went; "" for nowhere. What that
    means is written into `meant`."""
    going: dict[str, list[Laid]] = defaultdict(list)
    for file in laid:
        for folder in file.was - file.lies:
            if folder in around.persons:
                going[folder].append(file)
    stays = {folder for file in laid for folder in file.was & file.lies}
    went = _went(going, around, stays)
    settled = _exchanged(went, going, around)
    meant.exchanges |= {around.persons[folder]: around.persons[into] for folder, into in settled.items()}
    owner = {**around.persons} | {into: around.persons[folder] for folder, into in settled.items()}
    # The largest first: where several folders became one, it is the person. And first those whose name is new: others
    # may take the one they had.
    rest = went.keys() - settled.keys()
    for folder in sorted(rest, key=lambda folder: (went[folder] in owner, -len(going[folder]), folder)):
        into, person_id = went[folder], around.persons[folder]
        if not into:
            if folder not in around.standing and _are_nowhere_else(going[folder]):
                meant.hides.append(person_id)
                settled[folder] = ""
        elif into in NOBODYS or person_id in meant.merges.values():
            continue
        elif into not in owner:
            meant.names[person_id] = into
            owner[into] = owner.pop(folder)
            settled[folder] = into
        elif len(going[folder]) > 1 and (into not in went or into in settled):  # else two exchange their only images
            meant.merges[person_id] = owner[into]
            settled[folder] = into
    return settled


def _went(going: Mapping[str, Sequence[Laid]], around: Around, stays: AbstractSet[str]) -> dict[str, str]:
    """Where each folder went that went as a whole; "" where that cannot be told, or it is nowhere."""
    went: dict[str, str] = {}
    beside: dict[str, str] = {}
    circled = {folder for folder, into in around.renamed.items() if into in around.renamed and folder in around.persons}
    for folder in dict.fromkeys((*going, *sorted(circled))):
        files, renamed = going.get(folder, ()), around.renamed.get(folder, "")
        # Else a new folder has an old one's number. Of one of which nothing is gone all lies in the other one, too.
        if not files or 2 * sum(renamed in file.lies for file in files) > len(files):
            went[folder] = renamed
        elif folder in stays:
            continue
        elif not (left := around.left.get(folder)):
            went[folder] = _all_went(files)
        elif left == around.shared.get(frozenset({folder, into := _all_went(files)})):
            beside[folder] = into
    return went | {folder: into for folder, into in beside.items() if beside.get(into) == folder}


def _exchanged(went: Mapping[str, str], going: Mapping[str, Sequence[Laid]], around: Around) -> dict[str, str]:
    """Of these folders, those whose names went round in a circle: each is called what the next one was. Where that is
    not known for sure, a folder of one image may have been dragged empty: that speaks of the face."""
    found: dict[str, str] = {}
    for begin in went:
        circle = [begin]
        while (into := went.get(circle[-1], "")) in around.persons and into not in circle and into not in found:
            circle.append(into)
        sure = all(
            around.renamed.get(folder) == went.get(folder) or len(going.get(folder, ())) > 1 for folder in circle
        )
        if into == begin and begin not in found and sure:
            found |= {folder: went[folder] for folder in circle}
    return found


def _are_nowhere_else(files: Iterable[Laid]) -> bool:
    """Were these files taken away, and neither dragged elsewhere nor put back into the inbox?"""
    return all(file.lies <= file.was and not file.comes_back for file in files)


def _all_went(files: Iterable[Laid]) -> str:
    """The one folder to which all of these files went, or where they lay already, too; "" if there is none."""
    went = {folder for file in files for folder in file.lies - file.was}
    into = went.pop() if len(went) == 1 else ""
    return into if all(into in file.lies for file in files) else ""


def _one_file(file: Laid, persons: Mapping[str, int], meant: Meaning, closest: Closest) -> None:
    """What a single file says, by the folders that it left and those that it came to."""
    if file.comes_back:
        return
    came = [folder for folder in sorted(file.lies - file.was) if folder not in NOBODYS]
    left = {
        folder: [face for face, person in file.faces.items() if person == persons[folder]]
        for folder in sorted(file.was - file.lies)
        if folder in persons
    }
    if file.was_lost:
        came, left = _reappeared(file, persons, came)
    if file.is_new:
        left = {}
    for folder in came if file.faces else ():
        target: Target = persons.get(folder, folder)
        faces = left.pop(next(iter(left))) if left else _candidates(file, meant, closest, target)
        faces = faces or _crossed(file, folder)
        if not faces:
            meant.unclear[file.file_id] = (
                f"it is a copy in {folder}, and every face in it belongs to somebody: drag the image itself to move it"
            )
        meant.assigns |= dict.fromkeys(faces, target)
        meant.told[file.file_id] += [("face", face) for face in faces]
    to_nobody = bool(file.lies & NOBODYS - file.was)
    for folder, faces in left.items():
        if to_nobody or folder not in file.twins:
            meant.rejects |= dict.fromkeys(faces, file.lies <= {TRASH})
            meant.told[file.file_id] += [("face", face) for face in faces]


def _reappeared(file: Laid, persons: Mapping[str, int], came: list[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Where a file that was given up came to that it was not, and what it left then, if that can be told: it was moved
    on while it was on its way."""
    faces_of: dict[int, list[int]] = defaultdict(list)
    for face, person in file.faces.items():
        faces_of[person].append(face)
    faces_of.pop(NOBODY, None)
    came = [folder for folder in came if persons.get(folder) not in faces_of]
    is_back = any(persons.get(folder) in faces_of for folder in file.lies)
    if is_back or not (file.lies <= NOBODYS or (came and len(faces_of) == 1)):
        return came, {}
    folders = {person: folder for folder, person in persons.items()}
    return came, {folders.get(person, str(person)): faces for person, faces in faces_of.items()}


def _candidates(file: Laid, meant: Meaning, closest: Closest, target: Target) -> list[int]:
    """The face that a further copy of an image speaks of: one that is nobody's; or any, of an image that was lost."""
    free = [face for face, person in file.faces.items() if person == NOBODY and face not in meant.assigns]
    free = free or ([face for face in file.faces if face not in meant.assigns] if file.was_lost else [])
    return [closest(free, target)] if len(free) > 1 else free


def _crossed(file: Laid, folder: str) -> list[int]:
    """The face of an image that was dragged to a folder while it was on its way, where there is only one."""
    told = [face for face, person in file.faces.items() if person != NOBODY]
    return told if folder in file.crossed and len(told) == 1 else []
