"""The libraries that one process serves: opened, changed and closed while the others go on.

Room:    app (wires)
Imports: errors, ports, config, adapters, pipeline, parts, devices, organizer, door, opening, stdlib

A library whose own truth is in danger (its disk is lost, its folder was taken away, somebody else holds it) is closed,
loudly, and the others go on; SIGHUP tries it again. Where it was the last one, and after anything else that kills a
thread, the process stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from time import monotonic

import msgspec

from face_organizer.adapters.log import log_of as log_of_library
from face_organizer.app.devices import make_engine
from face_organizer.app.door import Door, refuse_taken
from face_organizer.app.opening import open_organizer
from face_organizer.app.organizer import Organizer
from face_organizer.app.parts import AUTO, with_pack
from face_organizer.config import Config, changes, check_libraries, going_on, with_inbox_of
from face_organizer.errors import AlreadyRunningError, FaceOrganizerError, ModelError
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.pulse import AT_LENGTH, Pulses, pause
from face_organizer.pipeline.service import Service
from face_organizer.ports import Log

TAKEN_FOR_S, LOOK_S = 30.0, 0.1
"""While a library is opened anew, a command may have taken it for itself: so long, and looked so often."""


class Libraries:
    """By name; a single one without a table of its own has the name "". once: see Organizer.start.

    Those that go by one model pack share an engine.

    start, want, step and stop belong to the main thread; what takes long (closing, opening) is done in another.
    pulses: of the threads that belong to no library. lost: what was closed because of what.
    """

    def __init__(self, log: Log, *, once: bool = False) -> None:
        self._log, self._once = log, once
        self._shared: Config | None = None
        self._engines: dict[str, Engine] = {}
        self._wanted: Mapping[str, Config] | None = None
        self._job: Service | None = None
        self.open: Mapping[str, Organizer] = {}
        self._doors: dict[str, Door] = {}
        self.lost: Mapping[str, str] = {}
        self.pulses = Pulses()

    # start, step, stop

    def start(self, wanted: Mapping[str, Config]) -> None:
        """Open them one after the other. Raises what the last failed with where not one can be opened."""
        check_libraries(wanted)
        self._shared = next(iter(wanted.values()))
        try:
            self._open_all(wanted, {})
        except BaseException:
            self.stop(self._shared.flow.stop_within_s)
            raise
        single = self.open.get("")
        self._log.info("ready", **(_folders(single.config) if single else {"libraries": list(self.open)}))

    def want(self, wanted: Mapping[str, Config]) -> None:
        """From the next step on, have these open, with these settings, and no others. Raises ConfigError."""
        check_libraries(wanted)
        self._wanted = wanted

    def step(self) -> None:
        """Do what there is to do; to be called again and again. Raises what must stop the process."""
        failed = {name: failure for name, each in self.open.items() if (failure := each.failure()) is not None}
        for door in list(self._doors.values()):  # another thread may be opening one
            if door.failure is not None:
                raise door.failure
        for failure in failed.values():
            if not isinstance(failure, FaceOrganizerError) or isinstance(failure, ModelError):
                raise failure
        if self._job is not None and self._job.alive():
            return
        if self._job is not None and self._job.failure is not None:
            raise self._job.failure
        if failed:
            name, failure = next(iter(failed.items()))
            if len(self.open) == 1:
                raise failure
            self._begin(lambda: self._close(name))
        else:
            self._begin_next()

    def _begin_next(self) -> None:
        """What was asked for, if anything was."""
        if due := [name for name, each in self.open.items() if each.wants_reopening]:
            self._begin(lambda: self._renew(due[0]))
        elif self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            self._begin(lambda: self._arrange(wanted))

    def stop(self, within_s: float) -> None:
        """All at once, each within so many seconds. Raises what killed a thread, if anything did."""
        if self._job is not None:
            self._job.stop()
        try:
            self._stop_all(within_s)
        finally:
            for engine in self._engines.values():
                engine.stop()

    def _stop_all(self, within_s: float) -> None:
        if len(self.open) == 1:  # in this thread: a second signal cuts it short
            self._stop_one(*next(iter(self.open.items())), within_s)
            return
        stops = [Service(f"stop {name}", self._stop_of(name, each, within_s)) for name, each in self.open.items()]
        for each in stops:
            each.start()
        for each in stops:
            each.stop()
        for each in stops:
            if each.failure is not None:
                raise each.failure

    # how they stand

    def all_pulses(self) -> list[tuple[str, Pulses]]:
        """Whose threads they are, and their pulses; "" are those of the process, and of a single library."""
        engines = [("", each.pulses) for each in list(self._engines.values())]
        return [("", self.pulses), *engines, *((name, each.pulses) for name, each in self.open.items())]

    def line(self) -> str:
        """What each does just now."""
        lines = [f"{name}: {each.status.line()}" if name else each.status.line() for name, each in self.open.items()]
        return "; ".join([*lines, *(f"{name}: closed" for name in self.lost)])

    # closing and opening

    def _begin(self, job: Callable[[], None]) -> None:
        self._job = Service("libraries", lambda _: job(), self.pulses, AT_LENGTH)
        self._job.start()

    def _arrange(self, wanted: Mapping[str, Config]) -> None:
        """Close what nobody wants any more, or wants otherwise; tell the rest; open what is missing; re-cluster all."""
        assert self._shared is not None, "start comes first"
        later = changes(self._shared, next(iter(wanted.values())))[2]
        kept = {key: getattr(self._shared, key) for key in later}
        wanted = {name: msgspec.structs.replace(config, **kept) for name, config in wanted.items()}
        before = {name: each.config for name, each in self.open.items()}
        self.lost = {name: problem for name, problem in self.lost.items() if name in wanted}
        applied: set[str] = set()
        for name, old in before.items():
            new = with_inbox_of(wanted.get(name, old), old)
            now, anew, _ = changes(old, going_on(new, old))
            applied |= now | anew
            if anew or name not in wanted:
                self._close(name)
            elif now:
                self.open[name].reload(msgspec.structs.replace(old, **{key: getattr(new, key) for key in now}))
        self._open_all(wanted, before)
        self._log.info("config_reloaded", applied=sorted(applied), needs_restart=sorted(later))
        for organizer in self.open.values():
            organizer.request_recluster("hangup")

    def _renew(self, name: str) -> None:
        """Close a library and open it by the model that it was moved to."""
        config = with_pack(self.open[name].config, AUTO)
        others = {other: each.config for other, each in self.open.items() if other != name}
        self._close(name)
        again_until = monotonic() + TAKEN_FOR_S
        while True:
            try:
                self._open_all({**others, name: config}, {})
                break
            except AlreadyRunningError:  # a command found no daemon, and has it for a moment
                if monotonic() > again_until:
                    raise
                pause(LOOK_S)
        in_use = {each.pack for each in self.open.values()}
        for pack in [pack for pack in self._engines if pack not in in_use]:
            self._engines.pop(pack).stop()

    def _engine_of(self, config: Config) -> Engine:
        """What runs the networks of a pack, for all libraries that go by it."""
        if config.faces.pack not in self._engines:
            self._engines[config.faces.pack] = make_engine(config, self._log)
        return self._engines[config.faces.pack]

    def _open_all(self, wanted: Mapping[str, Config], before: Mapping[str, Config]) -> None:
        """Open those that are not open, or as they were before if they cannot be. Raises where nothing is open then."""
        errors: dict[str, FaceOrganizerError] = {}
        for name in [name for name in wanted if name not in self.open]:
            try:
                self._open_or_reopen(name, wanted[name], before.get(name))
            except FaceOrganizerError as error:
                errors[name] = error
        if not self.open:
            raise next(iter(errors.values()))
        for name in errors:
            self._lose(name, wanted[name], errors[name])

    def _open_or_reopen(self, name: str, config: Config, before: Config | None) -> None:
        """before: the settings to go back to where it cannot be opened with the others."""
        try:
            self._open(name, config)
        except FaceOrganizerError as error:
            if before is None:
                raise
            self.log_of(name).error("config_refused", problem=f"{error}; the settings of before stay in force")
            self._open(name, before)

    def _open(self, name: str, config: Config) -> None:
        log = self.log_of(name)
        if not self._once:
            refuse_taken(config, self._free_number())
        organizer = open_organizer(config, log, Pulses(), lambda: list(self.lost.values()), self._engine_of)
        try:
            if not self._once:
                self._doors[name] = Door(organizer, config, log, self._free_number())
            organizer.start(watching=True, once=self._once)
            if name in self._doors:
                self._doors[name].start()
        except BaseException:
            self._stop_one(name, organizer, config.flow.stop_within_s)
            raise
        self.open = {**self.open, name: organizer}
        self.lost = {other: problem for other, problem in self.lost.items() if other != name}
        if name:
            log.info("library_opened", inbox=str(config.inbox_path), folder=str(config.library_path))

    def _close(self, name: str) -> None:
        """As at the end of the process. Raises what killed a thread of it, unless that was its own affair."""
        organizer = self.open[name]
        self.open = {other: each for other, each in self.open.items() if other != name}
        failure = organizer.failure()
        try:
            self._stop_one(name, organizer, organizer.config.flow.stop_within_s)
        except FaceOrganizerError as error:
            failure = failure or error
        if failure is not None:
            self._lose(name, organizer.config, failure)
        else:
            self.log_of(name).info("library_closed", folder=str(organizer.config.library_path))

    def _free_number(self) -> int:
        """The first library's door is where web.listen says, the next one's a port further on, and so forth."""
        taken = {door.number for door in self._doors.values()}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _stop_one(self, name: str, organizer: Organizer, within_s: float) -> None:
        """First nobody comes in any more; then what came in is finished; then those who waited for that hear of it."""
        door = self._doors.pop(name, None)
        try:
            if door is not None:
                door.stop()
        finally:
            try:
                organizer.stop(within_s)
            finally:
                if door is not None:
                    door.close()

    def _stop_of(self, name: str, organizer: Organizer, within_s: float) -> Callable[[Event], None]:
        return lambda _: self._stop_one(name, organizer, within_s)

    def _lose(self, name: str, config: Config, error: BaseException) -> None:
        told = f"the library {config.library_path} is closed: {error}"
        self.lost = {**self.lost, name: told}
        self.log_of(name).error("library_closed", folder=str(config.library_path), problem=str(error))

    def log_of(self, name: str) -> Log:
        """Each line of it says which library it is about, where there is more than one."""
        return log_of_library(name) if name else self._log


def _folders(config: Config) -> dict[str, str | int | None]:
    return {"inbox": str(config.inbox_path), "library": str(config.library_path), "people": config.people}
