"""The process: signals, the main loop, what systemd and the terminal hear. Signals only set flags.

Room:    app (wires)
Imports: errors, ports, config, adapters, pipeline, organizer, libraries, stdlib
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import FrameType
from typing import Any

from face_organizer.adapters.log import flush_log
from face_organizer.adapters.log import open_log as open_log
from face_organizer.adapters.systemd import notify, watchdog_period_s
from face_organizer.app.libraries import Libraries
from face_organizer.app.organizer import Organizer
from face_organizer.config import Config
from face_organizer.errors import ConfigError, FaceOrganizerError
from face_organizer.pipeline.pulse import Hung
from face_organizer.pipeline.service import Service
from face_organizer.ports import Log

TICK_S = 0.1
EXTEND_S = 60
"""For so long systemd is asked to wait, again and again, while the start gets on."""

Wanted = Mapping[str, Config]
"""The libraries to serve, by name; see config_file.load_libraries."""

Tick = Callable[["Progress"], None]


class Signals:
    """What the outside asked for. stop: SIGTERM or SIGINT, the second one ends the process at once; hup: SIGHUP.

    Plain flags, looked at every TICK_S. Setting a threading.Event in a handler can deadlock: the handler runs in the
    main thread, which may just hold that Event's own lock in wait().
    """

    def __init__(self) -> None:
        self.stop = self.hup = False
        self._never = Event()

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self.hup = True
        elif self.stop:
            raise KeyboardInterrupt
        else:
            self.stop = True

    def wait(self, for_s: float) -> None:
        self._never.wait(for_s)


@contextmanager
def handling_signals() -> Iterator[Signals]:
    """Catch SIGTERM, SIGINT and SIGHUP from the first line on: a HUP during start-up must not kill."""
    signals = Signals()
    before = {
        number: signal.signal(number, signals.handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """Says whether all threads get on, and logs each that does not, once for each standstill."""

    def __init__(self, libraries: Libraries, log: Log, hung_after_s: float) -> None:
        self._libraries, self._log, self._hung_after_s = libraries, log, hung_after_s
        self._told: dict[tuple[str, str, float], Hung] = {}

    def all_get_on(self) -> bool:
        hung = {
            (name, each.thread, each.since): each
            for name, pulses in self._libraries.all_pulses()
            for each in pulses.hung(self._hung_after_s)
        }
        for standstill, each in hung.items():
            if standstill not in self._told:
                whose = _whose(standstill[0])
                self._log.error("thread_hung", thread=each.thread, seconds=each.seconds, stack=each.stack, **whose)
        for standstill, each in self._told.items():
            if standstill not in hung:
                self._log.warning("thread_gets_on", thread=each.thread, **_whose(standstill[0]))
        self._told = hung
        return not hung


def _whose(library: str) -> dict[str, str]:
    return {"library": library} if library else {}


@contextmanager
def starting(libraries: Libraries, watch: Watch) -> Iterator[None]:
    """While the calling thread gets on with the start, systemd waits for it, also beyond TimeoutStartSec=."""

    def extend(stop: Event) -> None:
        while True:
            if watch.all_get_on():
                notify(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}", "STATUS=opening the library")
            if stop.wait(EXTEND_S / 3):
                return

    telling = Service("starting", extend)
    telling.start()
    try:
        with libraries.pulses.watching("main"):
            yield
    finally:
        telling.stop()


def run_daemon(wanted: Wanted, log: Log, reload: Callable[[], Wanted]) -> None:
    """Serve until SIGTERM. reload() reads the configuration again. Raises what killed a thread."""
    try:
        _run_daemon(wanted, log, reload)
    except FaceOrganizerError:
        raise  # its sentence is told by the command line
    except Exception:
        log.error("crashed", exc_info=True)
        raise


def _run_daemon(wanted: Wanted, log: Log, reload: Callable[[], Wanted]) -> None:
    flow = shared(wanted).flow
    libraries = Libraries(log)
    watch = Watch(libraries, log, flow.hung_after_s)
    with handling_signals() as signals:
        with starting(libraries, watch):
            libraries.start(wanted)
        try:
            notify("READY=1", f"STATUS={libraries.line()}")
            _serve(libraries, signals, log, reload, watch)
        finally:
            log.info("stopping")
            notify("STOPPING=1")
            libraries.stop(flow.stop_within_s)
            log.info("stopped")


def _serve(libraries: Libraries, signals: Signals, log: Log, reload: Callable[[], Wanted], watch: Watch) -> None:
    """The main loop. systemd hears that all is well only while every thread gets on."""
    period_s = watchdog_period_s()
    next_ping = next_status = 0.0
    while not signals.stop:
        signals.wait(TICK_S)
        libraries.step()
        if signals.hup:
            signals.hup = False
            _reload(libraries, log, reload)
        if watch.all_get_on() and period_s is not None and monotonic() >= next_ping:
            notify("WATCHDOG=1")
            next_ping = monotonic() + period_s / 3
        if monotonic() >= next_status:
            notify(f"STATUS={libraries.line()}")
            flush_log()
            next_status = monotonic() + 5


def shared(wanted: Wanted) -> Config:
    """The settings that all libraries have in common, and one's own."""
    return next(iter(wanted.values()))


def _reload(libraries: Libraries, log: Log, reload: Callable[[], Wanted]) -> None:
    """Have what can be applied applied; a broken configuration leaves the old one in force."""
    try:
        wanted = reload()
        libraries.want(wanted)
    except ConfigError as error:
        log.error("config_refused", problem=f"{error}; the settings of before stay in force")
        return
    open_log(shared(wanted).log.format, shared(wanted).log.level)


class Progress:
    """How far the libraries are, together."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries

    @property
    def taken_in(self) -> int:
        return sum(each.taken_in for each in self._libraries.open.values())

    def waiting_in_inbox(self) -> int:
        return sum(each.waiting_in_inbox() for each in self._libraries.open.values())


Summary = dict[str, Any]
COUNTED = ("images", "faces", "persons", "outliers", "no_face", "quarantined", "duplicates")


def run_once(wanted: Wanted, log: Log, tick: Tick) -> tuple[dict[str, Summary], int]:
    """Take in what is in the inboxes, cluster, place. tick() is called now and then.

    Returns the counts of each library by its name, without those that were lost on the way, and the exit code.
    """
    started = monotonic()
    for config in wanted.values():
        if not config.inbox_path.is_dir():
            raise ConfigError(f"there is no inbox {config.inbox_path}: nothing to sort")
    flow = shared(wanted).flow
    libraries = Libraries(log, once=True)
    watch = Watch(libraries, log, flow.hung_after_s)
    ends: dict[str, _End] = {}
    with handling_signals() as signals:
        libraries.start(wanted)
        try:
            settled = _until_settled(libraries, signals, tick, watch)
            for name, organizer in libraries.open.items():
                if name in settled:
                    _recluster(organizer)
            settled = _until_settled(libraries, signals, tick, watch) if settled else settled
            for name, organizer in libraries.open.items():
                if name in settled:
                    organizer.prune_inbox()
                ends[name] = _End(organizer, settled=name in settled)
        finally:
            libraries.stop(flow.stop_within_s)
    seconds = round(monotonic() - started, 3)
    for name, end in ends.items():
        end.tell(libraries.log_of(name), seconds)
    well = not libraries.lost and all(end.is_well for end in ends.values())
    return {name: end.counts | {"seconds": seconds} for name, end in ends.items()}, 0 if well else 1


class _End:
    """What a library looked like when there was nothing left to do."""

    def __init__(self, organizer: Organizer, *, settled: bool) -> None:
        status = organizer.status.answer()
        self.counts: Summary = {key: status[key] for key in COUNTED}
        self.is_well = settled and not status["problems"]
        self._problems = organizer.status.problems()
        self._left, self._lack = organizer.waiting_in_inbox(), organizer.out_of_room()

    def tell(self, log: Log, seconds: float) -> None:
        log.info("stopped", **self.counts, seconds=seconds)
        if self._lack:
            log.error("no_room", left_in_inbox=self._left, problem=self._lack)
        for problem in self._problems:
            log.error("not_placed", problem=problem)


def _recluster(organizer: Organizer) -> None:
    try:
        organizer.recluster("once")
    except FaceOrganizerError:
        if organizer.failure() is None:
            raise  # else the next step of the libraries says what happened


def _until_settled(libraries: Libraries, signals: Signals, tick: Tick, watch: Watch) -> set[str]:
    """Wait until nothing is left to do, or can be done for want of room, or somebody asks to stop: who is through."""
    while not signals.stop:
        libraries.step()
        watch.all_get_on()
        stuck = {name for name, each in libraries.open.items() if each.out_of_room()}
        settled = {name for name, each in libraries.open.items() if each.settled()} - stuck
        if stuck | settled >= libraries.open.keys():
            return settled
        tick(Progress(libraries))
        signals.wait(0.05)
    return set()
