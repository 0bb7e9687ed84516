"""The process is killed at every named step, and is as if it had never been after the next start.

What is compared is explained in survival.py, the steps in steps.py, how a process dies at one of them in mortal.py.
Thirty kills here; some hundreds in the tests marked `long`, which print how often it died where.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from mortal import IMPORTED
from process import Daemon
from steps import CHANGING, INDEXING, RECLUSTERING, STEPS, found
from survival import (
    PLACEMENTS,
    SETTINGS,
    Ended,
    Nest,
    World,
    another,
    assert_all_is_well,
    assert_nothing_is_lost_or_torn,
    library_of,
    side_by_side,
    sorting_of,
    tree_of,
)

from face_organizer.config import STATE_FOLDER

WHENS = ("before", "after")
Moment = tuple[str, str, int]
"""Where to die: before or after the n-th call of a step."""


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
        ("index_replaced", "after", 1),  # while there are faces to come: where none do, it is not written again
        ("index_grown", "before", 1),
        ("hard_link", "after", 1),
        ("unlink", "before", 2),
        ("inbox_pruned", "before", 1),
    ),
    ("move", True): (
        ("image_enrolled", "after", 5),
        ("index_written", "after", 1),
        ("copy_flushed", "before", 1),
        ("rename", "before", 2),
        ("unlink", "after", 1),
        ("placed_recorded", "before", 1),
        ("reason_written", "after", 1),
    ),
    ("copy", False): (("images_left", "before", 1), ("copy", "after", 2), ("placed_told", "before", 1)),
    ("symlink", True): (("index_grown", "after", 2), ("symbolic_link", "after", 3)),
}


@pytest.mark.timeout(600)
def test_kill_upon_kill_costs_nothing(
    nests: list[Nest], small_batches: Path, calm: tuple[World, dict[str, Any]], new_world: Callable[..., World]
) -> None:
    def die_and_heal(nest: Nest, world: World, moments: tuple[Moment, ...]) -> None:
        for moment in moments:
            if moment[0] in INDEXING:  # else a process that died later may have saved the whole index already
                shutil.rmtree(world.library / STATE_FOLDER / "index", ignore_errors=True)
            assert kill(nest, world, moment, *world.run_once(small_batches)).happened, f"{moment} was never reached"
        assert_heals(nest, world, small_batches, calm[1])

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
        daemon.wait_for("ready", within_s=100)
    finally:
        daemon.end()


KILLED_SCENES: dict[str, tuple[Moment, ...]] = {
    "name": tuple(("truth_committed", "after", number) for number in range(2, 7)),
    "merge": (("chunk_done", "after", 1), ("hard_link", "after", 1)),
    "split": (("truth_committed", "before", 2),),
    "undo a merge": (("change_finished", "after", 1), ("wishes_renewed", "after", 1)),
    "propose": (("run_kept", "before", 1),),
    "apply": (("chunk_done", "before", 2),),
    "roll back": (("change_taken_back", "after", 1), ("laying_back_ended", "before", 1)),
}


@pytest.mark.timeout(600)
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


WORLDS = list(itertools.product(PLACEMENTS, (False, True)))
SHARE = 4
RARE = frozenset({"symbolic_link", "copy", "copy_dated", "reason_written", "index_trained", "index_swapped"})


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "number", range(len(WORLDS)), ids=[f"{each}-{'two' if two else 'one'}" for each, two in WORLDS]
)
def test_wherever_sorting_dies_the_library_is_the_one_of_an_undisturbed_run(
    nests: list[Nest],
    small_batches: Path,
    calm: tuple[World, dict[str, Any]],
    new_world: Callable[..., World],
    died: Counter[str],
    number: int,
) -> None:
    """Every fourth moment in each world; together the worlds have them all, most of them twice."""
    where, dice = WORLDS[number], random.Random(number)
    counts = rehearse(nests[0], new_world(*where), small_batches, calm[1])
    jobs = []
    for turn, (step, when) in enumerate(itertools.product([step for step in STEPS if counts[step]], WHENS)):
        if (turn + number) % SHARE and step not in RARE:
            continue
        at_most = 1 if step in INDEXING else max(1, counts[step] // 3)  # how often depends on how fast the machine is
        moments = [(step, when, dice.randint(1, at_most))]
        if turn % 3 == 0:  # and the restart dies too
            moments.append((dice.choice([name for name in STEPS if counts[name]]), dice.choice(WHENS), 1))
        jobs.append(partial(die_in, world=new_world(*where), moments=moments, config=small_batches, says=calm[1]))

    for moments in side_by_side(nests, jobs):
        died.update(step for step, _, _ in moments)


def rehearse(nest: Nest, world: World, config: Path, says: dict[str, Any]) -> Counter[str]:
    """How often each step is taken in an undisturbed run."""
    ended = nest.run(*world.run_once(config), count=True)
    assert ended.code == 0, ended
    assert_all_is_well(world)
    assert sorting_of(world) == says
    return ended.counts


def die_in(nest: Nest, world: World, moments: list[Moment], config: Path, says: dict[str, Any]) -> list[Moment]:
    """Die at one moment after the other, heal; returns the moments that came. The first one must."""
    came = [moment for moment in moments if kill(nest, world, moment, *world.run_once(config)).happened]
    assert moments[0] in came, f"{moments[0]} was never reached in {world}"
    assert_heals(nest, world, config, says)
    return came


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_wherever_a_decision_or_a_run_dies_it_is_done_whole_or_not_at_all(
    nests: list[Nest],
    small_batches: Path,
    new_world: Callable[..., World],
    tmp_path: Path,
    died: Counter[str],
    placement: str,
) -> None:
    world = new_world(placement)
    assert nests[0].run(*world.run_once(small_batches)).code == 0
    be_strict(world, tmp_path)
    stages = side_by_side(
        nests, [partial(set_up, scene=scene, world=world, folder=tmp_path / name) for name, scene in SCENES.items()]
    )
    moments = moments_of(stages, random.Random(placement))

    jobs = [
        partial(assert_is_all_or_nothing, stage=stage, moment=moment, folder=tmp_path / f"dies{number}")
        for number, (stage, moment) in enumerate(moments)
    ]
    for (_, moment), happened in zip(moments, side_by_side(nests, jobs), strict=True):
        assert happened, f"{moment} was never reached"
        died[moment[0]] += 1


def moments_of(stages: list[Stage], dice: random.Random) -> list[tuple[Stage, Moment]]:
    """Each step of a run or a decision, before and after, in one of the scenes that take it; and in each scene two
    steps of any kind. An empty folder is only removed here."""
    taken = [
        (dice.choice(scenes), step, when)
        for step, when in itertools.product((*RECLUSTERING, *CHANGING, "folder_removed"), WHENS)
        if (scenes := [stage for stage in stages if stage.counts[step]])
    ]
    for stage in stages:
        any_two = dice.sample([step for step in STEPS if stage.counts[step]], 2)
        taken += [(stage, step, dice.choice(WHENS)) for step in any_two]
    return [
        (stage, (step, when, 1 if step in INDEXING else dice.randint(1, stage.counts[step])))
        for stage, step, when in taken
    ]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_daemon_killed_at_random_moments_under_load_loses_nothing_that_it_said_was_done(
    faces: list[Path], small_batches: Path, nests: list[Nest], tmp_path: Path, died: Counter[str]
) -> None:
    """Images keep coming, people are named and the rest is clustered anew while it dies, over and over. A name whose
    command returned is kept; and the persons are those that an undisturbed run finds: one for each who is shown."""
    dropped = {path.name: path.read_bytes() for path in faces}
    world = World(tmp_path / "inbox", tmp_path / "library", "move", {})
    world.drop()
    world.inbox.mkdir()
    dice, names, coming = random.Random(9), dict[str, str](), iter(sorted(dropped))
    for number, new in enumerate(iter(lambda: list(itertools.islice(coming, 3)), [])):
        daemon = Daemon(*world.arguments, "--config", small_batches)
        try:
            daemon.wait_for("ready", within_s=100)
            for name in new:
                (world.inbox / name).write_bytes(dropped[name])
                world = replace(world, dropped={**world.dropped, name: dropped[name]})
            if number % 4 == 3:
                daemon.wait_for("image_placed", within_s=100)
                names |= name_somebody(nests[0], world, f"Name {number}")
            else:
                come_to(daemon, dice.choice(HAPPENS), dice.randint(1, len(new)), dice.uniform(0.0, 0.3))
        finally:
            daemon.end(signal.SIGKILL)
        died["(random moments)"] += 1
        assert_nothing_is_lost_or_torn(world)

    assert nests[0].run(*world.run_once(small_batches)).code == 0
    assert_all_is_well(world)
    assert len(names) >= 3, names
    for image, name in names.items():
        assert (world.library / name / image).exists(), (name, image)
    together: dict[str, set[str]] = defaultdict(set)
    for path in tree_of(world.library):
        together[path.partition("/")[0]].add(Path(path).name[:2])
    assert sorted(together.values(), key=min) == [{f"p{person}"} for person in range(8)], together


HAPPENS = ("ready", "image_enrolled", "image_placed", "recluster_started", "recluster_finished")


def come_to(daemon: Daemon, event: str, count: int, then_s: float) -> None:
    """Wait until an event has come, as often as that if it is one of an image, and a moment longer."""
    if event.startswith("recluster"):
        daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(event, count if event.startswith("image") else 1, within_s=100)
    Event().wait(then_s)


def name_somebody(nest: Nest, world: World, name: str) -> dict[str, str]:
    """Name the person of an image that has one; {image: name} once a command has returned. {} where nobody is yet."""
    for path in sorted(world.library.glob("person_*/*.jpg")):
        if nest.run("name", path, name, "--library", world.library).code == 0:  # it may have been moved meanwhile
            return {path.name: name}
    return {}


@pytest.mark.long
def test_there_is_no_named_step_at_which_it_never_died(died: Counter[str]) -> None:
    """After all of the above."""
    assert not (never := [name for name in STEPS if not died[name]]), never
    assert died.total() >= 300
