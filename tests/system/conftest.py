"""What every test on the real process may ask for."""

from __future__ import annotations

import io
import itertools
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, booted
from PIL import Image
from process import COMMAND, Daemon, organizer
from survival import NESTS, SETTINGS, Nest, World, assert_all_is_well, other_file_system, sorting_of

from face_organizer.demo import GROUP, locate, vary_people, write_demo_images
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


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


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


# worlds that are disturbed and undisturbed ones: see survival.py


@pytest.fixture(scope="module")
def nests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Nest]]:
    nests = [Nest(tmp_path_factory.mktemp("nest")) for _ in range(NESTS)]
    yield nests
    for nest in nests:
        nest.close()


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nest]:
    """One, for painted pictures."""
    nest = Nest(tmp_path_factory.mktemp("nest"), painted=True)
    yield nest
    nest.close()


@pytest.fixture(scope="session")
def small_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file."""
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="session")
def dropped(faces: list[Path]) -> dict[str, bytes]:
    """Three people well apart, in folders of their own; two of them in a group; a twin; no face; half a file."""
    inbox: dict[str, bytes] = {}
    for person in ("p0", "p2", "p7"):
        mine = [path for path in faces if path.name.startswith(person)][:3]
        inbox |= {f"album/{person}/{path.name}": path.read_bytes() for path in mine}
    first, *_, last = inbox.values()
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 90, 90)).save(grey, "png")
    inbox |= {"album/twin.jpg": first, "half.jpg": last[: len(last) // 2], "grey.png": grey.getvalue()}
    return inbox | {"group.jpg": locate(GROUP).read_bytes()}


@pytest.fixture
def new_world(dropped: dict[str, bytes], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world with everything dropped, its inbox on another file system if that is wanted."""
    elsewhere: list[Path] = []
    numbers = itertools.count()

    def make(placement: str, two_file_systems: bool = False) -> World:
        folder = tmp_path / f"world{next(numbers)}"
        inbox = folder / "inbox"
        if two_file_systems:
            other = other_file_system(tmp_path)
            if other is None:
                pytest.skip("there is no second file system to write to")
            elsewhere.append(other)
            inbox = other / "inbox"
        world = World(inbox, folder / "library", placement, dropped)
        world.drop()
        return world

    yield make
    for folder in elsewhere:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def calm(
    small_batches: Path, dropped: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, dict[str, Any]]:
    """A world that was never disturbed, and what its library says."""
    folder = tmp_path_factory.mktemp("calm")
    world = World(folder / "inbox", folder / "library", "move", dropped)
    world.drop()
    organizer(*world.run_once(small_batches))
    assert_all_is_well(world)
    says = sorting_of(world)
    assert len(says["persons"]) == 3
    assert says["files"]["group.jpg"] == 2
    return world, says


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine with our service installed; skips where none can be had."""
    with booted(tmp_path_factory.mktemp("lab")) as machine:
        yield machine


@pytest.fixture
def running(lab: Lab) -> Lab:
    """With the daemon up; it stays so for the next test."""
    lab.start()
    return lab


@pytest.fixture
def stopped(lab: Lab) -> Lab:
    lab.stop()
    return lab


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real faces."""
    folder = tmp_path_factory.mktemp("demo") / "images"
    try:
        write_demo_images(folder, seed=4)
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    return folder
