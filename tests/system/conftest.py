"""What every test on the real process may ask for."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from process import Daemon

from face_organizer.demo import vary_people
from face_organizer.errors import FaceOrganizerError


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def begin(*arguments: str | Path, within: Sequence[str] = ()) -> Daemon:
        daemons.append(Daemon(*arguments, within=within))
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
