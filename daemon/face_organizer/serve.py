"""The process: signals, the main loop, what systemd and the terminal hear. Signals only set flags.

Room:    app (wires)
Imports: errors, ports, config, adapters, pipeline, app, door, opening, stdlib
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import FrameType
from typing import Any

import msgspec

from face_organizer.adapters.log import flush_log
from face_organizer.adapters.log import open_log as open_log
from face_organizer.adapters.systemd import notify, watchdog_period_s
from face_organizer.app import Organizer
from face_organizer.config import Config, changes
from face_organizer.door import Door
from face_organizer.errors import ConfigError, FaceOrganizerError
from face_organizer.opening import open_organizer
from face_organizer.pipeline.flow import Service
from face_organizer.pipeline.pulse import Hung, Pulses
from face_organizer.ports import Log

TICK_S = 0.1
EXTEND_S = 60
"""For so long systemd is asked to wait, again and again, while the start gets on."""

Tick = Callable[[Organizer], None]


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

    def __init__(self, pulses: Pulses, log: Log, hung_after_s: float) -> None:
        self._pulses, self._log, self._hung_after_s = pulses, log, hung_after_s
        self._told: dict[tuple[str, float], Hung] = {}

    def all_get_on(self) -> bool:
        hung = {(each.thread, each.since): each for each in self._pulses.hung(self._hung_after_s)}
        for standstill, each in hung.items():
            if standstill not in self._told:
                self._log.error("thread_hung", thread=each.thread, seconds=each.seconds, stack=each.stack)
        for standstill, each in self._told.items():
            if standstill not in hung:
                self._log.warning("thread_gets_on", thread=each.thread)
        self._told = hung
        return not hung


@contextmanager
def starting(pulses: Pulses, watch: Watch) -> Iterator[None]:
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
        with pulses.watching("main"):
            yield
    finally:
        telling.stop()


def run_daemon(config: Config, log: Log, reload: Callable[[], Config]) -> None:
    """Serve until SIGTERM. reload() reads the configuration again. Raises what killed a thread."""
    try:
        _run_daemon(config, log, reload)
    except FaceOrganizerError:
        raise  # its sentence is told by the command line
    except Exception:
        log.error("crashed", exc_info=True)
        raise


def _run_daemon(config: Config, log: Log, reload: Callable[[], Config]) -> None:
    pulses = Pulses()
    watch = Watch(pulses, log, config.flow.hung_after_s)
    with handling_signals() as signals:
        with starting(pulses, watch):
            organizer = open_organizer(config, log, pulses)
        door: Door | None = None
        try:
            with starting(pulses, watch):
                door = Door(organizer, config, log)
                organizer.start(watching=True)
            door.start()
            log.info("ready", inbox=str(config.inbox_path), library=str(config.library_path), people=config.people)
            notify("READY=1", f"STATUS={organizer.status.line()}")
            _serve(organizer, door, signals, log, reload, watch)
        finally:
            log.info("stopping")
            notify("STOPPING=1")
            _stop(organizer, door, config.flow.stop_within_s)
            log.info("stopped")


def _stop(organizer: Organizer, door: Door | None, within_s: float) -> None:
    """First nobody comes in any more; then what came in is finished; then those who waited for that hear of it."""
    try:
        if door is not None:
            door.stop()
    finally:
        try:
            organizer.stop(within_s)
        finally:
            if door is not None:
                door.close()


def _serve(
    organizer: Organizer, door: Door, signals: Signals, log: Log, reload: Callable[[], Config], watch: Watch
) -> None:
    """The main loop. systemd hears that all is well only while every thread gets on."""
    period_s = watchdog_period_s()
    next_ping = next_status = 0.0
    while not signals.stop:
        signals.wait(TICK_S)
        _raise_failure(organizer)
        if door.failure is not None:
            raise door.failure
        if signals.hup:
            signals.hup = False
            if _reload(organizer, log, reload):
                organizer.request_recluster("hangup")
        if watch.all_get_on() and period_s is not None and monotonic() >= next_ping:
            notify("WATCHDOG=1")
            next_ping = monotonic() + period_s / 3
        if monotonic() >= next_status:
            notify(f"STATUS={organizer.status.line()}")
            flush_log()
            next_status = monotonic() + 5


def run_once(config: Config, log: Log, tick: Tick) -> tuple[dict[str, Any], int]:
    """Take in what is in the inbox, cluster, place, and return (counts, exit code). tick() is called now and then."""
    started = monotonic()
    if not config.inbox_path.is_dir():
        raise ConfigError(f"there is no inbox {config.inbox_path}: nothing to sort")
    with handling_signals() as signals:
        organizer = open_organizer(config, log)
        watch = Watch(organizer.pulses, log, config.flow.hung_after_s)
        try:
            organizer.start(watching=True, once=True)
            log.info("ready", inbox=str(config.inbox_path), library=str(config.library_path), people=config.people)
            finished = _until_settled(organizer, signals, tick, watch)
            if finished:
                organizer.recluster("once")
                finished = _until_settled(organizer, signals, tick, watch)
                organizer.prune_inbox()
            counts, left, lack = organizer.status.answer(), organizer.waiting_in_inbox(), organizer.out_of_room()
        finally:
            organizer.stop(config.flow.stop_within_s)
    keys = ("images", "faces", "persons", "outliers", "no_face", "quarantined", "duplicates")
    summary = {key: counts[key] for key in keys} | {"seconds": round(monotonic() - started, 3)}
    log.info("stopped", **summary)
    if lack:
        log.error("no_room", left_in_inbox=left, problem=lack)
    for problem in counts["problems"]:
        log.error("not_placed", problem=problem)
    return summary, 0 if finished and not counts["problems"] else 1


def _until_settled(organizer: Organizer, signals: Signals, tick: Tick, watch: Watch) -> bool:
    """Wait until nothing is left to do; False when somebody asked to stop first, or a full disk stops us."""
    while not signals.stop and not organizer.out_of_room():
        _raise_failure(organizer)
        watch.all_get_on()
        if organizer.settled():
            return True
        tick(organizer)
        signals.wait(0.05)
    return False


def _raise_failure(organizer: Organizer) -> None:
    failure = organizer.failure()
    if failure is not None:
        raise failure


def _reload(organizer: Organizer, log: Log, reload: Callable[[], Config]) -> bool:
    """Apply what can be applied; a broken configuration leaves the old one in force. Was it taken over?"""
    try:
        new = reload()
    except ConfigError as error:
        log.error("config_refused", problem=f"{error}; the settings of before stay in force")
        return False
    now, later = changes(organizer.config, new)
    open_log(new.log.format, new.log.level)
    organizer.reload(msgspec.structs.replace(organizer.config, **{key: getattr(new, key) for key in now}))
    log.info("config_reloaded", applied=sorted(now), needs_restart=sorted(later))
    return True
