"""The table of images at work, in a real file: who is suspected when it is opened again, and who is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from face_organizer.adapters.at_work import AtWork, WaryReader
from face_organizer.errors import UnreadableError
from face_organizer.types import ImageRef, Signature


def ref(number: int, size_bytes: int = 5) -> ImageRef:
    return ImageRef(Path(f"/inbox/{number}.jpg"), Signature(size_bytes, 7, number))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "at_work"


def die(file: Path, *at_work: int) -> AtWork:
    """A process in which these images are at work when it ends; returns what the next one finds."""
    before = AtWork(file)
    for number in at_work:
        before.begin(ref(number))
    before.close(as_it_should=False)
    return AtWork(file)


def test_what_was_at_work_when_the_process_died_is_suspected_and_nothing_else(file: Path) -> None:
    before = AtWork(file)
    for number in range(9):
        before.begin(ref(number))
    before.end(map(ref, (0, 1, 5, 8)))
    before.begin(ref(9))
    before.close(as_it_should=False)
    found = AtWork(file)

    assert found.suspects() == 6
    assert [n for n in range(12) if found.is_suspect(ref(n))] == [2, 3, 4, 6, 7, 9]
    found.end(map(ref, range(10)))
    assert not found.suspects()
    assert not AtWork(file).suspects()


def test_an_image_that_was_alone_at_work_is_told_from_those_that_had_company(file: Path) -> None:
    for _ in range(3):
        assert not any(die(file, 1, 2).was_alone(ref(n)) for n in (1, 2))
    found = die(file, 1)

    assert found.was_alone(ref(1)) and found.is_suspect(ref(1))
    assert found.is_suspect(ref(2)) and not found.was_alone(ref(2))
    assert not found.was_alone(ref(1, size_bytes=6)), "it has changed since"
    found.end([ref(1)])
    assert not AtWork(file).was_alone(ref(1)), "it was seen"


def test_what_is_given_up_remains_so_and_a_process_that_ends_as_it_should_suspects_nobody_else(file: Path) -> None:
    found = die(file, 1)
    found.give_up(ref(1), "for this reason")
    assert found.why_given_up(ref(1)) == "for this reason" and not found.is_suspect(ref(1))

    found.begin(ref(2))
    found.end([ref(1)])
    found.close(as_it_should=True)
    found = AtWork(file)
    assert found.suspects() == 0 and not found.is_suspect(ref(2))
    assert found.why_given_up(ref(1)) and not found.why_given_up(ref(1, size_bytes=6))


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 1000, bytes(range(256)) * 9])
def test_a_file_with_anything_in_it_stops_nobody(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert not AtWork(file).why_given_up(ref(1))
    assert die(file, 1).is_suspect(ref(1))


def test_where_the_file_cannot_be_written_nobody_is_suspected(tmp_path: Path) -> None:
    assert not die(tmp_path / "nowhere" / "at_work", 1).suspects()
    assert not die(tmp_path, 1).suspects()


def test_what_is_given_up_is_not_read_and_the_refusal_says_why_and_what_to_do(file: Path) -> None:
    class Read:
        def read(self, ref: ImageRef) -> bytes:
            return b"content"

    found = AtWork(file)
    found.give_up(ref(1), "it brings the program down")
    reader = WaryReader(Read(), found)

    assert reader.read(ref(2)) == b"content"
    with pytest.raises(UnreadableError, match=r"it brings the program down; to have it tried again.*touch"):
        reader.read(ref(1))
    found.close(as_it_should=False)
    assert AtWork(file).is_suspect(ref(2))


def test_the_file_tells_no_names(file: Path) -> None:
    die(file, 1)

    assert b"inbox" not in file.read_bytes() and b".jpg" not in file.read_bytes()
