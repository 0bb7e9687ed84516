"""Several libraries, questions, and devices that may fail, on one engine. Devices are functions here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import Notes, wait_until

from face_organizer.errors import DeviceError, ItemError, ModelError
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.engine import Device, Engine
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.pipeline.meter import SAMPLE_S, WINDOW
from face_organizer.types import DecodedImage, ImageRef, SeenImage, Signature

Images = list[DecodedImage]
PIXELS = np.zeros((1, 1, 3), np.uint8)


class Eyes:
    """A worker of a device that sees nothing; it keeps the names of what it saw, batch by batch."""

    def __init__(self, act: Callable[[list[str]], object] = lambda names: None) -> None:
        self.batches: list[list[str]] = []
        self._act = act

    def __call__(self, images: Images) -> list[SeenImage]:
        names = [image.ref.path.name for image in images]
        self.batches.append(names)
        self._act(names)
        return [SeenImage(image.ref, image.digest, 1, 1, ()) for image in images]

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


def image(name: str) -> DecodedImage:
    return DecodedImage(ImageRef(Path(name), Signature(0, 0, 0)), b"", PIXELS, 1, 1)


def pictures(prefix: str, count: int) -> Images:
    return [image(f"{prefix}{number}") for number in range(count)]


class Hall:
    """An engine, and libraries that use it; all is stopped at the end."""

    def __init__(self) -> None:
        self.log = Notes()
        self.engine: Engine
        self.pipelines: list[Pipeline] = []

    def open(self, *devices: Device, batch_max: int = 4, linger_s: float = 0.001) -> Engine:
        self.engine = Engine(lambda: devices, batch_max=batch_max, linger_s=linger_s, log=self.log)
        self.engine.start()
        return self.engine

    def library(self, out: list[Any], before: Callable[[Images], Images] = list, in_flight_max: int = 64) -> Pipeline:
        stages = [Stage("decode", (before,)), Stage("see", lane=self.engine.lane())]
        pipeline = Pipeline(stages, out.extend, 8, 0.001, lambda item, error: str(error), in_flight_max)
        self.pipelines.append(pipeline)
        pipeline.start()
        return pipeline

    def end(self) -> None:
        for pipeline in self.pipelines:
            if pipeline.failure is None:
                pipeline.abort()
        self.engine.stop()


@pytest.fixture
def hall() -> Iterator[Hall]:
    before = set(threading.enumerate())
    made = Hall()
    yield made
    made.end()

    def left() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread not in before]

    wait_until(lambda: not left(), explain=left)  # those of a pipeline that failed are joined by nobody


def names_of(out: list[Any]) -> list[str]:
    return [one if isinstance(one, str) else one.ref.path.name for one in out]


def submit(pipeline: Pipeline, images: Images) -> None:
    for each in images:
        pipeline.submit(each)


def dies(device: str, on: Callable[[list[str]], bool] = lambda names: True) -> Eyes:
    def act(names: list[str]) -> None:
        if on(names):
            raise DeviceError(f"{device}: out of order")

    return Eyes(act)


def survives(hall: Hall) -> Eyes:
    """Leaves the first work to the others, until one of them has been retired."""
    return Eyes(lambda names: wait_until(lambda: bool(hall.log.of("device_retired"))))


def test_work_spreads_over_devices_and_comes_out_in_order(hall: Hall) -> None:
    eyes = [Eyes(lambda names: threading.Event().wait(0.002)) for _ in range(3)]
    hall.open(Device("cpu:0", eyes[:1]), Device("cpu:1", eyes[1:]))
    out: list[Any] = []

    pipeline = hall.library(out)
    submit(pipeline, pictures("", 100))
    pipeline.close()

    assert names_of(out) == [str(number) for number in range(100)]
    assert all(each.batches for each in eyes)
    assert sorted(map(int, eyes[0].names + eyes[1].names + eyes[2].names)) == list(range(100))
    assert max(len(batch) for each in eyes for batch in each.batches) <= 4


def test_a_library_with_few_images_does_not_wait_for_all_of_one_with_many(hall: Hall) -> None:
    gate, eyes = threading.Event(), Eyes(lambda names: gate.wait())
    hall.open(Device("cpu", [eyes]))
    much, little = hall.library([]), hall.library([])
    submit(much, pictures("much", 20))
    wait_until(lambda: much.queues()["see"] == 8)
    submit(little, pictures("little", 3))
    wait_until(lambda: little.queues()["see"] == 3)

    gate.set()
    much.close()
    little.close()

    assert sum(name.startswith("little") for name in eyes.names[4:10]) == 3


def test_libraries_take_turns_also_where_a_batch_ends(hall: Hall) -> None:
    gate, eyes = threading.Event(), Eyes(lambda names: gate.wait())
    hall.open(Device("cpu", [eyes]), batch_max=1)
    libraries = [hall.library([]) for _ in range(3)]
    for prefix, pipeline in zip("abc", libraries, strict=True):
        submit(pipeline, pictures(prefix, 3))
    wait_until(lambda: sum(pipeline.queues()["see"] for pipeline in libraries) >= 5)

    gate.set()
    for pipeline in libraries:
        pipeline.close()

    assert all(one[0] != other[0] for one, other in zip(eyes.names[1:4], eyes.names[2:5], strict=True))


def test_a_slow_library_does_not_hold_up_another(hall: Hall) -> None:
    hall.open(Device("cpu", [Eyes()]))
    gate, out = threading.Event(), []
    stages = [Stage("see", lane=hall.engine.lane())]
    stuck = Pipeline(stages, lambda batch: gate.wait() and None, 1, 0.0, lambda item, error: "", in_flight_max=40)
    stuck.start()
    submit(stuck, pictures("a", 40))

    pipeline = hall.library(out)
    submit(pipeline, pictures("b", 20))
    pipeline.close()

    assert len(out) == 20
    gate.set()
    stuck.close()


def test_an_image_that_is_refused_before_or_in_the_engine_keeps_its_place(hall: Hall) -> None:
    def refuses(batch: Images) -> Images:
        if "2" in [each.ref.path.name for each in batch]:
            raise ItemError("no 2")
        return batch

    def unlucky(names: list[str]) -> None:
        if "5" in names:
            raise ItemError("no 5")

    hall.open(Device("cpu", [Eyes(unlucky)]))
    out: list[Any] = []

    pipeline = hall.library(out, refuses)
    submit(pipeline, pictures("", 8))
    pipeline.close()

    assert names_of(out) == ["0", "1", "no 2", "3", "4", "no 5", "6", "7"]


def test_a_device_that_dies_hands_its_batch_back_and_the_rest_go_on(hall: Hall) -> None:
    hall.open(Device("cuda:0", [dies("cuda:0")]), Device("cuda:1", [survives(hall)]))
    out: list[Any] = []

    pipeline = hall.library(out)
    submit(pipeline, pictures("", 50))
    pipeline.close()

    assert names_of(out) == [str(number) for number in range(50)]
    (told,) = hall.log.of("device_retired")
    assert (told["device"], told["cause"], told["left"]) == ("cuda:0", "cuda:0: out of order", ["cuda:1"])
    assert hall.engine.name == "cuda:1"


def test_all_workers_of_a_device_end_with_it(hall: Hall) -> None:
    gate = threading.Event()
    slow = Eyes(lambda names: gate.wait())
    hall.open(Device("cuda:0", [slow, dies("cuda:0", lambda names: gate.is_set())]), Device("cuda:1", [Eyes()]))
    out: list[Any] = []
    pipeline = hall.library(out)
    submit(pipeline, pictures("a", 10))

    gate.set()
    while not hall.log.of("device_retired"):
        submit(pipeline, pictures("b", 1))
    pipeline.wait_empty()
    before = len(slow.names)
    submit(pipeline, pictures("c", 30))
    pipeline.close()

    assert len(slow.names) == before
    assert len(hall.log.of("device_retired")) == 1


def test_with_no_device_left_everybody_hears_why(hall: Hall) -> None:
    hall.open(Device("cuda:0", [dies("cuda:0")]), Device("cuda:1", [dies("cuda:1", lambda names: "0" not in names)]))
    pipelines = [hall.library([]), hall.library([])]
    submit(pipelines[0], pictures("", 8))

    for pipeline in pipelines:
        with pytest.raises(ModelError, match=r"no device is left for the networks: cuda:.* out of order"):
            pipeline.wait_empty(5)
        with pytest.raises(ModelError):
            pipeline.close()
    with pytest.raises(ModelError, match="no device is left"):
        hall.engine.see(pictures("", 1))


def test_what_the_last_device_failed_at_is_named(hall: Hall) -> None:
    hall.open(Device("cuda:0", [dies("cuda:0", lambda names: "pic7" in names)]), batch_max=8, linger_s=5.0)
    pipeline = hall.library([])
    submit(pipeline, pictures("pic", 8))

    with pytest.raises(ModelError, match=r"out of order \(at 'pic0', 'pic1', 'pic2' and 5 more\)$"):
        pipeline.wait_empty(10)


def test_an_image_that_brings_down_two_devices_is_named_and_spares_the_third(hall: Hall) -> None:
    devices = [Device(f"cuda:{n}", [dies(f"cuda:{n}", lambda names: "poison" in names)]) for n in range(3)]
    hall.open(*devices)
    pipeline = hall.library([])
    submit(pipeline, [*pictures("", 3), image("poison"), *pictures("x", 3)])

    with pytest.raises(ModelError, match="'poison' brought down 2 devices"):
        pipeline.wait_empty(5)

    assert len(hall.log.of("device_retired")) == 2


def test_a_question_is_answered_beside_a_busy_library(hall: Hall) -> None:
    hall.open(Device("cpu", [Eyes(lambda names: threading.Event().wait(0.002))]))
    out: list[Any] = []
    pipeline = hall.library(out, in_flight_max=512)
    feeder = threading.Thread(target=submit, args=(pipeline, pictures("", 400)))
    feeder.start()
    wait_until(lambda: len(out) > 0)

    seen = hall.engine.see(pictures("q", 3))
    left = 400 - len(out)

    assert names_of(seen) == ["q0", "q1", "q2"]
    assert left > 100
    feeder.join()
    pipeline.close()


def test_a_bug_reaches_who_brought_the_image_and_nobody_else(hall: Hall) -> None:
    def act(names: list[str]) -> None:
        if "bug" in names:
            raise ZeroDivisionError("bug")

    hall.open(Device("cpu", [Eyes(act)]), linger_s=0.05)
    out: list[Any] = []
    well, ill = hall.library(out), hall.library([])
    submit(well, pictures("", 2))
    submit(ill, [image("bug")])

    with pytest.raises(ZeroDivisionError):
        ill.wait_empty(5)
    with pytest.raises(ZeroDivisionError):
        hall.engine.see([image("bug")])
    submit(well, pictures("", 2))
    well.close()

    assert len(out) == 4
    assert hall.log.of("device_retired") == []


def test_a_library_that_is_aborted_leaves_the_others_alone(hall: Hall) -> None:
    hall.open(Device("cpu", [Eyes(lambda names: threading.Event().wait(0.001))]))
    out: list[Any] = []
    gone, stays = hall.library([]), hall.library(out)
    submit(gone, pictures("a", 40))
    submit(stays, pictures("b", 40))

    gone.abort()
    stays.close()

    assert names_of(out) == [f"b{number}" for number in range(40)]
    with pytest.raises(Cancelled):
        gone.submit(image("late"))


def test_figures_say_what_each_device_has_done_and_whether_it_still_does(hall: Hall) -> None:
    hall.open(
        Device("cuda:0", [dies("cuda:0")]), Device("cuda:1", [survives(hall)], notices=("cuda:2 is not used: broken",))
    )
    pipeline = hall.library([])
    submit(pipeline, pictures("", 20))
    pipeline.close()

    ill, well = hall.engine.figures()

    assert (ill["device"], ill["state"], ill["working"], ill["images"]) == ("cuda:0", "retired", 0, 0)
    assert (well["device"], well["state"], well["working"], well["images"]) == ("cuda:1", "working", 1, 20)
    assert well["images_per_s"] > 0
    assert 0 < well["batch_fill"] <= 1
    assert hall.engine.notices() == ["cuda:2 is not used: broken", "cuda:0 was retired: cuda:0: out of order"]


class Minutes:
    """An event that is never set until so many samples were taken, whose waits take no time."""

    def __init__(self, minutes: int) -> None:
        self.left = minutes * WINDOW

    def wait(self, within_s: float) -> bool:
        assert within_s == SAMPLE_S
        self.left -= 1
        return self.left < 0


def test_every_minute_in_which_something_was_seen_the_log_has_the_figures_of_each_device(hall: Hall) -> None:
    asked: list[str] = []

    def gauge(name: str) -> dict[str, float]:
        asked.append(name)
        return {"utilisation_percent": 87, "temperature_c": 64} if name == "cuda:0" else {}

    devices = [Device("cuda:0", [Eyes()]), Device("cpu", [Eyes()])]
    hall.engine = Engine(lambda: devices, batch_max=4, linger_s=0.001, log=hall.log, gauge=gauge)
    hall.engine.start()
    hall.engine._measure(Minutes(1))  # type: ignore[arg-type]
    assert hall.log.of("devices") == []
    pipeline = hall.library([])
    submit(pipeline, pictures("", 40))
    pipeline.close()

    hall.engine._measure(Minutes(3))  # type: ignore[arg-type]

    lines = hall.log.of("devices")
    seen = [device.name for device in devices if device.meter.figures()["images"]]
    assert [line["device"] for line in lines] == seen
    assert sum(line["images"] for line in lines) == 40
    for line in lines:
        assert line["images_per_s"] > 0
        assert 0 < line["batch_fill"] <= 1
        assert ("temperature_c" in line) == (line["device"] == "cuda:0")


def test_an_empty_lane_is_a_lane(hall: Hall) -> None:
    assert hall.open(Device("cpu", [Eyes()])).lane()


def test_an_engine_that_was_never_started_stops_too(hall: Hall) -> None:
    hall.engine = Engine(list, batch_max=1, linger_s=0.0, log=hall.log)

    assert hall.engine.name == "none"


def test_a_single_image_and_a_single_question_are_not_lingered_over(hall: Hall) -> None:
    eyes, out = Eyes(), list[Any]()
    engine = hall.open(Device("one", [eyes]), linger_s=60.0)

    hall.library(out).submit(image("alone"))

    wait_until(lambda: len(out) == 1)
    assert len(engine.see(pictures("asked", 1))) == 1
