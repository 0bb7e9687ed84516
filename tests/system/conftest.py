"""What every test on the real process may ask for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from lab import UNIT, Lab, booted
from process import COMMAND, Daemon

from face_organizer.demo import vary_people, write_demo_images
from face_organizer.errors import FaceOrganizerError


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def begin(*arguments: str | Path, command: Sequence[str] = COMMAND) -> Daemon:
        daemons.append(Daemon(*arguments, command=command))
        return daemons[-1]

    yield begin
    for daemon in daemons:
        daemon.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real faces as files, made once. Their names begin with their person: PERSON_NN.jpg."""
    folder = tmp_path_factory.mktemp("faces")
    try:
        for number, (person, image) in enumerate(vary_people(seed=1)):
            image.save(folder / f"p{person}_{number:02}.jpg", quality=92)
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine with our service installed; skips where none can be had."""
    with booted(tmp_path_factory.mktemp("lab")) as machine:
        yield machine


@pytest.fixture
def running(lab: Lab) -> Iterator[Lab]:
    lab.start()
    yield lab
    lab.run("systemctl", "stop", UNIT)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real faces."""
    folder = tmp_path_factory.mktemp("demo") / "images"
    try:
        write_demo_images(folder, seed=4)
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    return folder
