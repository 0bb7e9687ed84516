"""Moving to another model, part by part; the whole of it is in tests/system/test_another_model.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import structlog
from numbered import OTHER_D, D, Painted, paint

from face_organizer.adapters.neighbours import neighbours_of_all
from face_organizer.adapters.reading import read_now
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.app.parts import pack_of, rules_of
from face_organizer.config import Config
from face_organizer.errors import NoRoomError, RequestError
from face_organizer.identity.diff import Margin
from face_organizer.pipeline import reembed_fill
from face_organizer.pipeline.gallery import as_stored, face_record
from face_organizer.pipeline.pulse import Pulses
from face_organizer.pipeline.reembed import Reembed
from face_organizer.pipeline.reembed_fill import Fill, Target
from face_organizer.pipeline.reembed_switch import switch
from face_organizer.records import AssignmentRecord, FileRecord, ImageRecord, ModelRecord, PersonRecord
from face_organizer.types import NOBODY, FaceAttributes, Limits, Signature
from face_organizer.vision.decode import content_digest, decode

PEOPLE = (1, 2, 3)
EACH = 4
RULES = rules_of(Config(), pack_of(Config().faces))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    """Three persons with four pictures each, sorted."""
    opened = open_store(tmp_path / "truth", "first", D)
    with opened.write() as txn:
        for person in PEOPLE:
            txn.persons.put(txn.new_id("persons"), PersonRecord(f"p{person}", f"p{person}"))
            for number in range(EACH):
                path = paint(tmp_path / f"p{person}/{number}.png", [person], 10 * person + number)
                _enrol(txn, path, tmp_path, person)
    yield opened
    opened.close()


def _enrol(txn: Any, path: Path, library: Path, person: int) -> None:
    data = path.read_bytes()
    pixels = decode(data, pixels_max=1 << 30, side_max_px=4096).pixels
    (face,) = Painted()._faces(pixels).values()
    image_id, file_id, face_id = (txn.new_id(table) for table in ("images", "files", "faces"))
    place = str(path.relative_to(library)).encode()
    txn.files.put(file_id, FileRecord(image_id, path.name.encode(), b"/gone", Signature(1, 1, 1), (place,)))
    txn.images.put(image_id, ImageRecord(content_digest(data), 24, 24, (face_id,), (file_id,)))
    txn.faces.put(face_id, face_record(image_id, face))
    txn.put_face_vector(face_id, as_stored(face.embedding))
    txn.assignments.put(face_id, AssignmentRecord(person, 0.9, 0.5, "joined"))


class Bench:
    """Everything that reembed works with. refuses: so many writes find a full disk. follow: what is done about images
    whose content is another; meanwhile: what happens between reading and writing; before: and before a file is read."""

    def follow(self, image_ids: Sequence[int]) -> None:
        pass

    def meanwhile(self) -> None:
        pass

    def before(self, path: Path) -> None:
        pass

    def _read(self, library: Path, path: Path) -> bytes:
        self.before(path)
        return read_now(library, library / path, 1 << 30)

    def __init__(self, store: LmdbStore, library: Path) -> None:
        self.store, self.refuses = store, 0
        self.lines: list[Any] = []
        log = structlog.wrap_logger(structlog.PrintLogger(), processors=[self._line])
        self.target = Target("painted", "second", OTHER_D, RULES, lambda: [Painted("painted")])
        self.fill = Fill(
            store,
            self.in_gallery,
            partial(self._read, library),
            lambda image_ids: self.follow(image_ids),
            lambda: Limits(1 << 30, 1 << 30, 4096),
            log,
            Pulses(),
        )
        self.reembed = Reembed(
            store,
            self.fill,
            neighbours_of_all,
            self.in_gallery,
            lambda pack: self.target,
            "first",
            lambda: Margin(0.2, 200, 0.1),
            lambda target: [],
            log,
        )

    def _line(self, _: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
        self.lines.append(event["event"])
        raise structlog.DropEvent

    def told(self) -> dict[str, Any]:
        with self.store.read() as txn:
            found = self.reembed.told(txn)
        assert found is not None
        return found

    def store_model(self) -> ModelRecord:
        with self.store.read() as txn:
            model = txn.models.get(1)
        assert model is not None
        return model

    def in_gallery(self, work: Callable[[], Any]) -> Any:
        if self.refuses:
            self.refuses -= 1
            raise NoRoomError("the disk is full")
        self.meanwhile()
        return work()


@pytest.fixture
def bench(store: LmdbStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(reembed_fill, "AGAIN_S", 0.0)
    return Bench(store, tmp_path)


def test_a_full_disk_stops_it_where_it_is_and_it_goes_on(bench: Bench) -> None:
    bench.reembed.begin("painted")
    for _ in range(3):
        bench.refuses = 1
        assert bench.reembed._go_on(Event()) is False
        assert bench.told()["paused"] == "the disk is full"
    assert bench.lines.count("reembed_waits_for_room") == 1

    assert bench.reembed._go_on(Event()) is True

    with bench.store.read() as txn:
        assert txn.beside().face_ids().tolist() == txn.face_ids().tolist()
        model = txn.models.get(1)
    assert model is not None
    assert (model.state, model.images) == ("due", len(PEOPLE) * EACH)
    assert bench.reembed.due
    assert bench.told()["paused"] is None


def test_that_it_waits_for_room_is_said_no_longer_as_soon_as_it_goes_on(bench: Bench) -> None:
    bench.reembed.begin("painted")
    bench.refuses = 1
    bench.reembed._go_on(Event())
    told: list[Any] = []
    bench.meanwhile = lambda: told.append(bench.told()["paused"])  # type: ignore[method-assign]

    bench.reembed._go_on(Event())

    assert told[0] == "the disk is full"
    assert told[1:]
    assert set(told[1:]) == {None}


def test_what_only_the_other_pack_tells_of_a_face_is_known_after_the_switch(bench: Bench) -> None:
    class Telling(Painted):
        def __call__(self, *asked: Any) -> list[Any]:
            told = FaceAttributes("female", 30)
            seen = super().__call__(*asked)
            return [replace(each, faces=tuple(replace(face, attributes=told) for face in each.faces)) for each in seen]

    bench.target = replace(bench.target, open_eyes=lambda: [Telling("painted")])
    bench.reembed.begin("painted")
    bench.reembed._go_on(Event())

    switch(bench.store, 20)

    with bench.store.read() as txn:
        assert {record.attributes for _, record in txn.faces.items()} == {FaceAttributes("female", 30)}


def test_what_comes_after_the_comparison_is_read_and_joins_the_graph(bench: Bench, tmp_path: Path) -> None:
    bench.reembed.begin("painted", asks=True)
    bench.reembed._go_on(Event())
    assert bench.fill.left() == 0
    with bench.store.write() as txn:
        _enrol(txn, paint(tmp_path / "p1/late.png", [1], 99), tmp_path, 1)
        late = txn.last_id("faces")
    assert bench.fill.left() == 1

    bench.reembed._go_on(Event())
    switch(bench.store, 20)

    with bench.store.read() as txn:
        near = txn.neighbours_of([late], 3)
        assert {txn.assignments.get(int(face_id)).person_id for face_id in near.neighbours[0]} == {1}
        assert near.similarities[0, 0] == pytest.approx(
            float(txn.vectors([late])[0] @ txn.vectors([int(near.neighbours[0, 0])])[0]), abs=1e-3
        )


def test_a_face_that_was_not_seen_stands_where_its_person_stands_and_shapes_nobody(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "p2/0.png").unlink()
    with bench.store.write() as txn:
        nobodys = txn.assignments.get(12)
        txn.assignments.put(12, AssignmentRecord(int(NOBODY), 0.0, 0.0, "below_bound"))
        assert nobodys is not None
    (tmp_path / "p3/3.png").unlink()
    bench.reembed.begin("painted", asks=True)
    bench.reembed._go_on(Event())

    assert switch(bench.store, 20) == {"unseen": 2, "added": 0}

    with bench.store.read() as txn:
        stand_in, *others = txn.vectors([EACH + 1, EACH + 2, EACH + 3])
        assert min(float(stand_in @ other) for other in others) > 0.8
        assert txn.faces.get(EACH + 1).founder is False
        assert np.abs(txn.vectors_from()[1].astype(np.float32)[:-1] @ txn.vectors([12])[0]).max() < 0.6


EDITED = b"edited".ljust(16, b".")


def edit(store: LmdbStore, image_id: int, digest: bytes, *, times: int = 1) -> None:
    """What pipeline/edits.py makes of an image that was saved anew, so many times as large."""
    with store.write() as txn:
        image = txn.images.get(image_id)
        assert image is not None
        size = {"width_px": image.width_px * times, "height_px": image.height_px * times}
        former = tuple(dict.fromkeys((*image.former, image.digest)))
        txn.images.put(image_id, replace(image, digest=digest, former=former, **size))


@pytest.mark.parametrize("times", [1, 2])
def test_an_image_that_is_edited_while_it_is_on_its_way_is_kept_in_its_new_size(bench: Bench, times: int) -> None:
    bench.reembed.begin("painted", asks=True)

    def meanwhile() -> None:
        bench.meanwhile = lambda: None  # type: ignore[method-assign]
        edit(bench.store, 2, EDITED, times=times)

    bench.meanwhile = meanwhile  # type: ignore[method-assign]
    bench.reembed._go_on(Event())

    with bench.store.read() as txn:
        model, (face_id,) = txn.models.get(1), txn.images.get(2).face_ids
        assert txn.beside().face_ids().tolist() == txn.face_ids().tolist()
        face = txn.beside().faces.get(face_id)
    assert model is not None
    assert model.found["unread_images"] == 0
    assert face is not None
    assert face.box == (0.0, 0.0, 1.0 * times, 1.0 * times)


@pytest.mark.parametrize("when", [1, 2])
def test_an_edit_that_nobody_has_noticed_yet_is_followed_and_read(bench: Bench, tmp_path: Path, when: int) -> None:
    """Before the image was to be read, or when it was."""
    path = tmp_path / "p1/1.png"
    path.write_bytes(path.read_bytes() + b"saved anew")
    asked: list[Sequence[int]] = []

    def follow(image_ids: Sequence[int]) -> None:
        asked.append(image_ids)
        if len(asked) == when:
            edit(bench.store, 2, content_digest(path.read_bytes()))

    bench.follow = follow  # type: ignore[method-assign]
    bench.reembed.begin("painted")
    bench.reembed._go_on(Event())

    assert asked[1:] == [[2]] * (when - 1)
    assert bench.reembed.due
    assert "image_not_reembedded" not in bench.lines


def moved(store: LmdbStore, library: Path, image_id: int, to: str) -> Callable[[], None]:
    """Move an image's file, as the placer does; the truth hears of it when what is returned is called."""
    with store.read() as txn:
        (file_id,) = txn.images.get(image_id).file_ids
        (place,) = txn.files.get(file_id).places
    (library / to).parent.mkdir(exist_ok=True)
    (library / place.decode()).rename(library / to)

    def tell() -> None:
        with store.write() as txn:
            txn.files.put(file_id, replace(txn.files.get(file_id), places=(to.encode(),)))

    return tell


def test_an_image_that_is_moved_while_it_is_on_its_way_is_read_where_it_lies_now(bench: Bench, tmp_path: Path) -> None:
    def before(path: Path) -> None:
        bench.before = lambda path: None  # type: ignore[method-assign]
        moved(bench.store, tmp_path, 2, "Ada/1.png")()

    bench.before = before  # type: ignore[method-assign]
    bench.reembed.begin("painted")
    bench.reembed._go_on(Event())

    assert bench.reembed.due
    assert "image_not_reembedded" not in bench.lines


def test_of_images_whose_move_the_truth_hears_of_later_nothing_is_told_before_they_are_tried_again(
    bench: Bench, tmp_path: Path
) -> None:
    tell = [moved(bench.store, tmp_path, image_id, f"Ada/{image_id}.png") for image_id in (1, 2, 12)]
    reads: list[Path] = []

    def before(path: Path) -> None:
        reads.append(path)
        if reads.count(path) > 4 and tell:  # at once and once more, from its place and its source
            tell.pop()()

    bench.before = before  # type: ignore[method-assign]
    bench.reembed.begin("painted")
    bench.reembed._go_on(Event())

    assert tell == []
    assert bench.reembed.due
    assert "image_not_reembedded" not in bench.lines


def test_an_image_that_is_gone_is_told_once(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "p2/0.png").unlink()
    bench.reembed.begin("painted")

    bench.reembed._go_on(Event())

    assert bench.lines.count("image_not_reembedded") == 1
    assert bench.store_model().waits.startswith("1 images that show a face cannot be read now")


def test_a_pack_that_changed_since_it_was_begun_with_is_not_mixed_in(bench: Bench) -> None:
    bench.reembed.begin("painted", asks=True)
    bench.target = Target("painted", "third", OTHER_D, RULES, bench.target.open_eyes)

    assert bench.reembed._go_on(Event()) is True
    assert "begin again" in bench.reembed.problem
    with pytest.raises(RequestError, match="--discard"):
        bench.reembed.begin("painted")


def test_discarded_while_it_reads_nothing_more_is_written(bench: Bench) -> None:
    bench.reembed.begin("painted")
    bench.reembed.discard()

    bench.fill.run(bench.target, bench.target.open_eyes(), anew=True)

    with bench.store.read() as txn:
        assert len(txn.beside().face_ids()) == 0


def test_a_stop_is_noticed_between_two_images(bench: Bench) -> None:
    bench.reembed.begin("painted")
    stop = Event()
    stop.set()

    assert bench.fill.run(bench.target, bench.target.open_eyes(), stop, anew=True) is False
