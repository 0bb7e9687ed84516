from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from face_organizer.adapters.control import ControlServer, StrangerError, ask
from face_organizer.adapters.lock import LibraryLock
from face_organizer.app import commands
from face_organizer.errors import (
    AlreadyRunningError,
    DecodeError,
    FaceOrganizerError,
    NotAnsweringError,
    RequestError,
    StoreError,
)

Serve = Callable[..., Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers: list[ControlServer] = []
    before = set(threading.enumerate())

    def start(folder: Path = tmp_path, **calls: Callable[..., Any]) -> Path:
        server = ControlServer(folder, calls)
        server.start()
        servers.append(server)
        return folder

    yield start
    for server in servers:
        server.stop()
        server.stop()
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


def test_a_call_brings_its_answer(serve: Serve) -> None:
    folder = serve(add=lambda a, b: {"sum": a + b})

    assert ask(folder, "add", a=2, b=3) == {"sum": 5}


def test_an_error_arrives_as_the_error_it_was(serve: Serve) -> None:
    def refuse() -> None:
        raise DecodeError("not an image")

    folder = serve(refuse=refuse)

    with pytest.raises(DecodeError, match="not an image"):
        ask(folder, "refuse")
    with pytest.raises(FaceOrganizerError, match="not a call I know"):
        ask(folder, "unknown")
    with pytest.raises(FaceOrganizerError, match="not a call I know"):
        ask(folder, "refuse", surprise=1)


def test_a_slow_call_does_not_hold_up_the_others(serve: Serve) -> None:
    gate = threading.Event()
    folder = serve(slow=lambda: gate.wait(10), quick=lambda: "here")
    waiting = threading.Thread(target=lambda: ask(folder, "slow"))
    waiting.start()

    assert ask(folder, "quick") == "here"

    gate.set()
    waiting.join()


def test_a_large_question_and_a_large_answer_pass_whole(serve: Serve) -> None:
    folder = serve(echo=lambda text: text)

    assert ask(folder, "echo", text="x" * 5_000_000) == "x" * 5_000_000


def test_nobody_listening_is_a_connection_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        ask(tmp_path, "status")
    with pytest.raises(ConnectionError):
        ask(tmp_path / "no such folder", "status")


def test_a_very_long_folder_name_is_no_obstacle(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    folder.mkdir(parents=True)
    serve(folder, hello=lambda: 1)

    assert ask(folder, "hello") == 1


def test_a_socket_left_by_a_dead_daemon_is_replaced(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("left over")

    assert ask(serve(hello=lambda: 1), "hello") == 1


def test_the_socket_is_private_and_goes_with_its_server(tmp_path: Path) -> None:
    server = ControlServer(tmp_path, {})
    server.start()
    mode = (tmp_path / "control.sock").stat().st_mode
    server.stop()

    assert mode & 0o777 == 0o600
    assert not (tmp_path / "control.sock").exists()


def test_only_one_process_owns_a_library_and_the_other_is_told_who(tmp_path: Path) -> None:
    import os

    lock = LibraryLock(tmp_path)
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}.*commands reach it with --library"):
        LibraryLock(tmp_path)
    with pytest.raises(NotAnsweringError, match=f"process {os.getpid()}.*answers no command just now"):
        LibraryLock(tmp_path, reading=True)
    lock.release()
    lock.release()

    LibraryLock(tmp_path).release()


def test_a_command_waits_for_a_daemon_that_has_the_library_and_does_not_answer_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / ".face-organizer"
    (state / "truth").mkdir(parents=True)
    lock = LibraryLock(state)
    server = ControlServer(state, {"hello": lambda: 1})
    (state / "control.sock").rename(state / "not yet")
    server.start()
    monkeypatch.setattr(commands, "TOLD_AFTER_S", 0.2)

    opening = threading.Timer(0.6, lambda: (state / "not yet").rename(state / "control.sock"))
    opening.start()
    assert commands.answer(tmp_path, "hello") == 1

    opening.join()
    server.stop()
    assert capsys.readouterr().err.count("library_busy") == 1
    monkeypatch.setattr(commands, "ANSWERS_WITHIN_S", 0.2)
    with pytest.raises(NotAnsweringError):
        commands.answer(tmp_path, "hello")
    lock.release()


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreError, match="file/state"):
        LibraryLock(tmp_path / "file" / "state")


def test_arguments_of_another_type_never_reach_the_call(serve: Serve) -> None:
    reached: list[object] = []

    def undo(decision_id: int | None = None, faces: Sequence[str | dict[str, str]] = ()) -> None:
        reached.append(decision_id)

    folder = serve(undo=undo)

    for arguments in (
        {"decision_id": "last"},
        {"decision_id": 1.5},
        {"decision_id": True},
        {"faces": [7]},
        {"faces": [{"digest": 1}]},
    ):
        with pytest.raises(RequestError, match="not a call I know"):
            ask(folder, "undo", **arguments)
    ask(folder, "undo", decision_id=3, faces=["7", {"digest": "00"}])
    assert reached == [3]


def test_what_is_no_text_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is not text in UTF-8"):
        ask(tmp_path, "name", name="\udcff")


def test_who_may_not_read_the_state_is_told_whose_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    me = os.geteuid()
    try:
        if me == 0:
            os.seteuid(65534)
        else:
            state.chmod(0)
        with pytest.raises(StoreError, match=r"you may not read the library's state in .*state: it is its owner's"):
            ask(state, "status")
    finally:
        if me == 0:
            os.seteuid(0)
        else:
            state.chmod(0o700)


def test_a_socket_of_another_user_says_nothing_of_a_daemon(serve: Serve) -> None:
    folder = serve(hello=lambda: 1)
    if os.geteuid() == 0:
        pytest.skip("root may use any socket")
    (folder / "control.sock").chmod(0)

    with pytest.raises(StrangerError, match="whether or not anybody listens"):
        ask(folder, "hello")
