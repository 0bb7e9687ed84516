"""The inbox and its follower together, on a real folder with real events, around the moment of their start."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from support import Notes, wait_until

from face_organizer.adapters.inbox import FolderInbox
from face_organizer.pipeline.ingest import Ingest, Patience
from face_organizer.types import ImageRef, Signature

SEEDS = 20
FILES = 500
WRITING_S = 0.15
"""The follower starts at a random moment of it."""


class Following:
    """An inbox, its follower, and a truth that remembers what was submitted."""

    def __init__(self, root: Path) -> None:
        self.times: Counter[str] = Counter()
        self._truth: dict[Path, Signature] = {}
        self._inbox = FolderInbox(root, Notes())
        patience = Patience(settle_s=0.02, rescan_s=0.5, poll_s=0.5, unfinished_grace_s=60, prune_empty_s=60)
        self._ingest = Ingest(self._inbox, self._known, self._submit, Notes(), monotonic, patience)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ingest.run, args=(self._stop,))

    def start(self) -> None:
        self._inbox.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._inbox.stop()

    def _known(self, path: Path, signature: Signature) -> bool:
        return self._truth.get(path) == signature

    def _submit(self, ref: ImageRef) -> None:
        """As the pipeline does: what was caught between its making and its writing gets another look."""
        if ref.path.lstat().st_size == ref.signature.size_bytes and ref.path.read_text() == ref.path.name:
            self.times[ref.path.name] += 1
            self._truth[ref.path] = ref.signature
        else:
            assert self._ingest.postpone(ref, "not written yet")
        self._ingest.done([ref])


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    following = Following(tmp_path)
    yield following
    following.stop()


def write(root: Path, seed: int) -> None:
    """FILES files at random moments, in random folders and in one of the ways in which files arrive."""
    dice, pause = random.Random(seed), threading.Event()
    moments_s = sorted(dice.uniform(0, WRITING_S) for _ in range(FILES))
    began = monotonic()
    for number, moment_s in enumerate(moments_s):
        pause.wait(max(0.0, began + moment_s - monotonic()))
        folder = root.joinpath(*(str(dice.randrange(5)) for _ in range(dice.randrange(3))))
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{number}.jpg"
        if dice.random() < 0.5:
            (folder / name).write_text(name)
        else:
            (folder / f"{name}.part").write_text(name)
            (folder / f"{name}.part").rename(folder / name)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_written_around_the_start_is_taken_in_once(tmp_path: Path, following: Following, seed: int) -> None:
    writer = threading.Thread(target=write, args=(tmp_path, seed))
    writer.start()
    threading.Event().wait(random.Random(-1 - seed).uniform(0, WRITING_S))

    following.start()
    writer.join()

    wait_until(lambda: len(following.times) == FILES, 30, lambda: len(following.times))
    assert set(following.times.values()) == {1}
