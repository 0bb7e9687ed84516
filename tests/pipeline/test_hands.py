"""When people in the folders are listened to: settling, bursts, polling, our own moves. Real store, folders and events;
the clock is turned by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from support import wait_until
from test_gallery import Desk

from face_organizer.adapters import attention
from face_organizer.adapters.tree import FolderTree, trace
from face_organizer.identity import laid as identity_laid
from face_organizer.pipeline.by_hand import ByHand
from face_organizer.pipeline.edits import Followed
from face_organizer.pipeline.hands import BURST_MAX, STEADY_S, Attentive, Hands
from face_organizer.pipeline.homes import Homes
from face_organizer.pipeline.matched import folder_of
from face_organizer.pipeline.messages import RecordPlaced
from face_organizer.pipeline.stir import Stir
from face_organizer.pipeline.unheard import look_again
from face_organizer.pipeline.walked import Walker
from face_organizer.types import FileId, Lying, Placed, Signature
from face_organizer.vision.decode import content_digest

SETTLE_S = 2.0
ANN, BOB = "person_0001", "person_0002"


class Bench:
    """Two persons of three images each, placed; and whoever follows the folders."""

    def __init__(self, folder: Path) -> None:
        self.desk, self.library = Desk(folder), folder / "library"
        self.now = 0.0
        for person in (3, 3, 3, 4, 4, 4):
            self.desk.drop(person)
        for number in range(1, 7):
            place = f"{ANN if number <= 3 else BOB}/{number}.jpg"
            path = self.library / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(place)
            self.record(number, place)
        self.tree = FolderTree(self.library, self.desk.log, lambda: self.now)
        self.walker = Walker(self.desk.store, self.tree, set)
        self.stir = Stir(lambda: self.now, partial(trace, self.library))
        self.taken: list[Lying] = []
        self.hands = self.restarted()

    def restarted(self) -> Hands:
        """Whoever follows the folders, knowing nothing but the truth."""
        by_hand = ByHand(self.desk.decide, self.desk.roster, self.desk.book, self.tree)
        patience = Attentive(SETTLE_S, rescan_s=30.0, poll_s=5.0)
        return Hands(
            self.tree,
            self.walker,
            by_hand,
            self.stir,
            self.desk.log,
            lambda: self.now,
            patience,
            self.taken.append,
            lambda _: Followed(),
        )

    def record(self, number: int, *places: str) -> None:
        path = self.library / places[0]
        found = path.stat()
        signature = Signature(found.st_size, found.st_mtime_ns, found.st_ino)
        with self.desk.store.write() as txn:
            file, image = txn.files.get(number), txn.images.get(number)
            assert file is not None and image is not None
            txn.files.put(number, replace(file, places=tuple(map(os.fsencode, places)), signature=signature))
            txn.images.put(number, replace(image, digest=content_digest(path.read_bytes())))
            txn.put_content(content_digest(path.read_bytes()), number)
            txn.set_pending(number, False)

    def drag(self, place: str, to: str) -> None:
        (self.library / to).mkdir(exist_ok=True)
        (self.library / place).rename(self.library / to / Path(place).name)

    def place(self, number: int, folder: str) -> None:
        """The placer brings an image there, and tells."""
        with self.desk.store.read() as txn:
            file = txn.files.get(number)
        assert file is not None
        before, place = [os.fsdecode(each) for each in file.places], f"{folder}/{number}.jpg"
        (self.library / folder).mkdir(exist_ok=True)
        (self.library / place).write_text(place) if not before else self.drag(before[0], folder)
        for emptied in (self.library / each for each in map(folder_of, before) if each != folder):
            if not any(emptied.iterdir()):
                emptied.rmdir()
        self.stir.ours(before, [place], [(folder, (self.library / folder).stat().st_ino)])
        self.record(number, place)

    def hear(self, *places: str) -> None:
        """Go on once somebody's doing at all these places was told; of a move into a new folder that takes a while."""
        heard: set[str] = set()

        def is_heard() -> bool:
            hints = self.tree.hints(within_s=0.1)
            self.stir.hinted(hints)
            heard.update(hints)
            return heard.issuperset(places) and self.stir.began() != float("inf")

        wait_until(is_heard)

    def after(self, seconds: float) -> list[str]:
        """The kinds of decisions there are after one more step, so much later than the last event."""
        while hints := self.tree.hints(within_s=0.25):
            self.stir.hinted(hints)
        self.now += seconds
        self.hands.step()
        with self.desk.store.read() as txn:
            return [decision.kind for _, decision in txn.decisions.items()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.tree.stop()
    made.desk.store.close()


def test_a_burst_is_one_decision_as_soon_as_nobody_has_stirred_for_a_while(bench: Bench) -> None:
    assert bench.after(0) == []
    bench.drag(f"{ANN}/1.jpg", BOB)
    bench.hear(f"{BOB}/1.jpg")
    assert bench.after(SETTLE_S / 2) == []
    bench.drag(f"{ANN}/2.jpg", "Zoe")
    bench.now += 0.1
    bench.hear(f"{ANN}/2.jpg", "Zoe/2.jpg")
    assert bench.after(SETTLE_S * 0.9) == []

    assert bench.after(SETTLE_S * 0.2) == ["assign"]

    assert bench.desk.persons() == [2, 3, 1, 2, 2, 2]
    assert bench.after(100) == ["assign"]


def test_somebody_who_never_pauses_is_listened_to_all_the_same(bench: Bench) -> None:
    bench.after(0)
    bench.drag(f"{ANN}/1.jpg", BOB)
    bench.hear(f"{BOB}/1.jpg")
    for _ in range(BURST_MAX - 1):
        bench.stir.hinted([f"{ANN}/busy"])
        assert bench.after(SETTLE_S * 0.9) == []
    bench.stir.hinted([f"{ANN}/busy"])

    assert bench.after(SETTLE_S * 3) == ["assign"]


def test_where_nobody_tells_of_changes_two_walks_must_see_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "kind_at", lambda _: "nfs4")
    assert bench.after(0) == []
    assert bench.hands.state.kind == "polling"
    bench.drag(f"{ANN}/1.jpg", BOB)
    assert bench.after(6) == []
    bench.drag(f"{ANN}/2.jpg", BOB)
    assert bench.after(SETTLE_S) == [], "it has changed since"

    assert bench.after(SETTLE_S) == ["assign"]


def test_our_own_moves_are_no_news_and_what_they_hide_the_next_walk_finds(bench: Bench) -> None:
    bench.after(0)
    bench.drag(f"{ANN}/1.jpg", BOB)
    bench.stir.ours([f"{ANN}/1.jpg"], [f"{BOB}/1.jpg"])
    for _ in range(3):
        assert bench.after(0.1) == []
    assert bench.stir.began() == float("inf")

    assert bench.after(31) == ["assign"]


def test_what_somebody_does_right_after_our_own_move_is_no_echo_of_it(bench: Bench) -> None:
    bench.after(0)
    (bench.library / ANN / "1.jpg").rename(bench.library / ANN / "one.jpg")
    bench.record(1, f"{ANN}/one.jpg")
    bench.stir.ours([f"{ANN}/1.jpg"], [f"{ANN}/one.jpg"])
    bench.after(0.1)
    assert bench.stir.began() == float("inf")

    (bench.library / ANN / "one.jpg").unlink()
    bench.hear(f"{ANN}/one.jpg")

    assert bench.after(SETTLE_S) == ["reject"]


def test_an_echo_of_ours_is_told_by_looking_however_late_it_comes_and_taken_back_where_it_came_first(
    bench: Bench,
) -> None:
    place, old = f"{ANN}/1.jpg", f"{ANN}/old.jpg"
    bench.stir.hinted([place, ANN, old])
    bench.stir.ours([old], [place])
    assert bench.stir.began() == float("inf")
    bench.now += 1000
    bench.stir.hinted([place, ANN, old])
    assert bench.stir.began() == float("inf")

    (bench.library / place).rename(bench.library / old)
    bench.stir.hinted([old])
    assert bench.stir.began() == bench.now
    bench.stir.settle()
    (bench.library / old).rename(bench.library / place)
    bench.stir.hinted([old])
    assert bench.stir.began() == bench.now, "it was not as we left it in between"


def test_what_was_taken_before_we_could_say_that_we_laid_it_there_is_somebodys_doing(bench: Bench) -> None:
    bench.stir.ours([], [f"{ANN}/taken.jpg"])
    bench.stir.hinted([f"{ANN}/taken.jpg"])

    assert bench.stir.began() == bench.now


def renamed_with_one_more(bench: Bench, folder: str, to: str) -> None:
    """Somebody renames Ann's folder, and at once one more photo of her is placed where it was."""
    (bench.library / folder).rename(bench.library / to)
    bench.desk.drop(3)
    with bench.desk.store.read() as txn:
        number = txn.last_id("files")
    bench.place(number, folder)
    bench.hear(to)


def test_a_folder_that_we_made_a_moment_ago_and_somebody_renamed_is_a_name_whatever_is_placed_since(
    bench: Bench,
) -> None:
    bench.tree.check()
    for number in (1, 2, 3):  # nobody has looked yet
        bench.place(number, "Sean")
    bench.desk.decide.name(1, "Sean")
    for number in (1, 2, 3):
        bench.record(number, f"Sean/{number}.jpg")
    renamed_with_one_more(bench, "Sean", "Sean2")

    assert bench.after(SETTLE_S) == ["name", "name"]

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 1]


def test_a_folder_that_is_renamed_again_before_the_next_look_is_a_name_whatever_is_placed_since(bench: Bench) -> None:
    bench.after(0)
    renamed_with_one_more(bench, ANN, "Zoe")
    assert bench.after(SETTLE_S) == ["name"]
    for number in (1, 2, 3):
        bench.record(number, f"Zoe/{number}.jpg")
    bench.place(7, "Zoe")
    renamed_with_one_more(bench, "Zoe", "Zoe Brown")

    assert bench.after(SETTLE_S) == ["name", "name"]

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 1, 1]


def test_a_new_folder_with_the_number_of_one_that_we_removed_is_not_that_one() -> None:
    standing = {"Zoe": Signature(0, 0, 4711)}
    homes = Homes(standing.get)
    homes.laid_into(ANN, 4711)
    assert homes.renamed(standing) == {ANN: "Zoe"}

    homes.removed(ANN)

    assert homes.renamed(standing) == {}


def test_a_file_that_is_on_its_way_is_ours_whatever_lies_where(bench: Bench) -> None:
    with bench.desk.store.write() as txn:
        txn.set_pending(1, True)
    bench.drag(f"{ANN}/1.jpg", BOB)

    assert bench.after(0) == []
    assert bench.after(31) == []
    bench.record(1, f"{BOB}/1.jpg")
    assert bench.after(31) == []


def test_what_has_changed_between_the_walk_and_the_decision_is_left_for_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = bench.walker.walk

    def and_then_it_is_dragged_back() -> object:
        seen = walk()
        monkeypatch.undo()
        bench.drag(f"{BOB}/1.jpg", ANN)
        return seen

    monkeypatch.setattr(bench.walker, "walk", and_then_it_is_dragged_back)
    bench.drag(f"{ANN}/1.jpg", BOB)
    assert bench.after(0) == []

    assert bench.after(31) == []
    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2]


def test_folders_that_nobody_touched_are_not_walked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        bench.after(31 + STEADY_S)
    walks: list[int] = []
    real = bench.walker.walk
    monkeypatch.setattr(bench.walker, "walk", lambda: walks.append(1) or real())

    bench.after(31)
    bench.after(31)
    assert walks == []
    bench.drag(f"{ANN}/1.jpg", BOB)
    wait_until(lambda: bench.after(0.5) == ["assign"])


def test_a_new_photo_is_handed_over_once_and_again_only_when_it_has_changed(bench: Bench) -> None:
    bench.after(0)
    (bench.library / ANN / "new.jpg").write_text("new")
    (bench.library / "Nobody's").mkdir()
    (bench.library / "Nobody's" / "other.jpg").write_text("other")
    wait_until(lambda: bench.after(31) == [] and bool(bench.taken))
    bench.after(31)
    assert [each.place for each in bench.taken] == [f"{ANN}/new.jpg"]

    (bench.library / ANN / "new.jpg").write_text("newer")
    wait_until(lambda: bench.after(31) == [] and len(bench.taken) == 2)


def lay(bench: Bench, *names: str) -> None:
    """Lay new photos into Ann's folder, and let it be seen that they are there."""
    known = len(bench.taken)
    for name in names:
        (bench.library / ANN / f"{name}.jpg").write_text(name)
    bench.hear(*(f"{ANN}/{name}.jpg" for name in names))
    bench.after(SETTLE_S * 2)
    wait_until(lambda: bench.after(31) is not None and len(bench.taken) == known + len(names))


def enrol(bench: Bench, *taken: Lying, person: int) -> None:
    """The pipeline has taken these in: all show the same person."""
    for lying in taken:
        content = content_digest((bench.library / lying.place).read_bytes())
        image = bench.desk.drop(person, content=content, lying=lying)
        bench.hands.taken_in([image.ref])


def test_new_photos_of_a_stranger_are_one_decision_whoever_of_them_founds_a_person_meanwhile(bench: Bench) -> None:
    bench.after(0)
    lay(bench, "a", "b", "c", "d")

    enrol(bench, *bench.taken[:3], person=7)
    assert bench.desk.persons()[6:] == [3, 3, 3]
    assert bench.after(31) == []  # the fourth is still under way
    enrol(bench, *bench.taken[3:], person=7)
    assert bench.after(0.1) == ["assign"]

    assert bench.desk.persons()[6:] == [1, 1, 1, 1]
    assert bench.after(100) == ["assign"]
    bench.desk.decide.undo(None)
    assert bench.desk.persons()[6:] == [3, 3, 3, 3]


def test_of_new_photos_some_of_which_a_kill_left_undecided_all_are_one_decision(bench: Bench) -> None:
    bench.after(0)
    lay(bench, "a", "b", "c")
    enrol(bench, bench.taken[0], person=7)

    again = bench.restarted()
    again.look_at_once()
    assert set(bench.taken[3:]) == set(bench.taken[1:3])
    assert bench.desk.persons()[6:] == [0]
    bench.hands = again
    enrol(bench, *bench.taken[3:], person=7)
    again.look_at_once()

    assert bench.after(0) == ["assign"]
    assert bench.desk.persons()[6:] == [1, 1, 1]


def test_a_new_photo_that_is_dragged_on_before_it_is_decided_shows_whom_it_was_dragged_to(bench: Bench) -> None:
    bench.after(0)
    lay(bench, "a")
    enrol(bench, *bench.taken, person=7)
    bench.drag(f"{ANN}/a.jpg", BOB)
    bench.hear(f"{BOB}/a.jpg")

    assert bench.after(SETTLE_S) == ["assign"]
    assert bench.desk.persons()[6:] == [2]
    bench.record(7, f"{BOB}/a.jpg")
    assert bench.after(100) == ["assign"]
    assert bench.desk.persons()[6:] == [2]


def test_an_image_that_forgetting_left_is_no_copy_of_one_that_was_taken_in_since(bench: Bench) -> None:
    bench.after(0)
    (bench.library / "Zoe").mkdir()
    (bench.library / "Zoe" / "1.jpg").write_bytes((bench.library / ANN / "1.jpg").read_bytes())
    with bench.desk.store.write() as txn:
        txn.put_forgotten(b"Zoe/1.jpg")
    bench.hear("Zoe/1.jpg")

    assert bench.after(SETTLE_S) == []
    assert bench.hands.unclear() == []
    assert bench.taken == []
    bench.drag("Zoe/1.jpg", BOB)  # that is somebody's doing
    bench.hear(f"{BOB}/1.jpg")
    bench.after(SETTLE_S)
    assert bench.hands.unclear() != []


def test_a_folder_that_cannot_be_anybody_is_told_and_the_rest_is_decided(bench: Bench) -> None:
    bench.after(0)
    bench.drag(f"{ANN}/1.jpg", "456")
    bench.drag(f"{BOB}/4.jpg", ANN)

    wait_until(lambda: bench.after(31) == ["assign"])

    assert bench.desk.persons() == [1, 1, 1, 1, 2, 2]
    assert any("is a number" in sentence for sentence in bench.hands.unclear())


def test_what_was_not_understood_is_told_until_it_is_put_right(bench: Bench) -> None:
    bench.after(0)
    bench.drag(f"{ANN}/1.jpg", "123")
    bench.drag(f"{ANN}/2.jpg", "123")
    bench.drag(f"{ANN}/3.jpg", "123")
    bench.after(31)
    bench.after(31)
    assert any("is a number" in sentence for sentence in bench.hands.unclear())
    assert bench.desk.log.events.count("folders_unclear") == 1

    (bench.library / "123").rename(bench.library / "Zoe 123")
    bench.after(31)
    assert bench.after(31) == ["name"]
    assert bench.hands.unclear() == []


def test_when_most_is_gone_at_once_nothing_is_decided_and_nothing_either_while_it_comes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(identity_laid, "GUTTED_MIN", 3)
    bench.desk.drop(3, 4)
    (bench.library / ANN / "both.jpg").write_text("both")
    (bench.library / BOB / "both.jpg").hardlink_to(bench.library / ANN / "both.jpg")
    bench.record(7, f"{ANN}/both.jpg", f"{BOB}/both.jpg")
    assert bench.after(0) == [] and bench.hands.problems() == []
    away = tmp_path / "away"
    (bench.library / BOB).rename(away)
    (bench.library / ANN / "1.jpg").rename(away / "1.jpg")

    assert bench.after(31) == []
    assert bench.after(31) == []
    assert "5 images are gone" in bench.hands.problems()[0]
    assert bench.desk.log.events.count("folders_gutted") == 1

    (away / "1.jpg").rename(bench.library / ANN / "1.jpg")
    bench.drag(f"{ANN}/2.jpg", BOB)
    assert bench.after(31) == ["assign"]  # of that one
    assert "4 images are gone" in bench.hands.problems()[0]

    for path in away.iterdir():
        path.rename(bench.library / BOB / path.name)
    assert bench.after(31) == ["assign"]
    assert bench.hands.problems() == [] and bench.desk.persons() == [1, 2, 1, 2, 2, 2, 1, 2]
    assert bench.desk.log.events.count("folders_gutted") == 1


def gut(bench: Bench, monkeypatch: pytest.MonkeyPatch, away: Path) -> None:
    """Nearly all images are gone, and it was seen that they are."""
    monkeypatch.setattr(identity_laid, "GUTTED_MIN", 3)
    bench.after(0)
    (bench.library / BOB).rename(away)
    (bench.library / ANN / "1.jpg").rename(away / "1.jpg")
    assert bench.after(31) == []
    assert "4 images are gone" in bench.hands.problems()[0]


def test_an_accident_is_one_after_a_restart_in_the_midst_of_it_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gut(bench, monkeypatch, away := tmp_path / "away")
    (bench.library / BOB).mkdir()
    for name in ("4.jpg", "5.jpg"):
        (away / name).rename(bench.library / BOB / name)

    bench.hands = bench.restarted()
    assert "4 images are gone" in bench.hands.problems()[0]
    assert bench.after(31) == []
    assert "2 images are gone" in bench.hands.problems()[0]
    bench.hands = bench.restarted()
    bench.drag(f"{ANN}/2.jpg", BOB)
    assert bench.after(31) == ["assign"]  # of that one

    (away / "6.jpg").rename(bench.library / BOB / "6.jpg")
    (away / "1.jpg").rename(bench.library / ANN / "1.jpg")
    assert bench.after(31) == ["assign"]
    assert bench.hands.problems() == bench.restarted().problems() == []
    (bench.library / BOB / "6.jpg").unlink()
    assert bench.after(31) == ["assign", "reject"], "what goes after it was all back was meant"


def test_what_is_given_up_after_an_accident_is_gone_and_the_accident_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gut(bench, monkeypatch, tmp_path / "away")

    with bench.desk.store.write() as txn:
        look_again(txn, lambda file_id, file: False)  # and a kill before anything is placed
    bench.hands = bench.restarted()
    assert bench.after(31) == [] and bench.hands.problems() == []
    gone = [(Placed(FileId(file_id), (), missing=True), (BOB,)) for file_id in (1, 4, 5, 6)]
    bench.desk.gallery.handle([RecordPlaced(gone)])

    assert bench.after(31) == [] and bench.hands.problems() == []
    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2]


def repaired(bench: Bench) -> list[int]:
    """The files that a repair would lay where truth wants them."""
    with bench.desk.store.write() as txn:
        look_again(txn, bench.hands.is_undecided)
        found = txn.pending(100)
        for file_id in found:
            txn.set_pending(file_id, False)
    return found


def test_a_repair_leaves_what_somebody_moved_alone_until_it_was_understood_or_cannot_be(bench: Bench) -> None:
    bench.after(0)
    bench.drag(f"{ANN}/1.jpg", BOB)
    bench.drag(f"{BOB}/4.jpg", "123")
    (bench.library / ANN / "2.jpg").rename(bench.library / ANN / "two.jpg")
    assert repaired(bench) == [3, 5, 6]
    bench.hear(f"{BOB}/1.jpg", f"{ANN}/two.jpg")
    assert bench.after(SETTLE_S / 2) == [] and repaired(bench) == [3, 5, 6]

    assert bench.after(31) == ["assign"]

    assert repaired(bench) == [1, 2, 3, 4, 5, 6]
    assert any("is a number" in sentence for sentence in bench.hands.unclear())


def test_a_repair_leaves_a_new_photo_where_it_was_laid_until_it_is_decided_whom_it_shows(bench: Bench) -> None:
    bench.after(0)
    lay(bench, "a")
    enrol(bench, *bench.taken, person=7)
    assert repaired(bench) == [1, 2, 3, 4, 5, 6]

    assert bench.after(0.1) == ["assign"]

    assert repaired(bench) == [1, 2, 3, 4, 5, 6, 7]


def test_whoever_waits_for_the_folders_waits_until_they_are_decided_and_no_longer_than_somebody_follows_them(
    bench: Bench,
) -> None:
    bench.hands.hear_out(lambda: False)  # nobody follows them

    stop, waiter = Event(), Thread(target=bench.hands.hear_out, args=(lambda: stop.is_set(),))
    follower = Thread(target=bench.hands.run, args=(stop,))
    follower.start()
    wait_until(lambda: bench.hands.looked > 0)
    bench.now += 1
    bench.drag(f"{ANN}/1.jpg", BOB)
    wait_until(lambda: bench.stir.began() != float("inf"))
    waiter.start()
    waiter.join(0.3)
    try:
        assert waiter.is_alive()
        bench.now += SETTLE_S * 2
        waiter.join(20)
        assert not waiter.is_alive() and bench.desk.persons() == [2, 1, 1, 2, 2, 2]
    finally:
        stop.set()
        waiter.join()
        follower.join()


def test_a_duplicate_that_is_being_placed_is_no_copy_that_somebody_laid_there(bench: Bench) -> None:
    with bench.desk.store.write() as txn:
        file, image = txn.files.get(1), txn.images.get(1)
        assert file is not None and image is not None
        twin = txn.new_id("files")
        txn.files.put(twin, replace(file, places=(), name=b"1.jpg"))
        txn.images.put(1, replace(image, file_ids=(*image.file_ids, twin)))
        txn.set_pending(twin, True)
    path = bench.library / ANN / "1~2.jpg"
    path.write_bytes((bench.library / ANN / "1.jpg").read_bytes())

    assert bench.walker.walk().sightings == []

    with bench.desk.store.write() as txn:
        txn.set_pending(twin, False)
    assert [each.file_id for each in bench.walker.walk().sightings] == [1]
