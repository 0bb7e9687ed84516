"""The cache of thumbnails on disk: bounded, private, and forgetful when it must be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from face_organizer.adapters.originals import Originals
from face_organizer.adapters.thumbnails import ThumbnailFolder
from face_organizer.errors import RequestError


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*/*")}


def never() -> bytes:
    raise AssertionError("it is there already")


def test_a_thumbnail_is_made_once_also_over_a_restart(tmp_path: Path) -> None:
    ThumbnailFolder(tmp_path / "t", 1000).get("f1-160", lambda: b"jpeg")

    assert ThumbnailFolder(tmp_path / "t", 1000).get("f1-160", never) == b"jpeg"
    (file,) = (tmp_path / "t").glob("*/*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_least_recently_used_ones_go_beyond_the_bound(tmp_path: Path) -> None:
    kept = ThumbnailFolder(tmp_path, 300)
    for number in range(3):
        kept.get(f"f{number}-96", lambda: b"x" * 100)
    kept.get("f0-96", never)

    kept.get("f3-96", lambda: b"x" * 100)
    kept.get("huge-96", lambda: b"x" * 301)

    assert names(tmp_path) == {"f0-96", "f2-96", "f3-96"}


def test_what_was_begun_before_everything_was_erased_is_not_kept(tmp_path: Path) -> None:
    kept = ThumbnailFolder(tmp_path / "t", 1000)
    kept.get("f1-96", lambda: b"one")

    def made_too_late() -> bytes:
        kept.erase()
        return b"two"

    assert kept.get("f2-96", made_too_late) == b"two"
    assert names(tmp_path / "t") == set()
    assert kept.get("f1-96", lambda: b"anew") == b"anew"


def test_a_thumbnail_that_somebody_deleted_and_a_folder_that_cannot_be_written_cost_only_time(tmp_path: Path) -> None:
    kept = ThumbnailFolder(tmp_path / "t", 1000)
    kept.get("f1-96", lambda: b"one")
    for file in (tmp_path / "t").glob("*/*"):
        file.unlink()
    (tmp_path / "file").touch()

    assert kept.get("f1-96", lambda: b"again") == b"again"
    assert ThumbnailFolder(tmp_path / "file", 1000).get("f1-96", lambda: b"one") == b"one"


def test_an_original_is_found_in_the_library_or_the_inbox_and_never_through_a_link(tmp_path: Path) -> None:
    library, inbox, secret = tmp_path / "library", tmp_path / "inbox", tmp_path / "secret.jpg"
    for folder in (library / "Ada", inbox):
        folder.mkdir(parents=True)
    secret.write_bytes(b"secret")
    (library / "Ada" / "a.jpg").write_bytes(b"placed")
    (library / "Ada" / "link.jpg").symlink_to(secret)
    (library / "Linked").symlink_to(tmp_path)
    (inbox / "a.jpg").write_bytes(b"source")
    originals = Originals(library, inbox)

    def content(places: list[bytes], sources: list[bytes]) -> bytes:
        found = originals.open(places, sources)
        with found.file:
            return found.file.read()

    source = [bytes(inbox / "a.jpg")]
    assert content([b"Ada/gone.jpg", b"Ada/a.jpg"], source) == b"placed"
    assert content([b"Ada/link.jpg"], source) == b"source"
    for places in ([b"Ada/link.jpg"], [b"Linked/secret.jpg"], [b"../secret.jpg"], [b"Ada"], []):
        with pytest.raises(RequestError, match="not where it was put"):
            originals.open(places, [bytes(secret)])
