"""Disks that refuse: the process goes on, or stops with a sentence that names the file and the cause; nothing is lost
or torn, and once the disk obliges, the library is the one that it would have been.

Once by wrapping the calls of the adapters (steps.py, mortal.py), once by strace, which lets real system calls fail.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from process import COMMAND, environment
from steps import WRITES, found
from survival import (
    Ended,
    Nest,
    World,
    another,
    assert_all_is_well,
    assert_nothing_is_lost_or_torn,
    side_by_side,
    sorting_of,
)

FULL = ("ENOSPC", "DiskError", "MapFullError", "FAISS")
"""A full disk is no reason to stop: the process may wait for room, until we end it after WAITS_S."""
WAITS_S = 30.0
SLOW_S = 100.0
NAMED = ("ENOSPC", "EIO", "EACCES", "EXDEV")
ERRORS = (*NAMED, "EPERM", "EBUSY")
CAUSES = {name: os.strerror(getattr(errno, name)) for name in (*ERRORS, "EINVAL")}
CAUSES |= dict.fromkeys(("DiskError", "MapFullError"), "no room") | {"FAISS": "No space left on device"}
FOR_EVER = -1

ONE, TWO = ("move", False), ("move", True)
Fault = tuple[str, str, int, int, tuple[str, bool]]
"""What fails: the call, with which error, from which time on, how often, in which world."""

FAULTS: tuple[Fault, ...] = (
    ("truth_committed", "DiskError", 4, 1, ONE),
    ("index_written", "FAISS", 1, FOR_EVER, ONE),
    ("link_in_files", "EIO", 2, 1, ONE),
    ("fsync_in_files", "ENOSPC", 2, 1, TWO),
    ("unlink_in_files", "EACCES", 1, FOR_EVER, TWO),
    ("pwrite_in_lock", "ENOSPC", 1, FOR_EVER, ONE),
)
MOVING = WRITES.keys() - {"symlink_in_files", "utime_in_files", "rmdir_in_placing"}
"""The calls of a run that moves within one file system."""
EVERY_FAULT: tuple[Fault, ...] = (
    *((call, error, 1, times, ONE) for call in sorted(MOVING) for error, times in (("ENOSPC", FOR_EVER), ("EIO", 1))),
    *((call, error, 1, 1, ONE) for call in sorted(MOVING) if "files" not in call for error in ("EACCES", "EXDEV")),
    *((call, error, 1, 2, TWO) for call in sorted(WRITES) if "files" in call and "sym" not in call for error in NAMED),
    *(("symlink_in_files", error, 1, 3, ("symlink", True)) for error in ERRORS),
    *(("rename", error, 1, 2, TWO) for error in NAMED),
    *(("truth_committed", error, nth, 1, ONE) for error in ("DiskError", "MapFullError") for nth in (1, 2, 5, 9)),
)


def test_every_call_that_may_fail_exists() -> None:
    for name, step in WRITES.items():
        assert callable(found(step.target)[2]), name


def assert_bears(ended: Ended, error: str, nest: Nest, world: World, config: Path, says: dict[str, Any]) -> None:
    """The process went on, or stopped and said why; it lost nothing; the next one makes all well."""
    assert ended.code >= 0 or error in FULL, (error, ended)
    assert "Traceback" not in ended.err, (error, ended.err[-3000:])
    if ended.code > 0:
        lines = [line for line in ended.err.splitlines() if _is_told(line)]
        assert any(CAUSES[error].lower() in line.lower() for line in lines), (error, ended.err[-3000:])
    assert_nothing_is_lost_or_torn(world)
    again = nest.run(*world.run_once(config))
    assert again.code == 0, again
    assert_all_is_well(world)
    assert sorting_of(world) == says


def _is_told(line: str) -> bool:
    """Is it a warning or an error of the log, or a last sentence?"""
    if line.startswith("face-organizer: "):
        return True
    return line.startswith("{") and json.loads(line)["level"] in ("warning", "error")


def fail(nest: Nest, fault: Fault, new_world: Callable[..., World], config: Path, says: dict[str, Any]) -> str:
    """Let one fault happen; returns its call, "" if that was never made."""
    call, error, nth, times, where = fault
    world = new_world(*where)
    arm = {"step": call, "when": "before", "nth": nth, "error": error, "times": times}
    ended = nest.run(*world.run_once(config), arm=arm, within_s=WAITS_S if error in FULL else SLOW_S)
    assert_bears(ended, error, nest, world, config, says)
    return call if ended.happened else ""


@pytest.mark.timeout(600)
def test_a_disk_that_refuses_a_call_costs_nothing(
    nests: list[Nest], small_batches: Path, calm: tuple[World, dict[str, Any]], new_world: Callable[..., World]
) -> None:
    jobs = [partial(fail, fault=fault, new_world=new_world, config=small_batches, says=calm[1]) for fault in FAULTS]

    assert side_by_side(nests, jobs) == [fault[0] for fault in FAULTS]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_disk_that_refuses_any_call_costs_nothing(
    nests: list[Nest], small_batches: Path, calm: tuple[World, dict[str, Any]], new_world: Callable[..., World]
) -> None:
    jobs = [
        partial(fail, fault=fault, new_world=new_world, config=small_batches, says=calm[1]) for fault in EVERY_FAULT
    ]

    assert side_by_side(nests, jobs) == [fault[0] for fault in EVERY_FAULT]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_folder_that_cannot_be_removed_stops_no_merge(
    nests: list[Nest], calm: tuple[World, dict[str, Any]], tmp_path: Path
) -> None:
    def merge(nest: Nest, error: str) -> None:
        world = another(calm[0], tmp_path / error)
        arm = {"step": "rmdir_in_placing", "when": "before", "nth": 1, "error": error, "times": FOR_EVER}
        ended = nest.run("merge", "3", "1", "--library", world.library, arm=arm)
        assert ended.happened and ended.code == 0, ended
        assert nest.run("people", "--library", world.library).code == 0
        assert_all_is_well(world)

    side_by_side(nests, [partial(merge, error=error) for error in ERRORS])


# real system calls

TRUTH, INDEX = ".face-organizer/truth/data.mdb", ".face-organizer/index/.faces.faiss"
PART = "person_0001/.face-organizer-1.part"
WRITING, FLUSHING = "pwrite64,pwritev,write,writev", "fsync,fdatasync,msync"
Injected = tuple[str, str, str, str, tuple[str, bool]]
"""The system calls, on which path in the library ("": any), with which error, which of them in each thread, where."""

INJECTED: tuple[Injected, ...] = (
    (WRITING, TRUTH, "ENOSPC", "9", ONE),
    (FLUSHING, TRUTH, "EIO", "9", ONE),
    ("write", PART, "ENOSPC", "1", TWO),
)
EVERY_INJECTED: tuple[Injected, ...] = (
    *((WRITING, TRUTH, error, when, ONE) for error in ("ENOSPC", "EIO") for when in ("1", "4", "7+", "12", "20", "40")),
    *((FLUSHING, TRUTH, error, when, ONE) for error in ("ENOSPC", "EIO") for when in ("1", "9", "17+", "30")),
    *(("openat", path, "EACCES", "1+", ONE) for path in (TRUTH, TRUTH.replace("data", "lock"))),
    *(("link,linkat", "", error, when, ONE) for error in ERRORS for when in ("1+", "2")),
    *(("renameat2", "", error, "1+", TWO) for error in ("ENOSPC", "EXDEV", "EACCES", "EINVAL", "EIO")),
    *(("unlink,unlinkat", "", error, "2+", where) for error in ("EACCES", "EIO", "EBUSY") for where in (ONE, TWO)),
    ("mkdirat", "", "ENOSPC", "1+", ONE),
    ("mkdir", ".face-organizer", "ENOSPC", "1+", ONE),
    *(("fsync", "", error, when, TWO) for error in ("EIO", "ENOSPC") for when in ("1+", "2", "5")),
    *(("write", PART, error, "1+", TWO) for error in ("ENOSPC", "EIO")),
    *((call, PART, "EIO", "1", TWO) for call in ("close", "openat", "fsync")),
    *(("write", f"{INDEX}{part}", "ENOSPC", "1+", ONE) for part in (".part", ".json.part")),
    *(("rename", f"{INDEX}{part}", "EIO", "1", ONE) for part in (".part", ".json.part")),
    ("fchmod,utimensat", "", "EPERM", "1+", TWO),
)


@pytest.fixture(scope="module")
def strace() -> str:
    """Skips where it is not there, or may not watch."""
    path = shutil.which("strace")
    if path is None:
        pytest.skip("strace is not installed")
    allowed = subprocess.run(
        [path, "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "inject=fsync:error=EIO", "true"],
        capture_output=True,
        check=False,
    )
    if allowed.returncode:
        pytest.skip(f"strace may not watch here: {allowed.stderr.decode(errors='replace').strip()}")
    return path


def inject(
    nest: Nest, injected: Injected, strace: str, new_world: Callable[..., World], config: Path, says: dict[str, Any]
) -> bool:
    """Let system calls fail; returns whether any did."""
    calls, path, error, when, where = injected
    world = new_world(*where)
    trace = world.library.parent / "trace"
    told = ["-P", str(world.library / path)] if path else ["--seccomp-bpf"]
    told += ["-e", "signal=none", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"]
    process = subprocess.Popen(
        [strace, "-f", "-qq", "-o", str(trace), *told, *COMMAND, *map(str, world.run_once(config))],
        env=environment() | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=WAITS_S if error in FULL else SLOW_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    assert_bears(Ended(process.returncode, True, out, err), error, nest, world, config, says)
    return "(INJECTED)" in trace.read_text(errors="replace")


@pytest.mark.timeout(600)
def test_a_disk_that_refuses_a_system_call_costs_nothing(
    nests: list[Nest],
    strace: str,
    small_batches: Path,
    calm: tuple[World, dict[str, Any]],
    new_world: Callable[..., World],
) -> None:
    share = partial(inject, strace=strace, new_world=new_world, config=small_batches, says=calm[1])

    failed = side_by_side(nests, [partial(share, injected=each) for each in INJECTED])

    assert all(failed), failed


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_disk_that_refuses_any_system_call_costs_nothing(
    nests: list[Nest],
    strace: str,
    small_batches: Path,
    calm: tuple[World, dict[str, Any]],
    new_world: Callable[..., World],
) -> None:
    share = partial(inject, strace=strace, new_world=new_world, config=small_batches, says=calm[1])

    failed = side_by_side(nests, [partial(share, injected=each) for each in EVERY_INJECTED])

    assert sum(failed) >= 0.9 * len(failed), [e for e, each in zip(EVERY_INJECTED, failed, strict=True) if not each]
