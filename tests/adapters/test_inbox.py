"""The inbox on a real file system: what it shows, what it refuses, and how it survives its watcher and its folder."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Notes, wait_until
from watchdog.events import FileCreatedEvent, FileMovedEvent

from face_organizer.adapters import attention, watching
from face_organizer.adapters import inbox as inbox_module
from face_organizer.adapters.inbox import FolderInbox, is_candidate_name, is_sidecar_name
from face_organizer.adapters.watching import Hints
from face_organizer.types import InboxState


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> Notes:
    return Notes()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def inbox(root: Path, log: Notes, clock: ManualClock) -> Iterator[FolderInbox]:
    threads = set(threading.enumerate())
    inbox = FolderInbox(root, log, clock=clock)
    yield inbox
    inbox.stop()
    assert set(threading.enumerate()) <= threads, "a thread was leaked"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def hinted(inbox: FolderInbox, *paths: Path) -> None:
    """Wait until every path has been hinted at."""
    missing = set(paths)

    def all_seen() -> bool:
        missing.difference_update(inbox.hints(within_s=0.05))
        return not missing

    wait_until(all_seen)


# names


@pytest.mark.parametrize(
    "name", ["a.jpg", "A.JPG", "-rf", "no suffix", "caf\udce9.jpg", "new\nline.png", "😀.webp", "a.~1~x"]
)
def test_an_ordinary_name_is_a_candidate(name: str) -> None:
    assert is_candidate_name(name)


TEMPORARY = """
.hidden.jpg .goutputstream-X .a.jpg.swp b.swp a.jpg~ a.tmp a.temp a.jpg.part a.jpg.PARTIAL a.crdownload a.download
desktop.ini Desktop.ini Thumbs.db
"""


@pytest.mark.parametrize("name", TEMPORARY.split())
def test_a_temporary_name_is_no_candidate(name: str) -> None:
    assert not is_candidate_name(name)


@pytest.mark.parametrize("name", ["a.jpg.xmp", "IMG_0001.AAE", "a.jpg.supplemental-metadata.json", "metadata.json"])
def test_what_another_program_laid_beside_an_image_is_no_candidate(name: str) -> None:
    assert not is_candidate_name(name) and is_sidecar_name(name)
    assert not is_sidecar_name(f".{name}") and not is_sidecar_name(f"{name}.jpg")


# walk and signature


def test_the_walk_is_in_name_order_and_leaves_out_what_is_hidden_or_temporary(inbox: FolderInbox, root: Path) -> None:
    for name in ("b.jpg", "a.jpg", "c/d.jpg", "c/e/f.jpg", ".git/x.jpg", "g.part", "c/.h.jpg", "c/Thumbs.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    assert [str(path.relative_to(root)) for path in inbox.walk()] == ["a.jpg", "b.jpg", "c/d.jpg", "c/e/f.jpg"]


def test_the_walk_does_not_enter_a_linked_folder_but_shows_it(inbox: FolderInbox, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.jpg").touch()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)

    assert list(inbox.walk()) == [root / "link", root / "loop"]
    assert inbox.signature(root / "link") is not None


def test_a_huge_folder_comes_in_portions_at_once_and_whole(
    inbox: FolderInbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "SORTED_MAX", 10)
    names = {f"{number:03}.jpg" for number in range(95)}
    for name in names:
        (root / name).touch()
    taken: list[int] = []
    scandir = os.scandir

    class Counting:
        def __init__(self, folder: str) -> None:
            self.entries = scandir(folder)

        def __enter__(self) -> Counting:
            return self

        def __exit__(self, *_: object) -> None:
            self.entries.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            for entry in self.entries:
                taken.append(1)
                yield entry

    monkeypatch.setattr(os, "scandir", Counting)

    walk = inbox.walk()
    first = [next(walk).name for _ in range(10)]

    assert len(taken) == 10
    assert first == sorted(first)
    assert {*first, *(path.name for path in walk)} == names


@pytest.fixture
def deep(root: Path) -> Iterator[Path]:
    """A folder far down: deeper than Python recurses, and than there may be open files."""
    folders = [root.joinpath(*["d"] * depth) for depth in range(1, 1201)]
    for folder in folders:
        folder.mkdir()
    yield folders[-1]
    (folders[-1] / "a.jpg").unlink(missing_ok=True)
    for folder in reversed(folders):  # pytest's own clean-up would recurse
        if folder.exists():
            folder.rmdir()


def test_a_very_deep_tree_is_walked_pruned_and_does_not_hurt_the_watcher(
    inbox: FolderInbox, deep: Path, log: Notes
) -> None:
    (deep / "a.jpg").touch()
    before = open_files()

    inbox.start()
    assert inbox.check()
    walk = inbox.walk()

    assert next(walk) == deep / "a.jpg"
    assert open_files() < before + 10
    assert set(log.events) <= {"inbox_polling"}
    (deep / "a.jpg").unlink()
    assert inbox.prune(0) == 1200


def test_the_walk_survives_files_and_folders_that_vanish_meanwhile(inbox: FolderInbox, root: Path) -> None:
    for name in ("a/1.jpg", "b/2.jpg", "c.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()

    walk = inbox.walk()
    assert next(walk).name == "1.jpg"
    (root / "b" / "2.jpg").unlink()
    (root / "b").rmdir()

    assert [path.name for path in walk] == ["c.jpg"]


def test_a_folder_that_cannot_be_read_is_told_once_and_skipped(
    inbox: FolderInbox, root: Path, log: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "closed").mkdir()
    (root / "open.jpg").touch()
    scandir = os.scandir

    def refusing(folder: Path) -> Any:
        if Path(folder).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)

    assert list(inbox.walk()) == list(inbox.walk()) == [root / "open.jpg"]
    assert log.events == ["inbox_folder_unreadable"]
    assert "permission denied: its mode is drwx" in log.lines[0][1]["cause"]


@pytest.mark.parametrize("kind", ["folder", "link to where its state is", "link to a disk that is away"])
def test_a_library_in_the_inbox_is_left_alone_by_walks_and_events_and_told_once(
    inbox: FolderInbox, root: Path, tmp_path: Path, log: Notes, kind: str
) -> None:
    library, person = root / "pics" / "library", root / "pics" / "library" / "person_0001"
    (person / "empty").mkdir(parents=True)
    (person / "a.jpg").write_bytes(b"theirs")
    (library / "loose.jpg").write_bytes(b"theirs")
    (root / "pics" / "b.jpg").write_bytes(b"new")
    if kind == "folder":
        (library / ".face-organizer").mkdir()
    else:
        state = tmp_path / "state"
        (library / ".face-organizer").symlink_to(state)
        if kind == "link to where its state is":
            state.mkdir()

    assert list(inbox.walk()) == list(inbox.walk()) == [root / "pics" / "b.jpg"]
    assert log.lines == [("inbox_library_left", {"folder": str(library)})]
    (problem,) = inbox.problems
    assert f"{library} in the inbox is a library itself" in problem
    assert inbox.signature(person / "a.jpg") is inbox.signature(library / "loose.jpg") is None
    assert inbox.signature(root / "pics" / "b.jpg") is not None
    assert len(inbox.contents()) == 1
    inbox.prune(older_than_s=0)
    assert (person / "empty").is_dir()

    library.rename(tmp_path / "library")
    assert list(inbox.walk()) == [root / "pics" / "b.jpg"]
    assert inbox.problems == []


def test_what_settles_while_a_library_comes_in_is_left_alone_as_soon_as_it_is_known_to_be_one(
    inbox: FolderInbox, root: Path
) -> None:
    (root / "library" / "person_0001").mkdir(parents=True)
    image = root / "library" / "person_0001" / "a.jpg"
    image.write_bytes(b"copied here before the state")
    assert inbox.signature(image) is not None

    (root / "library" / ".face-organizer").mkdir()
    inbox.hints(within_s=0)

    assert inbox.signature(image) is None


@pytest.mark.parametrize(
    "name", [b"caf\xe9.jpg", b"new\nline.jpg", b"-rf.jpg", "😀.jpg".encode(), b"x" * 251 + b".jpg"]
)
def test_any_name_can_be_walked(inbox: FolderInbox, root: Path, name: bytes) -> None:
    path = root / os.fsdecode(name)
    path.touch()

    assert list(inbox.walk()) == [path]


def test_the_signature_changes_with_the_file_and_is_none_for_what_is_no_candidate(
    inbox: FolderInbox, root: Path
) -> None:
    path = root / "a.jpg"
    path.write_bytes(b"123")
    (root / "folder").mkdir()
    (root / "b.part").touch()
    (root / ".x").mkdir()
    (root / ".x" / "c.jpg").touch()

    first = inbox.signature(path)
    path.write_bytes(b"1234")

    assert first is not None
    assert first.size_bytes == 3
    assert inbox.signature(path) != first
    for other in (root / "gone.jpg", root / "folder", root / "b.part", root / ".x" / "c.jpg", root, root.parent):
        assert inbox.signature(other) is None, other


# watching


def test_every_way_to_arrive_is_hinted_at(inbox: FolderInbox, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in.jpg").write_bytes(b"x")
    inbox.start()

    (root / "written.jpg").write_bytes(b"x")
    (root / "linked.jpg").hardlink_to(outside)
    outside.rename(root / "moved.jpg")
    (root / "download.part").write_bytes(b"x")
    (root / "download.part").rename(root / "download.jpg")
    (root / "new" / "deep").mkdir(parents=True)
    (root / "new" / "deep" / "nested.jpg").write_bytes(b"x")
    (tmp_path / "folder").rename(root / "folder")
    (root / "link.jpg").symlink_to("nowhere")

    names = ("written", "linked", "moved", "download", "new/deep/nested", "folder/in", "link")
    hinted(inbox, *(root / f"{name}.jpg" for name in names))


def test_a_change_of_permissions_is_hinted_at(inbox: FolderInbox, root: Path) -> None:
    (root / "a.jpg").touch()
    inbox.start()

    (root / "a.jpg").chmod(0o600)

    hinted(inbox, root / "a.jpg")


def test_temporary_names_are_not_hinted_at(inbox: FolderInbox, root: Path) -> None:
    inbox.start()
    (root / "a.part").touch()
    (root / ".b.jpg").touch()
    (root / "z.jpg").touch()

    seen: list[Path] = []
    wait_until(lambda: bool(seen.extend(inbox.hints(0.05))) or root / "z.jpg" in seen)
    assert set(seen) == {root / "z.jpg"}


def test_hints_come_with_the_inboxs_own_path_when_that_is_a_link(tmp_path: Path, root: Path, log: Notes) -> None:
    (tmp_path / "link").symlink_to(root)
    inbox = FolderInbox(tmp_path / "link", log)
    inbox.start()
    try:
        (root / "a.jpg").write_bytes(b"x")
        hinted(inbox, tmp_path / "link" / "a.jpg")
    finally:
        inbox.stop()


def test_hints_are_deduplicated_and_bounded_and_an_overflow_asks_for_a_walk(
    inbox: FolderInbox, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HINTS_MAX", 5)
    hints = Hints(root)
    for _ in range(9):
        hints.dispatch(FileMovedEvent(str(root / "a"), str(root / "b")))
    assert hints.take(0) == [root / "a", root / "b"]
    assert not hints.lost

    for number in range(9):
        hints.dispatch(FileCreatedEvent(os.fsencode(root / f"{number}")))
    assert len(hints.take(0)) == 5
    assert hints.lost == "more than 5 paths changed at once"
    assert hints.take(0) == []


def test_an_overflow_of_the_kernels_queue_asks_for_a_walk(inbox: FolderInbox) -> None:
    inbox.start()
    assert inbox.rescan
    list(inbox.walk())
    assert not inbox.rescan

    watching.logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; events were lost")

    assert inbox.rescan


def test_waiting_for_hints_ends_with_stop(inbox: FolderInbox) -> None:
    inbox.start()
    waiting = threading.Thread(target=inbox.hints, args=(60,))
    waiting.start()

    inbox.stop()
    waiting.join(5)

    assert not waiting.is_alive()


def watchdog_threads() -> list[Any]:
    return [thread for thread in threading.enumerate() if isinstance(thread, watching.BaseThread)]


def end(thread: Any) -> None:
    thread.stop()
    thread.join(5)


def test_a_dead_watcher_thread_is_replaced(inbox: FolderInbox, root: Path, log: Notes, clock: ManualClock) -> None:
    inbox.start()
    assert len(watchdog_threads()) == 3
    for victim in range(3):
        list(inbox.walk())
        end(watchdog_threads()[victim])
        clock.now_s += attention.RESTART_S

        assert inbox.check()
        assert inbox.state.kind == "watched"
        assert inbox.rescan
        (root / f"after-{victim}.jpg").touch()
        hinted(inbox, root / f"after-{victim}.jpg")

    assert log.events == ["inbox_watcher_restarted"] * 3


def test_a_watcher_that_dies_again_and_again_is_restarted_now_and_then_and_the_walks_do_the_work(
    inbox: FolderInbox, log: Notes, clock: ManualClock
) -> None:
    inbox.start()
    for _ in range(100):
        for thread in watchdog_threads():
            end(thread)
        assert inbox.check()
        clock.now_s += 0.1

    assert log.events.count("inbox_watcher_restarted") == 10 / attention.RESTART_S
    assert inbox.state == InboxState("polling", "its watcher died again")


def test_an_inbox_that_goes_is_lost_once_and_watched_again_when_it_is_back(
    inbox: FolderInbox, root: Path, log: Notes
) -> None:
    inbox.start()
    list(inbox.walk())

    root.rmdir()
    assert not inbox.check()
    assert not inbox.check()
    assert log.events == ["inbox_lost"]
    assert not watchdog_threads()

    root.mkdir()
    (root / "early.jpg").touch()
    assert inbox.check()
    assert log.events == ["inbox_lost", "inbox_back"]
    assert inbox.rescan
    assert list(inbox.walk()) == [root / "early.jpg"]
    (root / "late.jpg").touch()
    hinted(inbox, root / "late.jpg")


def test_an_inbox_replaced_behind_our_back_is_noticed(inbox: FolderInbox, root: Path, log: Notes) -> None:
    inbox.start()
    (root.parent / "another").mkdir()
    root.rename(root.parent / "old")
    (root.parent / "another").rename(root)

    assert not inbox.check()
    assert inbox.check()
    assert log.events == ["inbox_lost", "inbox_back"]
    assert log.lines[0][1]["cause"] == "another folder has taken its place"
    (root / "a.jpg").touch()
    hinted(inbox, root / "a.jpg")


def test_an_inbox_that_cannot_be_reached_is_lost_with_its_cause(
    inbox: FolderInbox, root: Path, log: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.start()
    list(inbox.walk())
    with monkeypatch.context() as patch:

        def refusing(path: Path, **_: Any) -> Any:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

        patch.setattr(Path, "stat", refusing)
        assert not inbox.check()
    assert inbox.state == InboxState("lost", "stale file handle")

    assert inbox.check()
    assert inbox.state == InboxState("watched")
    assert log.events == ["inbox_lost", "inbox_back"]


def test_a_file_in_the_place_of_the_inbox_is_no_inbox(inbox: FolderInbox, root: Path) -> None:
    inbox.start()
    root.rmdir()
    root.touch()

    assert not inbox.check()
    assert inbox.state == InboxState("lost", "it is gone")


def test_an_inbox_that_may_not_be_looked_into_is_polled_and_says_so(
    inbox: FolderInbox, root: Path, log: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)

    inbox.start()

    assert inbox.state.kind == "polling"
    assert inbox.state.reason.startswith("permission denied: its mode is d")


def test_an_inbox_that_was_never_there_is_waited_for(tmp_path: Path, log: Notes) -> None:
    inbox = FolderInbox(tmp_path / "later", log)
    inbox.start()
    try:
        assert log.events == ["inbox_lost"]
        assert list(inbox.walk()) == []

        (tmp_path / "later").mkdir()
        assert inbox.check()
        (tmp_path / "later" / "a.jpg").touch()
        hinted(inbox, tmp_path / "later" / "a.jpg")
    finally:
        inbox.stop()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE])
def test_without_inotify_watches_the_walk_does_the_work_and_each_walk_tries_again(
    inbox: FolderInbox, root: Path, log: Notes, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (root / "a.jpg").touch()
    with monkeypatch.context() as patch:
        if code == errno.EMFILE:
            patch.setattr("watchdog.observers.inotify_c.inotify_init", lambda: -1)
        else:
            patch.setattr("watchdog.observers.inotify_c.inotify_add_watch", lambda *_: -1)
        patch.setattr("ctypes.get_errno", lambda: code)
        inbox.start()
        for _ in range(3):
            assert inbox.check()
            assert list(inbox.walk()) == [root / "a.jpg"]
    assert log.events == ["inbox_polling"]
    assert "max_user_" in log.lines[0][1]["reason"]
    assert not inbox.rescan
    assert not watchdog_threads()

    assert inbox.check()
    (root / "b.jpg").touch()
    hinted(inbox, root / "b.jpg")


def test_folders_that_got_no_watch_are_polled_and_watched_once_they_can_be(
    inbox: FolderInbox, root: Path, log: Notes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub").mkdir()
    real = watching.InotifyFD.add_callback
    full = True

    def add_callback(self: Any, path: bytes, *rest: Any) -> Any:
        if full and path != os.fsencode(root):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return real(self, path, *rest)

    monkeypatch.setattr(watching.InotifyFD, "add_callback", add_callback)

    inbox.start()
    for _ in range(3):
        list(inbox.walk())
        assert inbox.check()
    assert inbox.state.kind == "polling"
    assert "limit reached: not all of its folders are watched" in inbox.state.reason
    (root / "outer.jpg").touch()
    hinted(inbox, root / "outer.jpg")

    full = False
    clock.now_s += attention.REWATCH_S
    assert inbox.check()
    assert inbox.state == InboxState("watched")
    assert inbox.rescan
    (root / "sub" / "inner.jpg").touch()
    hinted(inbox, root / "sub" / "inner.jpg")
    assert log.events == ["inbox_polling", "inbox_watched"]


def test_a_folder_that_may_be_read_again_is_watched_again(
    inbox: FolderInbox, root: Path, log: Notes, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "closed").mkdir()
    with monkeypatch.context() as patch:  # root may read everything, so the refusal is played
        real_access, scandir = os.access, os.scandir
        patch.setattr(
            os, "access", lambda path, mode: not os.fsdecode(path).endswith("closed") and real_access(path, mode)
        )

        def refusing(folder: Path) -> Any:
            if os.fsdecode(folder).endswith("closed"):
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return scandir(folder)

        patch.setattr(os, "scandir", refusing)
        inbox.start()
        list(inbox.walk())
        assert inbox.check()
    (problem,) = inbox.problems
    assert problem.startswith(f"cannot look into {root / 'closed'}: permission denied")
    assert inbox.state == InboxState("watched")

    list(inbox.walk())
    clock.now_s += attention.REWATCH_S
    assert inbox.check()
    assert inbox.problems == []
    (root / "closed" / "a.jpg").touch()
    hinted(inbox, root / "closed" / "a.jpg")
    assert log.events == ["inbox_folder_unreadable"]


def test_a_file_system_without_events_is_left_to_the_walk(
    inbox: FolderInbox, root: Path, log: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "kind_at", lambda _: "nfs4")

    inbox.start()
    for _ in range(3):
        list(inbox.walk())
        assert inbox.check()

    assert log.events == ["inbox_polling"]
    assert log.lines[0][1]["reason"] == "nfs4 does not tell of changes"
    assert not inbox.rescan
    assert not watchdog_threads()


# pruning


def test_an_empty_folder_goes_after_its_time_and_nothing_else_does(
    inbox: FolderInbox, root: Path, clock: ManualClock
) -> None:
    for name in ("empty/inner", "full", "hidden", ".git"):
        (root / name).mkdir(parents=True)
    (root / "full" / "a.jpg").touch()
    (root / "hidden" / ".DS_Store").touch()
    (root / "link").symlink_to(root / "empty")

    assert inbox.prune(60) == 0
    clock.now_s = 59
    assert inbox.prune(60) == 0
    clock.now_s = 60
    assert inbox.prune(60) == 1
    assert sorted(path.name for path in root.iterdir()) == [".git", "empty", "full", "hidden", "link"]
    clock.now_s = 120
    assert inbox.prune(60) == 1
    assert sorted(path.name for path in root.iterdir()) == [".git", "full", "hidden", "link"]


def test_a_folder_in_use_starts_its_time_anew(inbox: FolderInbox, root: Path, clock: ManualClock) -> None:
    (root / "busy").mkdir()
    inbox.prune(60)
    clock.now_s = 59
    (root / "busy" / "a.jpg").touch()
    (root / "busy" / "a.jpg").unlink()
    os.utime(root / "busy", ns=(1, 1))

    assert inbox.prune(60) == 0
    clock.now_s = 118
    assert inbox.prune(60) == 0
    clock.now_s = 119
    assert inbox.prune(60) == 1


def test_with_no_time_to_wait_a_whole_empty_tree_goes_at_once(inbox: FolderInbox, root: Path) -> None:
    (root / "a" / "b" / "c").mkdir(parents=True)

    assert inbox.prune(0) == 3
    assert root.is_dir()
