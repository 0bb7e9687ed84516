"""What becomes of the libraries of one process when one of them fails. Real ones: tests/system/test_several.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import structlog
from support import wait_until

from face_organizer.adapters.log import open_log
from face_organizer.app import libraries
from face_organizer.app.libraries import Libraries
from face_organizer.app.opening import open_existing
from face_organizer.app.serve import Watch
from face_organizer.config import Config
from face_organizer.errors import ConfigError, ModelError, StoreError
from face_organizer.pipeline.pulse import Pulses

NAMES = ("one", "two", "three")


class Open:
    """In the place of an open library."""

    def __init__(self, config: Config, *_: Any) -> None:
        self.config, self.pulses = config, Pulses()
        self.died_of: BaseException | None = None
        self.stopping: Callable[[], object] = lambda: None
        self.stopped = 0
        self.asked: list[str] = []
        self.wants_reopening, self.pack = False, config.faces.pack

    def start(self, **_: bool) -> None:
        pass

    def stop(self, within_s: float) -> None:
        self.stopped += 1
        self.stopping()

    def failure(self) -> BaseException | None:
        return self.died_of

    def reload(self, config: Config) -> None:
        self.config = config

    def request_recluster(self, reason: str) -> None:
        self.asked.append(reason)


@pytest.fixture
def told() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Any]) -> Libraries:
    monkeypatch.setattr(libraries, "open_organizer", Open)
    found = Libraries(structlog.get_logger())
    found.start(wanted(tmp_path, *NAMES))
    return found


def wanted(folder: Path, *names: str) -> dict[str, Config]:
    return {name: Config(inbox=str(folder / name / "in"), library=str(folder / name / "out")) for name in names}


def opened(house: Libraries, name: str) -> Open:
    found = house.open[name]
    assert isinstance(found, Open)
    return found


def go_on(house: Libraries, until: Callable[[], bool]) -> None:
    def step() -> bool:
        house.step()
        return until()

    wait_until(step)


def test_one_whose_truth_is_in_danger_is_closed_alone_until_it_is_wanted_again(
    three: Libraries, tmp_path: Path, told: list[Any]
) -> None:
    one = opened(three, "one")
    one.died_of = StoreError("its disk is gone")

    go_on(three, lambda: set(three.open) == {"two", "three"} and bool(three.lost))

    assert one.stopped == 1
    assert "its disk is gone" in three.lost["one"]
    (line,) = [line for line in told if line["event"] == "library_closed"]
    assert (line["library"], line["log_level"], line["problem"]) == ("one", "error", "its disk is gone")
    three.step()
    assert "one" not in three.open

    three.want(wanted(tmp_path, *NAMES))
    go_on(three, lambda: "one" in three.open)

    assert three.lost == {}
    assert opened(three, "two").stopped == 0
    wait_until(lambda: opened(three, "one").asked == opened(three, "two").asked == ["hangup"])
    three.stop(1.0)


def test_when_the_last_one_is_lost_the_process_stops_with_its_error(three: Libraries) -> None:
    for name in NAMES:
        opened(three, name).died_of = StoreError(name)

    with pytest.raises(StoreError, match="three"):
        go_on(three, lambda: False)

    three.stop(1.0)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ModelError("the networks are broken")])
def test_a_bug_and_what_all_of_them_share_stop_the_process(three: Libraries, error: Exception) -> None:
    opened(three, "two").died_of = error

    with pytest.raises(type(error)):
        three.step()

    three.stop(1.0)
    assert all(opened(three, name).stopped == 1 for name in NAMES)


def test_one_whose_own_networks_are_broken_keeps_no_other_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    class Broken(Open):
        def start(self, **_: bool) -> None:
            if "/two/" in self.config.library or not works:
                raise ModelError(f"the networks of {self.config.library} are broken")

    works = True
    monkeypatch.setattr(libraries, "open_organizer", Broken)
    house = Libraries(structlog.get_logger())

    house.start(wanted(tmp_path, *NAMES))

    assert set(house.open) == {"one", "three"}
    assert "are broken" in house.lost["two"]
    house.stop(1.0)
    works = False
    with pytest.raises(ModelError, match="one"):
        Libraries(structlog.get_logger()).start(wanted(tmp_path, *NAMES))


def test_all_are_stopped_at_the_same_time(three: Libraries) -> None:
    together = Barrier(3)
    for name in NAMES:
        opened(three, name).stopping = lambda: together.wait(5)

    three.stop(1.0)

    assert not together.broken


def test_what_dies_while_it_is_closed_is_told_after_all_have_stopped(three: Libraries) -> None:
    def fall() -> None:
        raise RuntimeError("a bug")

    opened(three, "one").stopping = fall

    with pytest.raises(RuntimeError):
        three.stop(1.0)

    assert all(opened(three, name).stopped == 1 for name in NAMES)


def test_a_thread_that_hangs_is_logged_with_its_library(three: Libraries, told: list[Any]) -> None:
    now = 0.0
    opened(three, "two").pulses = pulses = Pulses(lambda: now)
    pulses.begin("see-0").beat()
    watch = Watch(three, structlog.get_logger(), hung_after_s=60.0)
    assert watch.all_get_on()
    now = 3 * 3600.0

    assert not watch.all_get_on()

    (line,) = [line for line in told if line["event"] == "thread_hung"]
    assert (line["library"], line["thread"]) == ("two", "see-0")
    three.stop(1.0)


def test_folders_inside_one_another_are_refused_before_anything_is_closed(three: Libraries, tmp_path: Path) -> None:
    nested = wanted(tmp_path, "one") | wanted(tmp_path / "one" / "in", "four")

    with pytest.raises(ConfigError, match="must not lie inside one another"):
        three.want(nested)

    three.step()
    assert set(three.open) == set(NAMES)
    three.stop(1.0)


def test_a_library_of_somebody_else_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_dir", denied)  # where tests run as root, nothing is refused
    with pytest.raises(StoreError, match="by its owner only"):
        open_existing(tmp_path, open_log("auto", "warning"))
