"""One daemon owns a library, one empties an inbox; the kernel lets go when it dies. Nothing listens on the network, and
the state is its owner's alone, whatever the umask."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable
from pathlib import Path
from socket import AF_UNIX

import psutil
from numbered import paint
from process import NUMBERED, Daemon, as_json, files_below
from support import wait_until


def ended(daemon: Daemon) -> tuple[int, str]:
    """The exit code and everything it said, of one that ends by itself."""
    code = daemon.process.wait(timeout=100)
    daemon.end()
    return code, "".join(line.get("text", "") for line in daemon.lines)


def test_of_five_that_start_at_once_one_lives_and_the_others_name_it(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    five = [start("--inbox", inbox, "--library", library, command=NUMBERED) for _ in range(5)]

    wait_until(lambda: sum(each.process.poll() is not None for each in five) == 4, within_s=100)

    (alive,) = [each for each in five if each.process.poll() is None]
    for other in five:
        if other is not alive:
            code, told = ended(other)
            assert code == 75, told
            assert f"(process {alive.process.pid})" in told, told
    alive.wait_for("ready")
    assert as_json("status", "--library", library)["pid"] == alive.process.pid

    alive.end(signal.SIGKILL)
    after = start("--inbox", inbox, "--library", library, command=NUMBERED)  # at once
    after.wait_for("ready")
    paint(inbox / "a.png", [1])
    after.wait_for("image_placed")
    assert after.end() == 0


def test_two_libraries_do_not_empty_one_inbox_but_two_may_read_it(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    inbox, shared = tmp_path / "inbox", tmp_path / "shared"
    for folder in (inbox, shared):
        paint(folder / "a.png", [1])
    mover = start("--inbox", inbox, "--library", tmp_path / "one", command=NUMBERED)
    reader = start("--inbox", shared, "--library", tmp_path / "three", "--placement", "copy", command=NUMBERED)
    for daemon in (mover, reader):
        daemon.wait_for("ready")

    second, would_move = (
        start("--once", "--inbox", folder, "--library", tmp_path / name, command=NUMBERED)
        for folder, name in ((inbox, "two"), (shared, "five"))
    )

    code, told = ended(second)
    assert (code, f"(process {mover.process.pid}) sorts the inbox {inbox}" in told) == (75, True), told
    code, told = ended(would_move)
    assert (code, f"(process {reader.process.pid})" in told) == (75, True), told

    also_reads = start(
        "--once", "--inbox", shared, "--library", tmp_path / "four", "--placement", "symlink", command=NUMBERED
    )
    assert ended(also_reads)[0] == 0
    assert (shared / "a.png").exists()
    assert not (tmp_path / "two").exists()
    assert not (tmp_path / "five").exists()


def test_nothing_listens_on_the_network_and_the_state_is_its_owners_alone_whatever_the_umask(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    for number in range(12):
        paint(inbox / f"{number}.png", [number % 3 + 1], number)
    open_to_all = ["sh", "-c", 'umask 0; exec "$0" "$@"', *NUMBERED]
    daemon = start("--inbox", inbox, "--library", library, "--people", "elbow", command=open_to_all)
    daemon.wait_for("image_placed", count=12)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("recluster_finished")
    process = psutil.Process(daemon.process.pid)
    sockets, others = process.net_connections(kind="all"), process.children(recursive=True)
    assert daemon.end() == 0

    assert [each.family for each in sockets if each.family == AF_UNIX], "not even the control socket was seen"
    assert [each.laddr for each in sockets if each.family != AF_UNIX] == []
    assert others == []
    state = library / ".face-organizer"
    modes = {str(path.relative_to(state)): mode_of(path) for path in (state, *state.rglob("*"))}
    assert {"truth/data.mdb", "index/faces.faiss", "index/faces.faiss.json", "elbow.json", "elbow.png"} <= set(modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert mode_of(library / files_below(library)[0].parts[0]) == 0o777  # the library's folders are as the umask says


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_an_older_version_left_open_is_closed_at_the_next_start(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    state = library / ".face-organizer"
    (state / "index").mkdir(parents=True)
    (state / "index" / "faces.faiss").write_bytes(b"old")
    for path in (state, state / "index", state / "index" / "faces.faiss"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    inbox.mkdir()

    code, told = ended(start("--once", "--inbox", inbox, "--library", library, command=NUMBERED))

    assert code == 0, told
    assert [mode_of(path) for path in (state, state / "index")] == [0o700, 0o700]
    assert all(mode_of(path) & 0o077 == 0 for path in state.rglob("*"))


def test_without_its_database_it_touches_neither_inbox_nor_library_and_starts_anew(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    for number in range(4):
        paint(inbox / f"{number}.png", [1], number)
    assert ended(start("--once", "--inbox", inbox, "--library", library, command=NUMBERED))[0] == 0
    before = {path: (library / path).read_bytes() for path in files_below(library)}
    assert len(before) == 4
    truth = library / ".face-organizer" / "truth"
    for file in truth.iterdir():
        file.unlink()
    paint(inbox / "9.png", [1], 9)

    assert ended(start("--once", "--inbox", inbox, "--library", library, command=NUMBERED))[0] == 0

    after = {path: (library / path).read_bytes() for path in files_below(library)}
    assert before.items() <= after.items()
    assert len(after) == 5
    findings = as_json("check", "--library", library, expect=1)["findings"]
    assert {finding["kind"] for finding in findings} == {"stray"}


def test_a_daemon_whose_state_is_taken_away_stops_and_says_so(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    daemon = start("--inbox", tmp_path / "inbox", "--library", tmp_path / "library", command=NUMBERED)
    daemon.wait_for("ready")

    (tmp_path / "library" / ".face-organizer").rename(tmp_path / "taken")

    wait_until(lambda: daemon.process.poll() is not None, within_s=60)
    assert daemon.end() == 1
    assert any("was taken away while it was in use" in str(line) for line in daemon.lines)
    assert not (tmp_path / "library" / ".face-organizer").exists()
