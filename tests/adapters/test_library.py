"""The library's folders on a real file system: truth appears, nothing is overwritten, no crash loses a file."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from face_organizer.adapters import actual, files, placing
from face_organizer.adapters.files import Spot, digest_of, numbered
from face_organizer.adapters.library import Folders
from face_organizer.types import QUARANTINE, FileId, FileToPlace, PlacementMode, Signature
from face_organizer.vision.decode import content_digest

MODES: tuple[PlacementMode, ...] = ("move", "hardlink", "symlink", "copy")
PHOTO, OTHER = b"a photo of A", b"another one.."
MTIME_NS = 1_500_000_000_123_456_789
A, B, C = "person_A", "person_B", "person_C"


class Killed(BaseException):
    """Stands for kill -9: nobody may catch it."""


class Box:
    """An inbox and a library in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.library = folder / "inbox", folder / "library"
        self.inbox.mkdir()
        self.library.mkdir()

    def drop(self, name: str = "a.jpg", content: bytes = PHOTO, mtime_ns: int = MTIME_NS) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def put(self, place: str, content: bytes) -> Path:
        path = self.library / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def tree(self) -> dict[str, bytes]:
        """{relative path: content} of everything but folders; symlinks as the text of their target."""
        return {
            str(path.relative_to(self.library.parent)): os.fsencode(path.readlink())
            if path.is_symlink()
            else path.read_bytes()
            for path in sorted(self.library.parent.rglob("*"))
            if path.is_symlink() or not path.is_dir()
        }

    def folders(self) -> set[str]:
        return {path.name for path in self.library.iterdir()}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def wanted(source: Path, *folders: str, read: bool = True, reason: str = "") -> FileToPlace:
    found = source.lstat()
    signature = Signature(found.st_size, found.st_mtime_ns, found.st_ino)
    digest = content_digest(source.read_bytes()) if read else b""
    return FileToPlace(FileId(7), source.name, source, signature, digest, (), folders, reason)


def folders_of(box: Box, mode: PlacementMode = "move") -> Folders:
    return Folders(box.library, box.inbox, mode)


def place(box: Box, file: FileToPlace, mode: PlacementMode = "move") -> FileToPlace:
    """Reconcile, record the outcome as truth would, and prove that a second time changes nothing."""
    placed = folders_of(box, mode).reconcile(file)
    assert (placed.problem, placed.missing) == ("", False)
    assert len(placed.places) == len(set(file.folders))
    file, before = replace(file, places=placed.places), box.tree()
    assert folders_of(box, mode).reconcile(file) == placed
    assert box.tree() == before
    return file


# first placement


def test_move_empties_the_inbox(box: Box) -> None:
    source = box.drop()

    file = place(box, wanted(source, A))

    assert file.places == ("person_A/a.jpg",)
    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_an_image_of_several_people_is_one_file_in_several_folders(box: Box) -> None:
    source = box.drop()
    inode = source.stat().st_ino

    file = place(box, wanted(source, A, B, A, C))

    assert file.places == ("person_A/a.jpg", "person_B/a.jpg", "person_C/a.jpg")
    assert {(box.library / at).stat().st_ino for at in file.places} == {inode}
    assert not source.exists()


@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy"])
def test_the_other_modes_leave_the_source(box: Box, mode: PlacementMode) -> None:
    source = box.drop()

    file = place(box, wanted(source, A, B), mode)

    assert source.read_bytes() == PHOTO
    for at in file.places:
        shown = box.library / at
        assert shown.read_bytes() == PHOTO
        assert shown.is_symlink() == (mode == "symlink")
        assert (shown.lstat().st_ino == source.stat().st_ino) == (mode == "hardlink")
        assert shown.stat().st_mtime_ns == MTIME_NS
        if mode == "symlink":
            assert shown.readlink() == source


@pytest.mark.parametrize("mode", MODES)
def test_the_same_name_with_other_content_gets_a_number_and_nothing_is_overwritten(
    box: Box, mode: PlacementMode
) -> None:
    box.put("person_A/a.jpg", OTHER)
    box.put("person_A/a~2.jpg", PHOTO + b" and more")
    (box.library / A / "a~3.jpg").mkdir()

    file = place(box, wanted(box.drop(), A), mode)

    assert file.places == ("person_A/a~4.jpg",)
    assert (box.library / "person_A/a.jpg").read_bytes() == OTHER
    assert (box.library / file.places[0]).read_bytes() == PHOTO


def test_the_same_name_and_content_is_the_file_already(box: Box) -> None:
    box.put("person_A/a.jpg", PHOTO)

    file = place(box, wanted(box.drop(), A))

    assert file.places == ("person_A/a.jpg",)
    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_contents_are_read_only_where_names_collide(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wanted(box.drop(), A, B)
    other = wanted(box.drop("b.jpg", OTHER), A)
    reads: list[Path] = []
    monkeypatch.setattr(actual, "digest_of", lambda spot: (reads.append(spot.path), digest_of(spot))[1])
    for module in (actual, placing):
        monkeypatch.setattr(module, "same_content", lambda *spots: reads.extend(spot.path for spot in spots))

    file = place(box, file)
    place(box, replace(file, folders=(C,)))
    assert not reads

    place(box, replace(other, name="a.jpg", folders=(C,)))
    assert not reads, "another size is another content"
    place(box, replace(wanted(box.drop("c.jpg", PHOTO[::-1]), C), name="a.jpg"))
    assert set(reads) == {box.library / C / "a.jpg"}


NAMES = [b"caf\xe9.jpg", b"new\nline.jpg", b"-rf.jpg", "😀.jpg".encode(), b"x" * 251 + b".jpg", "é".encode() * 127]
NAMES += [b"x." + b"y" * 253, b"no suffix", b"a b\t.JPG", b"%s{0}.png", b"a.b.c"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", MODES)
def test_any_name_can_be_placed_also_beside_another_of_the_same(box: Box, mode: PlacementMode, name: bytes) -> None:
    text = os.fsdecode(name)
    first = place(box, wanted(box.drop(f"1/{text}"), A), mode)
    second = place(box, wanted(box.drop(f"2/{text}", OTHER), A), mode)

    assert first.places == (f"person_A/{text}",)
    assert (box.library / second.places[0]).read_bytes() == OTHER
    assert "~2" in second.places[0]
    assert len(os.fsencode(second.places[0])) <= len("person_A/") + 255


def test_names_that_differ_in_case_only_are_two_names(box: Box) -> None:
    assert place(box, wanted(box.drop("a.jpg"), A)).places == ("person_A/a.jpg",)
    assert place(box, wanted(box.drop("A.JPG", OTHER), A)).places == ("person_A/A.JPG",)


def test_numbered_names_keep_their_suffix_and_never_exceed_255_bytes() -> None:
    assert numbered("a.jpg", 1) == "a.jpg"
    assert numbered("a.jpg", 12) == "a~12.jpg"
    assert numbered("a.jpg", 2, ".reason.txt") == "a.jpg~2.reason.txt"
    assert numbered("x" * 251 + ".jpg", 1) == "x" * 251 + ".jpg"
    assert numbered("x" * 251 + ".jpg", 2) == "x" * 249 + "~2.jpg"
    assert numbered("é" * 125 + ".jpeg", 2) == "é" * 124 + "~2.jpeg"
    assert len(os.fsencode(numbered("a." + "y" * 253, 2))) == 255


# later placements


@pytest.mark.parametrize("mode", MODES)
def test_a_reclustered_file_moves_and_an_emptied_person_folder_goes(box: Box, mode: PlacementMode) -> None:
    source = box.drop()
    file = place(box, wanted(source, A, B), mode)

    file = place(box, replace(file, folders=(B, C)), mode)

    assert file.places == ("person_B/a.jpg", "person_C/a.jpg")
    assert box.folders() == {B, C}
    assert source.exists() == (mode != "move")
    assert (box.library / "person_C/a.jpg").is_symlink() == (mode == "symlink")
    if mode == "copy":
        assert (box.library / "person_C/a.jpg").stat().st_ino != source.stat().st_ino


@pytest.mark.parametrize("mode", ["hardlink", "copy"])
def test_a_place_is_the_origin_when_the_source_is_gone(box: Box, mode: PlacementMode) -> None:
    source = box.drop()
    file = place(box, wanted(source, A), mode)
    source.unlink()

    file = place(box, replace(file, folders=(B, C)), mode)

    assert box.tree() == {"library/person_B/a.jpg": PHOTO, "library/person_C/a.jpg": PHOTO}


def test_reserved_folders_and_folders_with_other_files_stay(box: Box) -> None:
    file = place(box, wanted(box.drop(), "outliers"))
    file = place(box, replace(file, folders=(A,)))
    box.put("person_A/mine.txt", b"x")

    place(box, replace(file, folders=(B,)))

    assert box.folders() == {"outliers", A, B}


def test_a_file_the_user_replaced_is_left_alone(box: Box) -> None:
    source = box.drop()
    file = place(box, wanted(source, A, B))
    (box.library / "person_A/a.jpg").unlink()
    box.put("person_A/a.jpg", OTHER)

    file = place(box, replace(file, folders=(C,)))

    assert box.tree() == {"library/person_A/a.jpg": OTHER, "library/person_C/a.jpg": PHOTO}


def test_a_place_the_user_removed_is_shown_again_from_another(box: Box) -> None:
    file = place(box, wanted(box.drop(), A, B))
    (box.library / "person_A/a.jpg").unlink()

    place(box, file)

    assert box.tree() == {"library/person_A/a.jpg": PHOTO, "library/person_B/a.jpg": PHOTO}


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_is_nowhere_any_more_is_missing_and_no_problem(box: Box, mode: PlacementMode) -> None:
    source = box.drop()
    file = place(box, wanted(source, A), mode)
    source.unlink(missing_ok=True)
    if mode != "symlink":
        (box.library / "person_A/a.jpg").unlink()

    placed = folders_of(box, mode).reconcile(replace(file, folders=(B,)))

    assert placed.missing
    assert not placed.problem
    assert B not in box.folders()


@pytest.mark.parametrize("mode", MODES)
def test_a_source_replaced_by_another_file_is_not_placed_as_the_first(box: Box, mode: PlacementMode) -> None:
    file = wanted(box.drop(), A)
    (box.inbox / "a.jpg").unlink()
    box.drop("a.jpg", OTHER)

    placed = folders_of(box, mode).reconcile(file)

    assert placed.missing
    assert box.tree() == {"inbox/a.jpg": OTHER}


def test_with_an_empty_folder_in_the_place_of_the_inbox_a_file_is_a_problem_not_missing(box: Box) -> None:
    file = wanted(box.drop(), A)
    (box.inbox / "a.jpg").rename(box.inbox.parent / "kept")
    away = True
    folders = Folders(box.library, box.inbox, "move", lambda: away)

    placed = folders.reconcile(file)
    assert not placed.missing
    assert "the inbox" in placed.problem and "is away" in placed.problem

    (box.inbox.parent / "kept").rename(box.inbox / "a.jpg")
    away = False
    assert folders.reconcile(file).places == (f"{A}/a.jpg",)


def test_with_the_inbox_or_the_library_away_a_file_is_a_problem_not_missing(box: Box) -> None:
    file = wanted(box.drop(), A)
    (box.inbox / "a.jpg").unlink()
    box.inbox.rmdir()
    assert "inbox" in folders_of(box).reconcile(file).problem

    box.library.rmdir()
    placed = folders_of(box).reconcile(file)
    assert "library" in placed.problem
    assert not placed.missing
    assert not box.library.exists()


def test_after_a_change_from_symlink_to_move_the_content_comes_before_the_source_goes(box: Box) -> None:
    source = box.drop()
    file = place(box, wanted(source, A), "symlink")

    file = place(box, file, "move")

    assert not source.exists()
    assert [path.read_bytes() for path in box.library.rglob("*.jpg")] == [PHOTO]
    assert not any(path.is_symlink() for path in box.library.rglob("*"))


def test_after_a_change_from_move_to_symlink_a_file_still_moves(box: Box) -> None:
    file = place(box, wanted(box.drop(), A), "move")

    place(box, replace(file, folders=(B,)), "symlink")

    assert box.tree() == {"library/person_B/a.jpg": PHOTO}
    assert not (box.library / "person_B/a.jpg").is_symlink()


# staying inside


def test_a_person_folder_that_is_a_link_or_a_file_is_refused(box: Box, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (box.library / A).symlink_to(tmp_path / "elsewhere")
    (box.library / B).write_bytes(b"")
    source = box.drop()

    linked, blocked = (folders_of(box).reconcile(wanted(source, folder)) for folder in (A, B))

    assert "symbolic link" in linked.problem
    assert "not a folder" in blocked.problem
    assert source.exists()
    assert not any((tmp_path / "elsewhere").iterdir())


def test_nothing_is_removed_through_a_folder_that_became_a_link(box: Box, tmp_path: Path) -> None:
    file = place(box, wanted(box.drop(), A, B))
    (box.library / A).rename(tmp_path / "elsewhere")
    (box.library / A).symlink_to(tmp_path / "elsewhere")

    place(box, replace(file, folders=(B,)))

    assert (tmp_path / "elsewhere" / "a.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize("part", ["..", ".", "", "a/b", "/etc", ".face-organizer", "a\0b"])
def test_a_name_or_folder_that_is_a_path_is_a_bug(box: Box, part: str) -> None:
    file = wanted(box.drop(), A)

    with pytest.raises(AssertionError):
        folders_of(box).reconcile(replace(file, folders=(part,)))
    with pytest.raises(AssertionError):
        folders_of(box).reconcile(replace(file, name=part))
    with pytest.raises(AssertionError):
        folders_of(box).reconcile(replace(file, places=(f"{part}/x.jpg",)))


# quarantine


def test_a_quarantined_file_has_its_reason_beside_it(box: Box) -> None:
    source = box.drop(content=b"\xff\xd8 half")
    file = wanted(source, QUARANTINE, read=False, reason="truncated JPEG after 7 bytes")

    file = place(box, file)

    assert box.tree() == {
        "library/quarantine/a.jpg": b"\xff\xd8 half",
        "library/quarantine/a.jpg.reason.txt": f"truncated JPEG after 7 bytes\noriginal path: {source}\n".encode(),
    }


def test_a_new_reason_replaces_ours_and_never_somebody_elses(box: Box) -> None:
    box.put("quarantine/a.jpg.reason.txt", b"a text file that somebody dropped")
    file = place(box, wanted(box.drop(), QUARANTINE, read=False, reason="first"))

    file = place(box, replace(file, reason="second"))

    assert (box.library / "quarantine/a.jpg.reason.txt").read_bytes() == b"a text file that somebody dropped"
    assert (box.library / "quarantine/a.jpg~2.reason.txt").read_text().startswith("second\n")
    assert len(box.tree()) == 3


def test_a_file_that_leaves_quarantine_takes_its_reason_away(box: Box) -> None:
    box.put("quarantine/a.jpg.reason.txt", b"a text file that somebody dropped")
    file = place(box, wanted(box.drop(), QUARANTINE, reason="no face pack"))

    place(box, replace(file, folders=(A,), reason=""))

    assert box.tree() == {
        "library/person_A/a.jpg": PHOTO,
        "library/quarantine/a.jpg.reason.txt": b"a text file that somebody dropped",
    }


def strange_things(inbox: Path) -> Iterator[Path]:
    os.mkfifo(inbox / "fifo.jpg")
    yield inbox / "fifo.jpg"
    (inbox / "link.jpg").symlink_to("/etc/passwd")
    yield inbox / "link.jpg"
    (inbox / "dangling.jpg").symlink_to("nowhere")
    yield inbox / "dangling.jpg"
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(inbox)  # a socket's path is short
        listening.bind("socket.jpg")
    yield inbox / "socket.jpg"
    (inbox / "closed.jpg").write_bytes(b"x")
    (inbox / "closed.jpg").chmod(0)
    yield inbox / "closed.jpg"


@pytest.mark.parametrize("link_refused", [False, True])
def test_strange_things_go_to_quarantine_unopened(
    box: Box, monkeypatch: pytest.MonkeyPatch, link_refused: bool
) -> None:
    monkeypatch.chdir(box.inbox)
    if link_refused:
        monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    for source in strange_things(box.inbox):
        before = source.lstat()

        placed = folders_of(box).reconcile(wanted(source, QUARANTINE, read=False, reason="strange"))

        assert (placed.problem, placed.places) == ("", (f"quarantine/{source.name}",))
        after = (box.library / placed.places[0]).lstat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
        assert (box.library / QUARANTINE / f"{source.name}.reason.txt").read_text().startswith("strange\n")
    assert not list(box.inbox.iterdir())


def test_what_is_no_file_stays_where_it_is_if_that_is_another_file_system(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(box.inbox / "fifo.jpg")
    two_file_systems(box, monkeypatch)

    placed = folders_of(box).reconcile(wanted(box.inbox / "fifo.jpg", QUARANTINE, read=False, reason="strange"))

    assert "no regular file" in placed.problem
    assert placed.places == ()
    assert (box.inbox / "fifo.jpg").is_fifo()


# other file systems


def refusing(code: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def two_file_systems(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play that the inbox and the library lie on two file systems: neither link nor rename between them."""
    link, rename = files.link, files.rename_new

    def guard(source: Spot, target: Spot) -> None:
        if box.inbox in source.path.parents and box.library in target.path.parents:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def guarded_link(source: Spot, target: Spot) -> None:
        guard(source, target)
        link(source, target)

    def guarded_rename(source: Spot, target: Spot) -> None:
        guard(source, target)
        rename(source, target)

    monkeypatch.setattr(placing, "link", guarded_link)
    for module in (files, placing):
        monkeypatch.setattr(module, "rename_new", guarded_rename)


@pytest.mark.parametrize("read", [True, False])
def test_to_another_file_system_a_file_is_copied_with_its_times_and_then_removed(
    box: Box, monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    two_file_systems(box, monkeypatch)
    source = box.drop()
    source.chmod(0o640)

    file = place(box, wanted(source, A, B, read=read))

    assert box.tree() == {"library/person_A/a.jpg": PHOTO, "library/person_B/a.jpg": PHOTO}
    found = (box.library / file.places[0]).stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (MTIME_NS, 0o640)


def test_a_copy_is_flushed_before_its_source_goes(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    two_file_systems(box, monkeypatch)
    file, steps = wanted(box.drop(), A), []

    def told(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *paths, **options: (steps.append(name), call(*paths, **options))[1]

    for name in ("fsync", "unlink"):
        monkeypatch.setattr(os, name, told(name, getattr(os, name)))
    monkeypatch.setattr(files, "rename_new", told("rename", files.rename_new))

    place(box, file)

    assert steps[steps.index("rename") - 1 :] == ["fsync", "rename", "fsync", "unlink"]


def test_where_links_are_refused_a_move_is_a_rename_and_further_folders_get_copies(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    source = box.drop()
    inode = source.stat().st_ino

    file = place(box, wanted(source, A, B))

    assert box.tree() == {"library/person_A/a.jpg": PHOTO, "library/person_B/a.jpg": PHOTO}
    assert (box.library / "person_B/a.jpg").stat().st_ino == inode
    place(box, replace(file, folders=(C,)))
    assert box.tree() == {"library/person_C/a.jpg": PHOTO}


def test_without_renameat2_nothing_is_overwritten_either(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    monkeypatch.setattr(files, "_renameat2", lambda: None)
    box.put("person_A/a.jpg", OTHER)

    assert place(box, wanted(box.drop(), A)).places == ("person_A/a~2.jpg",)
    folder = os.open(box.library / A, os.O_RDONLY)
    with pytest.raises(FileExistsError):
        files.rename_new(Spot(folder, box.library / A / "a~2.jpg"), Spot(folder, box.library / A / "a.jpg"))
    os.close(folder)


def test_a_name_taken_at_the_last_moment_is_not_overwritten(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    link = files.link

    def late(source: Spot, target: Spot) -> None:
        if target.name == "a.jpg":
            target.path.write_bytes(OTHER)
        link(source, target)

    monkeypatch.setattr(placing, "link", late)

    assert folders_of(box).reconcile(wanted(box.drop(), A)).places == ("person_A/a~2.jpg",)
    assert box.tree() == {"library/person_A/a.jpg": OTHER, "library/person_A/a~2.jpg": PHOTO}


# problems


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_problem_of_the_disk_is_told_and_the_next_time_succeeds(
    box: Box, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    source = box.drop()
    file = wanted(source, A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refusing(code))
        placed = folders_of(box).reconcile(file)
    assert placed.problem == f"cannot place a.jpg: {os.strerror(code)}"
    assert source.read_bytes() == PHOTO

    place(box, file)

    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_a_disk_that_fills_up_during_a_copy_leaves_no_trace(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    two_file_systems(box, monkeypatch)
    file = wanted(box.drop(), A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(errno.ENOSPC))
        (box.library / A).mkdir()
        placed = folders_of(box).reconcile(file)

    assert "No space left" in placed.problem
    assert box.tree() == {"inbox/a.jpg": PHOTO}


def test_where_a_file_system_has_no_permissions_or_times_a_copy_does_without(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_file_systems(box, monkeypatch)
    file = wanted(box.drop(), A)
    monkeypatch.setattr(os, "fchmod", refusing(errno.EPERM))
    monkeypatch.setattr(os, "utime", refusing(errno.ENOTSUP))

    placed = folders_of(box).reconcile(file)

    assert placed.problem == ""
    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_a_source_that_cannot_be_removed_is_placed_and_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    file = wanted(box.drop(), A)
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refusing(errno.EACCES))
        placed = folders_of(box).reconcile(file)
    assert placed.problem
    assert placed.places == ("person_A/a.jpg",)

    place(box, replace(file, places=placed.places))
    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_a_source_that_changes_during_the_copy_is_not_taken_for_placed(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_file_systems(box, monkeypatch)
    file = wanted(box.drop(), A)
    box.drop("a.jpg", PHOTO[::-1])  # same size, same time

    placed = folders_of(box).reconcile(file)

    assert "changed" in placed.problem
    assert box.tree() == {"inbox/a.jpg": PHOTO[::-1]}


def test_a_recorded_place_of_equal_size_and_time_but_other_content_never_costs_the_source(box: Box) -> None:
    source = box.drop()
    imposter = box.put("person_A/a.jpg", PHOTO[::-1])
    os.utime(imposter, ns=(MTIME_NS, MTIME_NS))

    placed = folders_of(box).reconcile(replace(wanted(source, A), places=("person_A/a.jpg",)))

    assert "stays" in placed.problem
    assert source.read_bytes() == PHOTO


# crashes


def killing_at(step: int, patch: pytest.MonkeyPatch) -> list[str]:
    """From the step-th call on that changes the disk, every such call is death. Returns the calls that were made."""
    calls: list[str] = []

    def mortal(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step_or_die(*args: Any, **options: Any) -> Any:
            if len(calls) == step:
                raise Killed(name)
            calls.append(name)
            return call(*args, **options)

        return step_or_die

    for name in ("link", "symlink", "unlink", "mkdir", "rmdir", "fsync", "open", "utime", "fchmod", "rename"):
        patch.setattr(os, name, mortal(name, getattr(os, name)))
    for module in (files, placing):
        patch.setattr(module, "rename_new", mortal("rename_new", module.rename_new))
    return calls


WORLDS = {
    "one file system": lambda box, patch: None,
    "two file systems": two_file_systems,
    "links refused": lambda box, patch: patch.setattr(os, "link", refusing(errno.EPERM)),
}
MOVES: dict[str, tuple[tuple[str, ...], ...]] = {
    "first placement": ((A,),),
    "two people": ((A, B),),
    "re-clustered": ((A, B), (B, C)),
    "split": ((A,), (B, C)),
    "quarantined": ((QUARANTINE,),),
    "out of quarantine": ((QUARANTINE,), (A,)),
}


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world", WORLDS)
def test_a_crash_between_any_two_steps_is_healed_by_doing_it_again(
    tmp_path: Path, world: str, mode: PlacementMode, moves: tuple[tuple[str, ...], ...]
) -> None:
    for step in range(100):
        (tmp_path / f"{step}").mkdir()
        box = Box(tmp_path / f"{step}")
        box.put("person_B/a.jpg", OTHER)  # somebody else's
        with pytest.MonkeyPatch.context() as patch:
            WORLDS[world](box, patch)
            survived = crash_and_heal(box, mode, moves, step)
        if survived:
            assert step > len(moves)
            return
    pytest.fail("it never ended")


def crash_and_heal(box: Box, mode: PlacementMode, moves: tuple[tuple[str, ...], ...], step: int) -> bool:
    """Bring the file up to its last move, die in that at a step, do it again; returns whether it did not die."""
    source = box.drop()
    file = wanted(source, *moves[0], read=moves != ((QUARANTINE,),), reason="why")
    for folders in moves[:-1]:
        file = place(box, replace(file, folders=folders), mode)
    file, survived = replace(file, folders=moves[-1]), True
    with pytest.MonkeyPatch.context() as patch:
        killing_at(step, patch)
        try:
            folders_of(box, mode).reconcile(file)
        except Killed:
            survived = False
    contents = [box.library.parent / path for path in box.tree()]
    assert any(path.exists() and path.read_bytes() == PHOTO for path in contents), "the only copy was lost"

    place(box, file, mode)

    expected = {"library/person_B/a.jpg": OTHER}
    if mode != "move":
        expected["inbox/a.jpg"] = PHOTO
    for folder in moves[-1]:
        name = "a~2.jpg" if folder == B else "a.jpg"
        expected[f"library/{folder}/{name}"] = os.fsencode(source) if mode == "symlink" else PHOTO
        if folder == QUARANTINE:
            expected["library/quarantine/a.jpg.reason.txt"] = os.fsencode(f"why\noriginal path: {source}\n")
    assert box.tree() == expected
    assert box.folders() - {QUARANTINE, B} == set(moves[-1]) - {QUARANTINE, B}
    return survived


def test_a_half_written_copy_of_a_killed_process_is_written_anew(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    two_file_systems(box, monkeypatch)
    box.put("person_A/.face-organizer-7.part", b"half")

    place(box, wanted(box.drop(), A))

    assert box.tree() == {"library/person_A/a.jpg": PHOTO}


def test_a_folder_holds_its_own_name_whatever_is_in_it(tmp_path: Path) -> None:
    library = tmp_path / "library"
    (library / "person_0001").mkdir(parents=True)
    (library / "person_0002").symlink_to(tmp_path)
    folders = Folders(library, tmp_path / "inbox", "move")

    assert folders.holds("person_0001")
    assert folders.holds("person_0002")
    assert not folders.holds("person_0003")
    assert not folders.holds("person_0001/image.jpg")
