"""The process is killed at every named step, and is as if it had never been after the next start.

What is compared is explained in survival.py, the steps in steps.py, how a process dies at one of them in mortal.py.
Thirty kills here; some hundreds in the tests marked `long`, which print how often it died where.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mortal import IMPORTED
from PIL import Image
from process import Daemon
from steps import STEPS, found
from survival import (
    Ended,
    Nest,
    World,
    assert_all_is_well,
    assert_nothing_is_lost_or_torn,
    library_of,
    other_file_system,
    side_by_side,
    sorting_of,
)

from face_organizer.demo import GROUP, locate
from face_organizer.types import STATE_FOLDER

WHENS = ("before", "after")
PLACEMENTS = ("move", "hardlink", "symlink", "copy")
NESTS = 3
PEOPLE, IMAGES_EACH = ("p0", "p2", "p7"), 3
SETTINGS = """
[watch]
settle_s = 0.02
[faces]
threads = 1
[index]
save_every_s = 0
flat_max_faces = 4
[flow]
commit_batch_max = 3
batch_max = 4
"""
"""Small batches: many transactions for few images. The index is trained early, and saved whenever it has changed."""

Moment = tuple[str, str, int]
"""Where to die: before or after the n-th call of a step."""


@pytest.fixture(scope="module")
def nests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Nest]]:
    nests = [Nest(tmp_path_factory.mktemp("nest")) for _ in range(NESTS)]
    yield nests
    for nest in nests:
        nest.close()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def dropped(faces: list[Path]) -> dict[str, bytes]:
    """Three people well apart, in folders of their own; two of them in a group; a twin; no face; half a file."""
    inbox: dict[str, bytes] = {}
    for person in PEOPLE:
        mine = [path for path in faces if path.name.startswith(person)][:IMAGES_EACH]
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


@pytest.fixture(scope="module")
def calm(
    nests: list[Nest], config: Path, dropped: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, dict[str, Any]]:
    """A world that was never disturbed, and what its library says."""
    folder = tmp_path_factory.mktemp("calm")
    world = World(folder / "inbox", folder / "library", "move", dropped)
    world.drop()
    assert nests[0].run(*world.run_once(config)).code == 0
    assert_all_is_well(world)
    says = sorting_of(world)
    assert len(says["persons"]) == len(PEOPLE)
    assert says["files"]["group.jpg"] == 2
    return world, says


def test_every_step_names_a_function_that_exists() -> None:
    for name, step in STEPS.items():
        assert callable(found(step.target)[2]), name
    assert IMPORTED


def kill(nest: Nest, world: World, moment: Moment, *command: str | Path) -> Ended:
    """Run a command until it dies at a moment, if it gets there; look whether that cost anything."""
    step, when, nth = moment
    ended = nest.run(*command, arm={"step": step, "when": when, "nth": nth})
    assert ended.code == (-9 if ended.happened else 0), (moment, ended)
    assert_nothing_is_lost_or_torn(world)
    return ended


def assert_heals(nest: Nest, world: World, config: Path, says: dict[str, Any]) -> None:
    """An undisturbed start makes of the library what it would have been."""
    ended = nest.run(*world.run_once(config))
    assert ended.code == 0, ended
    assert_all_is_well(world)
    assert sorting_of(world) == says


CHAINS: dict[tuple[str, bool], tuple[Moment, ...]] = {
    ("move", False): (
        ("store_agreed", "after", 1),
        ("file_read", "after", 3),
        ("faces_seen", "before", 1),
        ("truth_committed", "before", 2),
        ("truth_committed", "after", 3),
        ("index_grown", "before", 1),
        ("hard_link", "after", 1),
        ("unlink", "before", 2),
        ("index_replaced", "after", 1),
        ("inbox_pruned", "before", 1),
    ),
    ("move", True): (
        ("image_enrolled", "after", 5),
        ("copy_flushed", "before", 1),
        ("rename", "before", 2),
        ("unlink", "after", 1),
        ("placed_recorded", "before", 1),
        ("reason_written", "after", 1),
        ("index_written", "after", 1),
    ),
    ("copy", False): (("images_left", "before", 1), ("copy", "after", 2), ("placed_told", "before", 1)),
    ("symlink", True): (("index_grown", "after", 2), ("symbolic_link", "after", 3)),
}


def test_kill_upon_kill_costs_nothing(
    nests: list[Nest], config: Path, calm: tuple[World, dict[str, Any]], new_world: Callable[..., World]
) -> None:
    def die_and_heal(nest: Nest, world: World, moments: tuple[Moment, ...]) -> None:
        for moment in moments:
            assert kill(nest, world, moment, *world.run_once(config)).happened, f"{moment} was never reached"
        assert_heals(nest, world, config, calm[1])

    jobs = [partial(die_and_heal, world=new_world(*where), moments=moments) for where, moments in CHAINS.items()]
    side_by_side(nests, jobs)


# decisions and runs, by command


@dataclass(frozen=True, slots=True)
class Scene:
    """A command that changes a library. before: commands that make the library what it starts from."""

    command: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()


NAME, MERGE, SPLIT, HIDE = ("name", "1", "Ada"), ("merge", "3", "1"), ("split", "1", "--into", "2"), ("hide", "2")
PROPOSE, APPLY = ("recluster", "--propose"), ("recluster", "--apply")
SCENES = {
    "name": Scene(NAME),
    "rename": Scene(("name", "1", "Grace"), (NAME, ("name", "2", "Bea"))),
    "merge": Scene(MERGE, (("name", "3", "Bea"),)),
    "split": Scene(SPLIT),
    "hide": Scene(HIDE, (NAME,)),
    "unhide": Scene(("unhide", "2"), (HIDE,)),
    "reject": Scene(("reject", "1")),
    "assign": Scene(("assign", "1", "2")),
    "undo a merge": Scene(("undo",), (NAME, MERGE)),
    "undo a split": Scene(("undo",), (SPLIT,)),
    "undo a name": Scene(("undo",), (NAME,)),
    "propose": Scene(PROPOSE),
    "recluster": Scene(("recluster",), (("name", "3", "Cleo"),)),
    "apply": Scene(APPLY, (PROPOSE,)),
    "roll back": Scene(("recluster", "--rollback", "2"), (PROPOSE, APPLY)),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A scene ready to be played: the library it starts from, what it says then and afterwards, and how often each
    step is taken on the way."""

    scene: Scene
    start: World
    before: dict[str, Any]
    after: dict[str, Any]
    counts: Counter[str]


def another(world: World, folder: Path) -> World:
    """A world with a library of its own to lose: the pictures are hard links, which no run writes to. In the inbox
    either nothing is left or nothing is ever changed."""

    def copy(source: str, target: str) -> None:
        (shutil.copy2 if STATE_FOLDER in Path(source).parts else os.link)(source, target)

    shutil.copytree(world.library, folder / "library", symlinks=True, copy_function=copy)
    return replace(world, library=folder / "library")


def command_in(world: World, command: tuple[str, ...]) -> tuple[str | Path, ...]:
    return (*command, "--library", world.library)


def set_up(nest: Nest, scene: Scene, world: World, folder: Path) -> Stage:
    start = another(world, folder / "start")
    for command in scene.before:
        ended = nest.run(*command_in(start, command))
        assert ended.code == 0, (command, ended)
    played = another(start, folder / "played")
    ended = nest.run(*command_in(played, scene.command), count=True)
    assert ended.code == 0, (scene, ended)
    stage = Stage(scene, start, library_of(start.library), library_of(played.library), ended.counts)
    assert stage.before != stage.after, scene
    return stage


def assert_is_all_or_nothing(nest: Nest, stage: Stage, moment: Moment, folder: Path) -> bool:
    """Die at a moment of the scene; the next start ends it, or it never was and can be done again. Returns whether the
    moment came."""
    world = another(stage.start, folder)
    happened = kill(nest, world, moment, *command_in(world, stage.scene.command)).happened
    says = done_or_not(nest, stage, world)
    if says == stage.before:
        assert nest.run(*command_in(world, stage.scene.command)).code == 0
        says = library_of(world.library)
        assert says == stage.after
    assert_all_is_well(world)
    return happened


def done_or_not(nest: Nest, stage: Stage, world: World) -> dict[str, Any]:
    """What the library says after the next start."""
    ended = nest.run(*command_in(world, ("people",)))
    assert ended.code == 0, ended
    says = library_of(world.library)
    was_not = all(says[what] == stage.before[what] for what in ("decisions", "runs"))
    assert says == (stage.before if was_not else stage.after)
    return says


@pytest.fixture(scope="module")
def strict(calm: tuple[World, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> World:
    """The calm world, its settings such that a re-clustering takes persons apart."""
    folder = tmp_path_factory.mktemp("strict")
    world = another(calm[0], folder)
    be_strict(world, folder)
    return world


def be_strict(world: World, folder: Path) -> None:
    """Let the library remember settings with which a re-clustering takes persons apart."""
    settings = folder / "strict.toml"
    settings.write_text(SETTINGS + "[persons]\nsimilarity_link_min = 0.75\n")
    daemon = Daemon(*world.arguments, "--config", settings)
    try:
        daemon.wait_for("ready")
    finally:
        daemon.end()


KILLED_SCENES: dict[str, tuple[Moment, ...]] = {
    "name": (("change_begun", "after", 1),),
    "merge": (("chunk_done", "after", 1), ("hard_link", "after", 1)),
    "split": (("truth_committed", "before", 2),),
    "hide": (("unlink", "before", 1),),
    "undo a merge": (("change_finished", "after", 1), ("wishes_renewed", "after", 1)),
    "propose": (("run_kept", "before", 1),),
    "apply": (("chunk_done", "before", 2),),
    "roll back": (("change_taken_back", "after", 1), ("laying_back_ended", "before", 1)),
}


def test_a_decision_or_a_run_that_was_cut_short_is_done_whole_or_not_at_all(
    nests: list[Nest], strict: World, tmp_path: Path
) -> None:
    def play(nest: Nest, name: str) -> None:
        stage = set_up(nest, SCENES[name], strict, tmp_path / name)
        for number, moment in enumerate(KILLED_SCENES[name]):
            folder = tmp_path / name / str(number)
            assert assert_is_all_or_nothing(nest, stage, moment, folder), f"{moment} was never reached in {name}"

    side_by_side(nests, [partial(play, name=name) for name in KILLED_SCENES])


# some hundreds


@pytest.fixture(scope="module")
def died() -> Iterator[Counter[str]]:
    """How often the process died at which step, printed at the end."""
    died: Counter[str] = Counter()
    yield died
    lines = [f"{died[name]:4}  {name}" for name in (*STEPS, *sorted(died.keys() - STEPS.keys()))]
    print("\n".join([f"{died.total():4}  kills", *lines]))  # noqa: T201 - the figures


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_wherever_sorting_dies_the_library_is_the_one_of_an_undisturbed_run(
    nests: list[Nest],
    config: Path,
    calm: tuple[World, dict[str, Any]],
    new_world: Callable[..., World],
    died: Counter[str],
) -> None:
    places = list(itertools.product(PLACEMENTS, (False, True)))
    rehearsals = [partial(rehearse, world=new_world(*where), config=config, says=calm[1]) for where in places]
    counts = dict(zip(places, side_by_side(nests, rehearsals), strict=True))
    dice, jobs = random.Random(4), []
    for number, (step, when) in enumerate(2 * list(itertools.product(STEPS, WHENS))):
        possible = [where for where in places if counts[where][step]]
        if possible:
            where = possible[number % len(possible)]
            moments = [(step, when, dice.randint(1, max(1, counts[where][step] // 2)))]
            if number % 3 == 0:  # and the restart dies too
                moments.append((dice.choice([name for name in STEPS if counts[where][name]]), dice.choice(WHENS), 1))
            jobs.append(partial(die_in, where=where, new_world=new_world, moments=moments, config=config, says=calm[1]))

    for moments in side_by_side(nests, jobs):
        died.update(step for step, _, _ in moments)


def rehearse(nest: Nest, world: World, config: Path, says: dict[str, Any]) -> Counter[str]:
    """How often each step is taken in an undisturbed run."""
    ended = nest.run(*world.run_once(config), count=True)
    assert ended.code == 0, ended
    assert_all_is_well(world)
    assert sorting_of(world) == says
    return ended.counts


def die_in(
    nest: Nest,
    where: tuple[str, bool],
    new_world: Callable[..., World],
    moments: list[Moment],
    config: Path,
    says: dict[str, Any],
) -> list[Moment]:
    """Die at one moment after the other, heal; returns the moments that came. The first one must."""
    world = new_world(*where)
    came = [moment for moment in moments if kill(nest, world, moment, *world.run_once(config)).happened]
    assert moments[0] in came, f"{moments[0]} was never reached in {where}"
    assert_heals(nest, world, config, says)
    return came


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_wherever_a_decision_or_a_run_dies_it_is_done_whole_or_not_at_all(
    nests: list[Nest],
    config: Path,
    new_world: Callable[..., World],
    tmp_path: Path,
    died: Counter[str],
    placement: str,
) -> None:
    world = new_world(placement)
    assert nests[0].run(*world.run_once(config)).code == 0
    be_strict(world, tmp_path)
    dice = random.Random(placement)
    stages = side_by_side(
        nests, [partial(set_up, scene=scene, world=world, folder=tmp_path / name) for name, scene in SCENES.items()]
    )
    jobs, moments = [], []
    for name, stage in zip(SCENES, stages, strict=True):
        for step in dice.sample([step for step, count in stage.counts.items() if count], 4):
            moment = step, dice.choice(WHENS), dice.randint(1, stage.counts[step])
            folder = tmp_path / name / str(len(jobs))
            jobs.append(partial(assert_is_all_or_nothing, stage=stage, moment=moment, folder=folder))
            moments.append(moment)

    for moment, happened in zip(moments, side_by_side(nests, jobs), strict=True):
        assert happened, f"{moment} was never reached"
        died[moment[0]] += 1
