"""The real program in a process that dies, or meets a failing disk, at a step that is named.

There is no fault point in the package: `arm` puts a wrapper around a function (steps.py has the names) whose N-th call
ends in os.kill(os.getpid(), SIGKILL) or in an error, and then the command line runs as it always does.

By hand:    python tests/mortal.py truth_committed after 2 -- run --once --inbox in --library lib
As a nest:  python tests/mortal.py; then a line of JSON on stdin for each process, a line of JSON back at its end. Each
            is forked from one that has imported the package and started nothing (no thread, store or network), which
            saves the second that the imports take. See survival.py for the other end.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numbered
from steps import ALL, PACKAGE, Step, found

IMPORTED = (
    *(f"{PACKAGE}.{name}" for name in ("cli", "app.serve", "app.opening", "app.commands", "app.organizer")),
    *("scipy.optimize", "scipy.sparse"),  # which our own import only when they need them
)
PASSED_THROUGH = frozenset({"pathlib", "contextlib", __name__})
DIRECT = {name: getattr(os, name) for name in ("open", "write", "close", "kill", "getpid")}
"""As they are before anything is wrapped."""


def arm(step: str, when: str, nth: int, *, told: str, error: str = "", times: int = 1) -> None:
    """Die before or after the nth call of a step; or, with an error ("ENOSPC"), let so many calls from it on fail.

    told: a file that is written when it happens. times: of failing; -1 for ever.
    """
    numbers = itertools.count(1)

    def happen(at: str, arguments: tuple[Any, ...]) -> None:
        if at != when:
            return
        number = next(numbers)
        if number < nth or (error and times >= 0 and number >= nth + times):
            return
        file = DIRECT["open"](told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        DIRECT["write"](file, f"{when} {step}\n".encode())
        DIRECT["close"](file)
        if not error:
            DIRECT["kill"](DIRECT["getpid"](), signal.SIGKILL)
        raise failure(error, arguments)

    wrap(ALL[step], happen)


def count_all(into: str) -> None:
    """Count the calls of every step, and write {step: calls} at the end."""
    counts = dict.fromkeys(ALL, 0)

    def counting(name: str) -> Callable[[str, tuple[Any, ...]], None]:
        def happen(at: str, _: tuple[Any, ...]) -> None:
            counts[name] += at == "after"

        return happen

    for name, step in ALL.items():
        wrap(step, counting(name))
    atexit.register(lambda: Path(into).write_text(json.dumps(counts)))


def failure(name: str, arguments: tuple[Any, ...]) -> BaseException:
    """What the disk would answer: an OSError with its paths; or an error of LMDB ("DiskError") or FAISS ("FAISS")."""
    if name == "FAISS":
        return RuntimeError("Error in virtual size_t faiss::FileIOWriter::operator(): No space left on device")
    if not hasattr(errno, name):
        import lmdb

        return getattr(lmdb, name)("no room")  # type: ignore[no-any-return]
    code = getattr(errno, name)
    paths = [os.fspath(each) for each in arguments if isinstance(each, str | os.PathLike)]
    return OSError(code, os.strerror(code), *([*paths[:1], None, *paths[1:2]] if len(paths) > 1 else paths[:1]))


def wrap(step: Step, happen: Callable[[str, tuple[Any, ...]], None]) -> None:
    """Let a step's function call happen("before", arguments) and happen("after", arguments), wherever it is known."""
    owner, name, original = found(step.target)

    def counts() -> bool:
        return not step.caller or _caller() == step.caller

    def plain(*arguments: Any, **options: Any) -> Any:
        if not counts():
            return original(*arguments, **options)
        happen("before", arguments)
        answer = original(*arguments, **options)
        happen("after", arguments)
        return answer

    @contextlib.contextmanager
    def opening(*arguments: Any, **options: Any) -> Iterator[Any]:
        with original(*arguments, **options) as opened:
            yield opened
            happen("before", arguments)
        happen("after", arguments)

    wrapper = opening if step.opens else plain
    setattr(owner, name, wrapper)
    if isinstance(owner, ModuleType) and owner.__name__.startswith(PACKAGE):
        for module in [module for key, module in sys.modules.items() if key.startswith(PACKAGE)]:
            for key in [key for key, value in vars(module).items() if value is original]:
                setattr(module, key, wrapper)


def _caller() -> str:
    """The module that called the wrapper, past those that only pass calls on."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PASSED_THROUGH:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def live(job: dict[str, Any]) -> None:
    """Be the process of a job: its output to files, its step armed, then the command line."""
    for number, mode, path in (
        (0, os.O_RDONLY, os.devnull),
        (1, os.O_WRONLY, job["out"]),
        (2, os.O_WRONLY, job["err"]),
    ):
        descriptor = os.open(path, mode | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if job.get("painted"):
        numbered.install()
    if job.get("arm"):
        arm(**job["arm"])
    if job.get("count"):
        count_all(job["count"])
    import_module(f"{PACKAGE}.cli").main(job["arguments"], prog_name="face-organizer")


def serve() -> None:
    """Fork a process for each line of stdin, and tell how it ended: {"code": exit code, negative for a signal}."""
    for line in iter(sys.stdin.readline, ""):
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            live(job)  # its SystemExit ends this process, as it ends the real one
            return
        print(json.dumps({"code": end_of(pid, job["within_s"])}), flush=True)  # noqa: T201 - the answer


def end_of(pid: int, within_s: float) -> int:
    """Wait for a process, and kill it if it takes longer."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], within_s)[0]:
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    for module in IMPORTED:
        import_module(module)
    if len(sys.argv) > 1:
        at, when_, nth_, dashes, *rest = sys.argv[1:]
        assert dashes == "--", "usage: mortal.py STEP before|after N -- COMMAND..."
        arm(at, when_, int(nth_), told=f"/tmp/mortal-{time.time_ns()}")
        import_module(f"{PACKAGE}.cli").main(rest, prog_name="face-organizer")
    else:
        serve()
