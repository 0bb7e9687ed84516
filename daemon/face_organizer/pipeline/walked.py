"""Compares the library's folders with what truth put there: what is gone, what is new, and which file of ours that is.

Room:    pipeline (moves)
Imports: types, records, ports, identity, book, brought, matched, pulse, unheard

Names prove nothing: what has appeared is a file of ours by its inode and time, or by its content. Files that are on
their way (pending) are not looked at: there, disk is ours to change. Any thread.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from face_organizer.identity.placement import folded
from face_organizer.pipeline.book import content_of
from face_organizer.pipeline.brought import brought
from face_organizer.pipeline.matched import entries, folder_of, key_of, match, places_of, stamp_of
from face_organizer.pipeline.pulse import beat
from face_organizer.pipeline.unheard import unheard
from face_organizer.ports import Store, Transaction, Tree
from face_organizer.records import FileRecord
from face_organizer.types import Lying, Signature


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file of ours that does not lie as truth has it. record: as truth had it; stands: the recorded places that hold
    something; came: where else its content lies. comes_back: the inbox holds it. inodes: of what stands. laid_in: the
    folder that somebody laid it in himself, for one that was taken in from there. instead: what else lies now where it
    lay."""

    file_id: int
    record: FileRecord
    stands: tuple[str, ...]
    came: tuple[Lying, ...] = ()
    comes_back: bool = False
    inodes: frozenset[int] = frozenset()
    laid_in: str = ""
    instead: tuple[Lying, ...] = ()

    @property
    def gone(self) -> tuple[str, ...]:
        return tuple(place for place in places_of(self.record) if place not in self.stands)


@dataclass
class Walked:
    """What one walk found. sightings: files of ours. foreign: photos in somebody's folder that were never ours.
    rewritten: (file, what lies at its place now, with a content that is new; or elsewhere by its name, where nothing
    lies at its place). left: of each folder in which some do not, how many files lie as they should; shared: in both of
    two of those; known: in all. folders: that stand; held: those in which some do. nested: folders of ours that lie
    within others now. returned: files that went in an accident, and of which nothing lacks any more."""

    sightings: list[Sighting] = field(default_factory=list)
    foreign: list[Lying] = field(default_factory=list)
    rewritten: list[tuple[int, Lying]] = field(default_factory=list)
    left: Mapping[str, int] = field(default_factory=dict)
    shared: Mapping[AbstractSet[str], int] = field(default_factory=dict)
    folders: Mapping[str, Signature] = field(default_factory=dict)
    held: AbstractSet[str] = frozenset()
    nested: tuple[str, ...] = ()
    known: int = 0
    returned: AbstractSet[int] = frozenset()

    def outline(self) -> frozenset[object]:
        """What tells it from another: two walks with the same one have seen the same."""
        seen: set[object] = {(each.file_id, each.stands, each.came, each.laid_in) for each in self.sightings}
        return frozenset(seen | set(self.rewritten) | set(self.foreign))


class Walker:
    """See the module's text. in_inbox(): size and time of what the inbox holds now. others: (place, signature) of what
    was laid over a file of ours and is another picture."""

    def __init__(self, store: Store, tree: Tree, in_inbox: Callable[[], Collection[tuple[int, int]]]) -> None:
        self._store, self._tree, self._in_inbox = store, tree, in_inbox
        self._digests: dict[str, tuple[Signature, bytes]] = {}
        self._same: set[tuple[str, Signature]] = set()
        self._folders: set[str] | None = None
        self.others: set[tuple[str, Signature]] = set()

    def walk(self) -> Walked:
        """Walk, and compare. Raises OSError where the library is away."""
        folders, self._folders = self._tree.folders(), None
        lying = entries(self._tree)
        with self._store.read() as txn:
            seen = match(txn, lying, self._tree.closed)
            found = Walked(folders=folders, known=seen.known())
            left = Counter(seen.placed["folder"][seen.stands | seen.hidden].tolist())
            instead = self._rewritten(txn, found, seen.changed(lying).tolist())
            left -= Counter(key_of(folder_of(each.place)) for over in instead.values() for each in over)
            strays = {each.place: each for each in self._strays(seen.strange(lying))}
            strays |= {each.place: each for over in instead.values() for each in over}
            self._recognise(
                txn,
                found,
                sorted({*seen.gone().tolist(), *instead}),
                list(strays.values()),
                frozenset(seen.pending.tolist()),
                instead,
            )
            self._brought(txn, found)
            touched = {folder_of(place) for each in found.sightings for place in places_of(each.record)}
            found.shared = seen.shared(touched)
            found.returned = unheard(txn) - {each.file_id for each in found.sightings}
        found.held = {folder for folder in folders if left[key_of(folder)] > 0}
        found.left = {folder: left[key_of(folder)] for folder in touched}
        inner = {nested: nested.partition("/")[2] for nested in self._tree.nested}
        found.nested = tuple(nested for nested in inner if inner[nested] in touched - folders.keys())
        self._look_into_inbox(found)
        return found

    def unheard(self) -> int:
        """How many files went in an accident, and are not all back. Any thread."""
        with self._store.read() as txn:
            return len(unheard(txn))

    def count_moved(self) -> tuple[int, int]:
        """How many files of ours people took from where truth put them, and how many of those in an accident. Reads no
        file. Raises OSError where the library is away."""
        lying = entries(self._tree)
        with self._store.read() as txn:
            gone = match(txn, lying, self._tree.closed).gone()
            return len(gone), len(unheard(txn).intersection(gone.tolist()))

    def _strays(self, keys: frozenset[int]) -> list[Lying]:
        """What lies where truth put nothing. A second walk, for only here are the names wanted."""
        if not keys:
            return []
        return [each for each in self._tree.walk() if each.kind != "note" and key_of(each.place) in keys]

    def _rewritten(self, txn: Transaction, found: Walked, file_ids: list[int]) -> dict[int, list[Lying]]:
        """Files whose size or time is another: only touched, or with another content? Returns, for each, what lies in
        its place and is not it. Of one that is on its way, only what stands nowhere else was edited."""
        instead: dict[int, list[Lying]] = defaultdict(list)
        for file_id in file_ids:
            beat()
            file = txn.files.get(file_id)
            image = txn.images.get(file.image_id) if file and file.image_id else None
            if file is None or image is None:
                continue
            there = [lying for place in places_of(file) if (lying := self._tree.look(place)) and lying.kind == "file"]
            is_pending = txn.pending(1, file_id) == [file_id]
            if is_pending and any(stamp_of(lying.signature) == stamp_of(file.signature) for lying in there):
                continue
            for lying in there:
                known_as = (lying.place, lying.signature)
                if stamp_of(lying.signature) == stamp_of(file.signature) or known_as in self._same:
                    continue
                if (digest := self._digest(lying)) == content_of(image, file):
                    self._same.add(known_as)
                elif known_as not in self.others and txn.image_of_content(digest) in (0, file.image_id):
                    found.rewritten.append((file_id, lying))
                elif not is_pending:
                    instead[file_id].append(lying)
        return instead

    def _recognise(
        self,
        txn: Transaction,
        found: Walked,
        gone: list[int],
        strays: list[Lying],
        pending: frozenset[int],
        instead: Mapping[int, Sequence[Lying]],
    ) -> None:
        """Which of our files each stray is, and what that makes of those that are gone. An image that `forget` left
        lies there because nobody moved it: it is no copy of one that was taken in since. instead: see _rewritten."""
        records = {file_id: file for file_id in gone if (file := txn.files.get(file_id)) is not None}
        by_signature = {file.signature: file_id for file_id, file in records.items()}
        lost = {
            file_id: sum(not self._tree.look(place) for place in places_of(file)) + len(instead.get(file_id, ()))
            for file_id, file in records.items()
        }
        came: dict[int, list[Lying]] = defaultdict(list)
        unknown: list[Lying] = []
        for lying in strays:
            beat()
            file_id = by_signature.get(lying.signature, 0)
            if not file_id and not txn.is_forgotten(os.fsencode(lying.place)):
                file_id = self._by_content(txn, lying, lost)
            if file_id and lost.get(file_id, 0) <= 0 and self._says_nothing(txn, lying, file_id, pending):
                continue
            if not file_id:
                unknown.append(lying)
            elif file_id not in pending:
                came[file_id].append(lying)
                lost[file_id] = lost.get(file_id, 0) - 1
        nowhere = [id_ for id_ in records.keys() - pending - instead.keys() - came.keys() if lost[id_] == 1]
        came_to = {folder_of(lying.place) for each in came.values() for lying in each}
        self._unknown(txn, found, unknown, _by_name({id_: records[id_] for id_ in nowhere}), came_to)
        for file_id in sorted(records.keys() | came.keys()):
            file = records.get(file_id) or txn.files.get(file_id)
            if file is None:
                continue
            each = self._sighting(file_id, file, tuple(came[file_id]), tuple(instead.get(file_id, ())))
            if each.came or each.gone:
                found.sightings.append(each)
        kept = {each.place for each in (*strays, *(lying for _, lying in found.rewritten))}
        self._digests = {place: told for place, told in self._digests.items() if place in kept}

    def _says_nothing(self, txn: Transaction, lying: Lying, file_id: int, pending: frozenset[int]) -> bool:
        """Is it no copy that somebody laid there? It may be a duplicate that we place now. And what lay in a folder
        of nobody's already when the same content was placed was only copied into the inbox."""
        file = txn.files.get(file_id)
        image = txn.images.get(file.image_id) if file else None
        if file is None or image is None or not pending.isdisjoint(image.file_ids):
            return True
        if self._is_somebodys(txn, lying):
            return False
        stands = [found for place in places_of(file) if (found := self._tree.look(place)) is not None]
        return bool(stands) and all(lying.changed_ns < found.changed_ns for found in stands)

    def _unknown(
        self,
        txn: Transaction,
        found: Walked,
        unknown: Sequence[Lying],
        vanished: dict[str, int],
        came_to: AbstractSet[str],
    ) -> None:
        """What has a content that is new: perhaps one of those that vanished, by name, which was edited and dragged
        elsewhere in one go. came_to: the folders that others of ours came to; where nothing does, in a folder of
        nobody's, it may have lain for years."""
        for lying in unknown:
            folder, _, name = lying.place.partition("/")
            is_likely = lying.kind == "file" and (lying.place, lying.signature) not in self.others
            is_likely = is_likely and (folder in came_to or self._is_somebodys(txn, lying))
            if is_likely and name in vanished and not txn.is_forgotten(os.fsencode(lying.place)):
                found.rewritten.append((vanished.pop(name), lying))
            else:
                self._strange(txn, found, lying)

    def _strange(self, txn: Transaction, found: Walked, lying: Lying) -> None:
        """A photo that was laid into a person's folder, unless it shows somebody who is to be forgotten."""
        is_theirs = self._is_somebodys(txn, lying) and not txn.is_forgotten(os.fsencode(lying.place))
        if lying.kind == "file" and is_theirs:
            found.foreign.append(lying)

    def _is_somebodys(self, txn: Transaction, lying: Lying) -> bool:
        if self._folders is None:
            alive = {record.person_id for _, record in txn.assignments.items()}
            persons = (person for id_, person in txn.persons.items() if id_ in alive and not person.hidden)
            self._folders = {person.folder for person in persons}
        return folder_of(lying.place) in self._folders

    def _brought(self, txn: Transaction, found: Walked) -> None:
        """Photos that were taken in from where they were laid; one that was dragged on since was laid there."""
        undecided = brought(txn)
        for at, each in enumerate(found.sightings if undecided else ()):
            is_dragged = each.file_id in undecided and each.came and not each.stands
            if is_dragged and self._is_somebodys(txn, each.came[0]):
                found.sightings[at] = replace(each, laid_in=folder_of(each.came[0].place))
        seen = {each.file_id for each in found.sightings}
        for file_id, folder in undecided.items():
            file = txn.files.get(file_id)
            if file is not None and not file.missing and file_id not in seen and txn.pending(1, file_id) != [file_id]:
                found.sightings.append(replace(self._sighting(file_id, file, ()), laid_in=folder))

    def _sighting(
        self, file_id: int, file: FileRecord, came: tuple[Lying, ...], instead: tuple[Lying, ...] = ()
    ) -> Sighting:
        """Where case does not count, a place has two names: what is there by one of them did not come."""
        taken = {lying.place for lying in instead}
        stands = [lying for place in places_of(file) if place not in taken and (lying := self._tree.look(place))]
        inodes = frozenset(lying.signature.inode for lying in stands if lying.kind != "link")
        known = {(folded(lying.place), lying.signature.inode) for lying in stands}
        came = tuple(lying for lying in came if (folded(lying.place), lying.signature.inode) not in known)
        return Sighting(file_id, file, tuple(lying.place for lying in stands), came, inodes=inodes, instead=instead)

    def _by_content(self, txn: Transaction, lying: Lying, lost: Mapping[int, int]) -> int:
        """The file that has the content of a stray, rather one of which something is gone; 0 if it was never ours."""
        if lying.kind == "link":
            target = self._tree.target(lying.place)
            return txn.file_of_source(os.fsencode(target)) if target else 0
        if lying.kind != "file":
            return 0
        image = txn.images.get(txn.image_of_content(digest := self._digest(lying)))
        if image is None:
            return 0
        files = [(id_, file) for id_ in image.file_ids if (file := txn.files.get(id_)) is not None]
        files = [(id_, file) for id_, file in files if content_of(image, file) == digest]
        name = os.fsencode(lying.place.partition("/")[2])
        ranked = sorted(
            files, key=lambda item: (-(lost.get(item[0], 0) > 0), not item[1].missing, item[1].name != name)
        )
        return ranked[0][0] if ranked else 0

    def _digest(self, lying: Lying) -> bytes:
        """Of its content, read once as long as it does not change; b"" of what cannot be read."""
        known = self._digests.get(lying.place)
        if known is None or known[0] != lying.signature:
            try:
                known = lying.signature, self._tree.digest(lying.place)
            except OSError:
                return b""
            self._digests[lying.place] = known
        return known[1]

    def _look_into_inbox(self, found: Walked) -> None:
        """Mark what was put back into the inbox, or has come from there since."""
        away = [each for each in found.sightings if not each.came and each.gone]
        if not away:
            return
        waiting = self._in_inbox()
        with self._store.read() as txn:
            back = {
                each.file_id
                for each in away
                if (each.record.signature.size_bytes, each.record.signature.mtime_ns) in waiting
                or _came_again(txn, each)
            }
        found.sightings = [replace(each, comes_back=True) if each.file_id in back else each for each in found.sightings]


def _by_name(files: Mapping[int, FileRecord]) -> dict[str, int]:
    """Name -> file, of those that had one place each, and a name that none of the others had."""
    names = {id_: place.partition("/")[2] for id_, file in files.items() for place in places_of(file)}
    count = Counter(names.values())
    return {name: id_ for id_, name in names.items() if count[name] == len(files[id_].places) == 1}


def _came_again(txn: Transaction, seen: Sighting) -> bool:
    """Was the same content taken in once more, later?"""
    image = txn.images.get(seen.record.image_id) if seen.record.image_id else None
    later = [txn.files.get(file_id) for file_id in (image.file_ids if image else ()) if file_id > seen.file_id]
    return any(file is not None and not file.missing and _is_same(file, seen.record) for file in later)


def _is_same(file: FileRecord, other: FileRecord) -> bool:
    return (file.signature.size_bytes, file.signature.mtime_ns) == (
        other.signature.size_bytes,
        other.signature.mtime_ns,
    )
