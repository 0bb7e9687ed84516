"""Follows what people do in the library's folders, and lets it be decided: the folder tree is an interface.

Room:    pipeline (moves)
Imports: types, records, errors, ports, by_hand, edits, matched, pulse, service, stir, walked

Events are hints, the walk is the truth, as in the inbox. A burst from a file manager is one decision: nothing is
decided before nobody has stirred for settle_s. What happened while nobody watched is found by the first walk, and means
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from threading import Event

from face_organizer.errors import NoRoomError, RequestError
from face_organizer.pipeline.by_hand import ByHand, Understood
from face_organizer.pipeline.edits import Followed
from face_organizer.pipeline.matched import folder_of, places_of
from face_organizer.pipeline.pulse import beat, pause, wait
from face_organizer.pipeline.service import Job
from face_organizer.pipeline.stir import Stir
from face_organizer.pipeline.walked import Walked, Walker
from face_organizer.ports import Clock, Log, Tree
from face_organizer.records import FileRecord
from face_organizer.types import ImageRef, InboxState, Lying, Signature

LOOK_S = 0.2
AWAY_S = 0.5
STEADY_S = 3.0
"""Names came and went so long ago that the next change must have another time (FAT: two seconds)."""

RETRY_S = 5.0
"""On a full disk, and after something changed between the walk and the decision."""

BURST_MAX = 20
"""Somebody who stirs without a pause is listened to after so many times settle_s."""

HEARD_WITHIN_S = 60.0
"""So long, at most, a command waits until what people do in the folders is decided: longer than anybody is let stir."""

UNCLEAR_MAX = 50

LOOKS_MAX = 20
"""A command's folders may be changed while it looks, but not for ever."""


@dataclass(frozen=True, slots=True)
class Attentive:
    """settle_s: how long nobody must have stirred. rescan_s: between two walks; poll_s: where nobody tells of changes.
    is_on: follow the folders at all. takes_in: new photos, too, for there is somebody who sees them."""

    settle_s: float
    rescan_s: float
    poll_s: float
    is_on: bool = True
    takes_in: bool = True


class Hands:
    """See the module's text. take_in(lying): enrol a photo from where somebody laid it. follow(rewritten): see edits.

    last: what was understood last. looked: how many walks have ended. left: so many new photos lie in persons' folders
    and were not taken in. moved: so many files were moved by hand, and nothing was made of it; see count_moved.
    """

    def __init__(
        self,
        tree: Tree,
        walker: Walker,
        by_hand: ByHand,
        stir: Stir,
        log: Log,
        clock: Clock,
        patience: Attentive,
        take_in: Callable[[Lying], None],
        follow: Callable[[Sequence[tuple[int, Lying]]], Followed],
    ) -> None:
        self._tree, self._walker, self._by_hand, self._stir = tree, walker, by_hand, stir
        self._log, self._clock = log, clock
        self.patience, self._take_in, self._follow = patience, take_in, follow
        self._taken: dict[str, Signature] = {}
        self._under_way: set[str] = set()
        self._times: tuple[Mapping[str, Signature], float] = {}, inf
        self._seen: tuple[frozenset[object], float] = frozenset(), inf
        self._answered: frozenset[object] = frozenset()
        self._is_steady = self._is_behind = False
        self._ended, self._took_s, self._again_at = -inf, 0.0, inf
        self._unclear: dict[str, None] = {}
        self._is_gutted = self._follows = False
        self._asked = self._heard_at = -inf
        self._heard: Mapping[int, AbstractSet[str]] = {}
        self.looked = self.left = 0
        self.moved: int | None = None
        self._gone: int | None = None
        self.last = Understood()

    @property
    def state(self) -> InboxState:
        return self._tree.state

    def unclear(self) -> list[str]:
        """What was left alone in the folders, and why, in sentences for people."""
        return list(self._unclear)

    def problems(self) -> list[str]:
        """So much is gone from the folders that nobody can have meant it; in a sentence for people. Any thread."""
        count = (self._walker.unheard() if self._gone is None else self._gone) if self.patience.is_on else 0
        return [_accident(count)] if count else []

    def is_idle(self) -> bool:
        """Everything that there was at the start has been looked at, and understood or left, or cannot be for now."""
        if not self.patience.is_on or self._tree.state.kind == "lost" or self._is_behind:
            return True
        return self.looked > 0 and self._again_at == inf and not self._under_way

    def taken_in(self, refs: Iterable[ImageRef]) -> None:
        """These images were enrolled, or will not be. Any thread."""
        before = len(self._under_way)
        self._under_way -= {ref.laid_in for ref in refs}
        if before and not self._under_way:
            self._again_at = self._clock()

    def first(self, job: Job) -> Job:
        """A job that begins when everything that there was at the start has been looked at."""

        def run(stop: Event) -> None:
            while not self.is_idle() and not wait(stop, LOOK_S / 4):
                pass
            job(stop)

        return run

    # for a command that puts files where truth wants them

    def hear_out(self, unless: Callable[[], bool]) -> None:
        """Wait until what people did in the folders until now is decided, or cannot be for now, or unless() is true.
        Where nobody follows the folders, there is nothing to wait for. Any thread."""
        asked = self._clock()
        while self._follows and self._heard_at < asked and self._clock() < asked + HEARD_WITHIN_S and not unless():
            if not self.patience.is_on or self._tree.state.kind == "lost" or self._is_behind:
                break
            self._asked = asked
            pause(LOOK_S / 4)
        self._asked = -inf

    def is_undecided(self, file_id: int, file: FileRecord) -> bool:
        """Did people take this file from where truth put it, and nothing was made of that yet? Any thread."""
        heard = self._heard.get(file_id, frozenset())
        closed = self._tree.closed
        with suppress(OSError):
            places = [place for place in places_of(file) if place not in heard and folder_of(place) not in closed]
            return self.patience.is_on and any(self._tree.look(place) is None for place in places)
        return False

    # for a command, while nobody follows the folders

    def look_at_once(self) -> None:
        """Let what people did meanwhile be decided, in the calling thread; whoever rearranged them has done so."""
        for _ in range(LOOKS_MAX):
            self._look()
            if self.is_idle():
                return

    def count_moved(self) -> int:
        """Only count the files that people took from where they were put."""
        try:
            self.moved, self._gone = self._walker.count_moved()
        except OSError:  # what cannot be looked into says nothing
            self.moved = None
        return self.moved or 0

    # the service

    def run(self, stop: Event) -> None:
        """The service: until stop, turn what people do into decisions."""
        self._follows = True
        try:
            while not stop.is_set():
                beat()
                if not self.patience.is_on or not self.step():
                    wait(stop, AWAY_S)
        finally:
            self._follows = False

    def step(self) -> bool:
        """Listen for LOOK_S, unless it is time to look already, and look if it is. False where the library is away."""
        if not self._tree.check():
            self._is_steady, self._seen = False, (frozenset(), inf)
            return False
        self._stir.hinted(self._tree.hints(within_s=0.0 if self._is_due() else LOOK_S))
        if self._is_due():
            self._look()
        return True

    def _is_due(self) -> bool:
        now, patience = self._clock(), self.patience
        if now < self._ended + 10 * self._took_s:  # walking must not become the daemon's main occupation
            return False
        began, quiet_s = self._stir.began(), now - self._stir.last()
        if began != inf:
            return quiet_s >= patience.settle_s or now - began >= BURST_MAX * patience.settle_s
        polling = self._tree.state.kind == "polling"
        period_s = min(patience.poll_s, patience.rescan_s) if polling else patience.rescan_s
        is_asked = self._asked > self._heard_at
        return is_asked or self._tree.walk_due or now >= min(self._again_at, self._ended + period_s)

    def _look(self) -> None:
        began, is_told = self._clock(), self._stir.began() != inf or self._tree.walk_due
        self._again_at = inf
        is_awaiting = bool(self._under_way)  # asked before the walk: taken_in() has us look again
        self._stir.settle()
        try:
            if self._is_as_before(began) and self._is_steady and not is_told:
                self._ended = began
                self._heard_all(began)
                return
            walked = self._walker.walk()
        except OSError:  # the library is away (check() says so), or may not be looked into
            self._ended = self._clock()
            self.looked += 1
            return
        self._ended = self._clock()
        self._took_s = self._ended - began
        if is_awaiting or self._new(walked):  # what came with them is decided with them
            walked.sightings = [each for each in walked.sightings if not each.laid_in]
        outline = walked.outline()
        if outline - self._answered or walked.returned:
            self._is_steady = False
            if self._is_settled(outline):
                self._understand(walked)
        else:
            # Only what had its times for a while may be known by them.
            self._is_steady = not is_awaiting and began >= self._times[1] + STEADY_S
            self._end(walked, outline)
        self.looked += 1
        if not outline - self._answered:
            self._heard_all(began)

    def _heard_all(self, began: float) -> None:
        """All that was done until then has been decided, unless something of it is still to come."""
        if self.is_idle():
            self._heard_at = began

    def _is_as_before(self, now: float) -> bool:
        """Have all folders the times that they had at the last look?"""
        folders = self._tree.folders()
        if folders == self._times[0]:
            return True
        self._times = folders, now
        return False

    def _is_settled(self, outline: frozenset[object]) -> bool:
        """Nobody has stirred since; where nobody tells of that, two walks must see the same."""
        self._stir.hinted(self._tree.hints(within_s=0.0))
        if self._stir.began() != inf:
            return False
        seen, at = self._seen
        if seen != outline:
            self._seen = outline, self._ended
            at = self._ended
        if self._tree.state.kind == "watched" or self._ended >= at + self.patience.settle_s:
            return True
        self._again_at = at + self.patience.settle_s
        return False

    def _understand(self, walked: Walked) -> None:
        if walked.nested:
            self._lift(walked.nested)
            return
        followed = Followed()
        try:
            followed = self._follow(walked.rewritten)
            if followed.dragged:  # now that they are known, look where they lie
                self._again_at = self._clock()
                return
            answer = self._by_hand.understand(walked, self._stir.homes.renamed(walked.folders))
        except NoRoomError:
            self._again_at, self._is_behind = self._clock() + RETRY_S, True
            return
        except RequestError as error:  # nobody's doing in the folders may end the daemon
            why = f"what was done in the folders could not be decided: {error}"
            answer = Understood(unclear=[why])
        self._is_behind = False
        answer.unclear += followed.unclear
        self._walker.others |= {(lying.place, lying.signature) for lying in followed.others}
        if followed.others:
            self._again_at = self._clock()
        elif answer.spoiled or followed.spoiled:
            self._again_at = self._clock() + self.patience.settle_s
        self._tell(answer)
        self._unclear = dict.fromkeys(answer.unclear[:UNCLEAR_MAX])
        self._stir.homes.named({each: walked.folders[each] for each in answer.named if each in walked.folders})
        self._end(walked, None if answer.spoiled or followed.spoiled else walked.outline())
        if not self.patience.takes_in:
            self.left = len(walked.foreign)
            return
        new = self._new(walked)
        self._taken = {lying.place: lying.signature for lying in walked.foreign}
        self._under_way |= {lying.place for lying in new}
        for lying in new:
            self._take_in(lying)

    def _new(self, walked: Walked) -> list[Lying]:
        """The photos that are yet to be taken in."""
        if not self.patience.takes_in:
            return []
        return [lying for lying in walked.foreign if self._taken.get(lying.place) != lying.signature]

    def _tell(self, answer: Understood) -> None:
        if answer.decision_id:
            self.last = answer
            self._log.info("folders_understood", decision_id=answer.decision_id, says=answer.says, files=answer.files)
        for sentence in answer.unclear:
            if sentence not in self._unclear:
                self._log.warning("folders_unclear", problem=sentence)
        unheard, was_gutted = self._walker.unheard(), self._is_gutted
        self._is_gutted = unheard > 0
        if self._is_gutted and not was_gutted:
            self._log.warning("folders_gutted", images=unheard, problem=_accident(unheard))

    def _lift(self, nested: tuple[str, ...]) -> None:
        """A folder that was dragged into another means what its images mean there."""
        for folder in nested:
            with suppress(OSError):  # it is still there at the next walk
                places = self._tree.lift(folder)
                self._stir.ours([folder], places)
                self._log.info("folder_lifted", folder=folder, images=len(places))
        self._again_at = self._clock() + self.patience.settle_s

    def _end(self, walked: Walked, outline: frozenset[object] | None) -> None:
        """All that a walk found was answered; outline: None where that will have to be done once more."""
        if not outline:
            self._unclear = {}
        if outline is not None:
            self._stir.homes.walked(walked.folders, walked.held)
        self._answered = outline or frozenset()
        self._heard = {each.file_id: frozenset(each.gone) for each in walked.sightings} if outline else {}


def _accident(count: int) -> str:
    return (
        f"{count} images are gone from the library's folders at once, which looks like an accident: nothing was made of"
        " it; put them back, or run `check --repair` to give them up"
    )
