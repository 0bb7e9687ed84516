"""The bytes of one file below a folder that anybody may write to: what is read, and what is refused."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from face_organizer.adapters.reading import read_settled
from face_organizer.errors import DeniedError, GoneError, UnreadableError
from face_organizer.types import ImageRef, Signature

SIZE_MAX_BYTES = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def ref(path: Path) -> ImageRef:
    found = path.lstat()
    return ImageRef(path, Signature(found.st_size, found.st_mtime_ns, found.st_ino))


def read(root: Path, ref: ImageRef) -> bytes:
    return read_settled(root, ref, SIZE_MAX_BYTES)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize(
    "name", [b"caf\xe9.jpg", b"new\nline.jpg", b"-rf.jpg", "😀.jpg".encode(), b"x" * 251 + b".jpg"]
)
def test_a_file_of_any_name_is_read(root: Path, name: bytes) -> None:
    path = root / os.fsdecode(name)
    path.write_bytes(b"content")

    assert read(root, ref(path)) == b"content"


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    (root / "a.jpg").write_bytes(b"x")

    assert read(tmp_path / "link", ref(tmp_path / "link" / "a.jpg")) == b"x"


def test_a_symbolic_link_is_refused_and_its_target_named(root: Path) -> None:
    (root / "a.jpg").symlink_to("/etc/passwd")
    (root / "b.jpg").symlink_to("nowhere")

    with pytest.raises(UnreadableError, match="symbolic link to /etc/passwd"):
        read(root, ref(root / "a.jpg"))
    with pytest.raises(UnreadableError, match="symbolic link to nowhere"):
        read(root, ref(root / "b.jpg"))


def test_a_link_above_the_file_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere" / "sub" / "a.jpg").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnreadableError, match=r"its folder .*/link is a symbolic link"):
        read(root, ref(root / "link" / "sub" / "a.jpg"))


def test_a_fifo_a_socket_and_a_folder_are_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "fifo.jpg")
    (root / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "s.jpg"))

    for name, kind in (("fifo.jpg", "a FIFO"), ("folder.jpg", "a folder"), ("s.jpg", "a socket")):
        with pytest.raises(UnreadableError, match=kind):
            read(root, ref(root / name))


def test_a_device_is_refused_without_being_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        os.mknod(root / "null.jpg", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("making a device node needs root")
    opened: list[object] = []
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: (opened.append(path), real_open(path, *a, **k))[1])

    with pytest.raises(UnreadableError, match="a character device"):
        read(root, ref(root / "null.jpg"))
    assert opened == [root]


def test_a_file_exchanged_for_a_link_after_the_look_is_still_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (root / "a.jpg", tmp_path / "secret"):
        path.write_bytes(b"mine")
        os.utime(path, ns=(1, 1))
    reference, real_open = ref(root / "a.jpg"), os.open

    def exchanging(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if path == "a.jpg":
            (root / "a.jpg").unlink()
            (root / "a.jpg").symlink_to(tmp_path / "secret")
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", exchanging)

    with pytest.raises(UnreadableError, match="symbolic link"):
        read(root, reference)


def test_permission_denied_names_mode_and_owner(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.jpg").write_bytes(b"x")
    (root / "a.jpg").chmod(0)
    real_open = os.open

    def refusing(path: Any, *args: Any, **options: Any) -> int:
        if path == "a.jpg":  # root may read everything, so the refusal is played
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_open(path, *args, **options)

    monkeypatch.setattr(os, "open", refusing)

    with pytest.raises(DeniedError, match=r"permission denied: its mode is ---------- and its owner is \w+"):
        read(root, ref(root / "a.jpg"))


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM])
def test_a_disk_or_a_system_that_fails_for_now_says_nothing_against_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (root / "a.jpg").write_bytes(b"x")
    real_open = os.open

    def failing(path: Any, *args: Any, **options: Any) -> int:
        if path == "a.jpg":
            raise OSError(code, os.strerror(code), path)
        return real_open(path, *args, **options)

    monkeypatch.setattr(os, "open", failing)

    with pytest.raises(DeniedError, match=os.strerror(code).lower()):
        read(root, ref(root / "a.jpg"))


def test_a_file_over_the_size_bound_is_refused(root: Path) -> None:
    (root / "a.jpg").write_bytes(bytes(SIZE_MAX_BYTES))
    (root / "b.jpg").write_bytes(bytes(SIZE_MAX_BYTES + 1))

    assert len(read(root, ref(root / "a.jpg"))) == SIZE_MAX_BYTES
    with pytest.raises(UnreadableError, match="more than the allowed"):
        read(root, ref(root / "b.jpg"))


def test_a_vanished_file_is_gone_and_a_changed_one_unfinished(root: Path) -> None:
    path = root / "sub" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"half")
    settled = ref(path)

    path.write_bytes(b"whole now")
    with pytest.raises(UnreadableError, match="changed") as caught:
        read(root, settled)
    assert caught.value.unfinished

    path.unlink()
    with pytest.raises(GoneError):
        read(root, settled)
    path.parent.rmdir()
    with pytest.raises(GoneError):
        read(root, settled)


def test_reading_leaves_no_file_open(root: Path) -> None:
    path = root / "a" / "b" / "c.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    before = open_files()

    assert read(root, ref(path)) == b"x"
    (root / "l.jpg").symlink_to(path)
    with pytest.raises(UnreadableError):
        read(root, ref(root / "l.jpg"))

    assert open_files() == before
