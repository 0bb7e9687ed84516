"""The map of the house. If this file and the code disagree, one of them is wrong.

A room may import itself and the rooms listed for it; nothing else from this package.
A library with an owner may be imported by its owner only.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import face_organizer

ROOT = Path(face_organizer.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

NAMES = {"types", "records", "errors", "ports", "config", "config_file", "facts", "hints", "traits"}
MAY_IMPORT = {
    "__init__": set(),
    "types": set(),  # names
    "errors": set(),
    "facts": set(),
    "hints": set(),
    "config": {"errors"},
    "config_file": {"config", "errors"},
    "traits": {"types"},
    "records": {"types"},
    "ports": {"types", "records"},
    "vision": NAMES,  # thinks
    "identity": NAMES,
    "health": NAMES,
    "adapters": NAMES,  # touches
    "pipeline": NAMES | {"vision", "identity"},  # moves
    "calls": NAMES | {"pipeline"},  # wires
    "app": NAMES | {"vision", "identity", "health", "adapters", "pipeline", "calls", "web"},
    "web": NAMES,  # talks
    "demo": {"errors"},  # talks
    "cli": NAMES | {"app", "demo"},
    "__main__": {"cli", "hints"},
}
ONLY_IN = {  # library -> the files or rooms that may import it
    "PIL": ("vision/decode.py", "vision/montage.py", "demo.py"),
    "click": ("cli/",),
    "cv2": ("vision/",),
    "fastapi": ("web/",),
    "faiss": (
        "adapters/bulk.py",
        "adapters/cards.py",
        "adapters/centroids.py",
        "adapters/index.py",
        "adapters/neighbours.py",
        "adapters/recall.py",
    ),
    "fcntl": ("adapters/",),
    "lmdb": ("adapters/store.py", "adapters/transaction.py", "adapters/schema.py"),
    "matplotlib": ("adapters/chart.py",),
    "msgspec": (
        "config.py",
        "config_file.py",
        "app/parts.py",
        "app/moving.py",
        "app/library_pack.py",
        "traits.py",
        "adapters/tables.py",
        "app/opening.py",
        "app/libraries.py",
        "cli/",
        "adapters/transaction.py",
        "adapters/columns.py",
        "adapters/control.py",
        "adapters/chart.py",
        "adapters/manifest.py",
        "adapters/pull.py",
    ),
    "google": ("adapters/networks.py",),
    "onnx": (
        "adapters/fold.py",
        "adapters/rewrite.py",
        "adapters/networks.py",
        "adapters/providers.py",
        "adapters/sample.py",
    ),
    "onnxruntime": ("adapters/onnx_runtime.py",),
    "openvino": ("adapters/open_vino.py",),
    "pynvml": ("adapters/nvml.py",),
    "pillow_heif": ("vision/decode.py",),
    "prometheus_client": ("web/metrics.py",),
    "pydantic": ("web/",),
    "pyarrow": ("adapters/tables.py",),
    "queue": ("pipeline/",),
    "rich": ("cli/",),
    "shutil": (
        "adapters/onnx_runtime.py",
        "adapters/sidecars.py",
        "adapters/examine.py",
        "adapters/store.py",
        "adapters/schema.py",
        "adapters/thumbnails.py",
        "adapters/remove.py",
        "adapters/unpack.py",
    ),
    "signal": ("__main__.py", "app/serve.py"),
    "subprocess": ("adapters/child.py", "adapters/sidecars.py", "adapters/examine.py", "adapters/install.py"),
    "socket": (
        "adapters/control.py",
        "adapters/journal.py",
        "adapters/systemd.py",
        "adapters/listening.py",
        "app/door.py",
        "web/server.py",
    ),
    "starlette": ("web/",),
    "structlog": ("adapters/", "cli/"),
    "tensorrt": ("adapters/providers.py",),
    "threading": (
        "pipeline/",
        "adapters/",
        "app/intake.py",
        "app/libraries.py",
        "app/serve.py",
        "app/door.py",
        "web/clerks.py",
    ),
    "urllib": ("adapters/pull.py", "web/"),
    "uvicorn": ("web/server.py",),
    "watchdog": ("adapters/watching.py",),
}
PURE = ("vision/", "identity/", "health/")
NOT_PURE = {"os", "pathlib", "tempfile", "threading", "time", "datetime", "logging", "random", "subprocess"}
PURE_MAY = {"vision/decode.py": {"pathlib"}}  # only to name a file in a signature


def room_of(relative: Path) -> str:
    return relative.parts[0].removesuffix(".py")


def imports_of(source: str) -> list[str]:
    """Every module a source imports, at any depth. `from face_organizer import x` counts as face_organizer.x."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level > 0:
            names += ["." * node.level]
        elif isinstance(node, ast.ImportFrom) and node.module == "face_organizer":
            names += [f"face_organizer.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module]
    return names


def offences(relative: Path, source: str) -> list[str]:
    """What a file imports that its place in the house forbids, one sentence each."""
    room, place = room_of(relative), relative.as_posix()
    if room not in MAY_IMPORT:
        return [f"{place} is in no room of the map"]
    found = []
    for name in imports_of(source):
        top, *rest = name.split(".")
        if not top:
            found.append(f"{place}: relative imports hide the room")
        elif top == "face_organizer":
            target = rest[0] if rest else "__init__"
            if target not in {room, "__version__"} | MAY_IMPORT[room]:
                found.append(f"{place} must not import {name}")
        elif top in ONLY_IN and not place.startswith(ONLY_IN[top]):
            found.append(f"{top} belongs in {' '.join(ONLY_IN[top])}, not in {place}")
        elif top in NOT_PURE - PURE_MAY.get(place, set()) and place.startswith(PURE):
            found.append(f"{place} only thinks: it must not import {top}")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_file_stays_in_its_room(file: Path) -> None:
    assert offences(file.relative_to(ROOT), file.read_text()) == []


@pytest.mark.parametrize(
    ("place", "source", "offence"),
    [
        ("vision/align.py", "from face_organizer.adapters.store import Store", "must not import"),
        ("identity/cluster.py", "from face_organizer import pipeline", "must not import"),
        ("pipeline/place.py", "import face_organizer.adapters.library", "must not import"),
        ("adapters/store.py", "from face_organizer.identity import graph", "must not import"),
        ("app/organizer.py", "from face_organizer.cli import main", "must not import"),
        ("vision/embed.py", "def late():\n    import onnxruntime", "onnxruntime belongs in"),
        ("pipeline/gallery.py", "from lmdb import open", "lmdb belongs in"),
        ("identity/graph.py", "import faiss.contrib", "faiss belongs in"),
        ("vision/detect.py", "import time", "only thinks"),
        ("vision/detect.py", "from . import align", "relative imports"),
        ("helpers/text.py", "", "in no room"),
        ("helpers.py", "", "in no room"),
    ],
)
def test_the_map_catches_an_import_that_leaves_its_room(place: str, source: str, offence: str) -> None:
    assert [offence in sentence for sentence in offences(Path(place), source)] == [True]


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("adapters/store.py", "import lmdb, threading\nfrom face_organizer.types import FileId"),
        (
            "pipeline/gallery.py",
            "from face_organizer.identity.assign import nearest\nfrom face_organizer.ports import Index",
        ),
        ("app/organizer.py", "import math\nfrom face_organizer.adapters.index import FaceIndex"),
        (
            "cli/ask.py",
            "import click\nfrom face_organizer import __version__\nfrom face_organizer.app.commands import answer",
        ),
        ("vision/align.py", "import cv2\nfrom face_organizer.vision.detect import decode"),
    ],
)
def test_the_map_lets_pass_what_is_at_home(place: str, source: str) -> None:
    assert offences(Path(place), source) == []


def imported(relative: Path, source: str) -> set[str]:
    """What a file imports from the package: of its own room the files, else the rooms."""
    paths = [name.split(".")[1:] for name in imports_of(source) if name.startswith("face_organizer.")]
    return {path[-1] if path[0] == room_of(relative) else path[0] for path in paths} - {"__version__"}


def misstatements(relative: Path, source: str, siblings: set[str]) -> set[str]:
    """What a file's header names of the package and the file does not import, or the other way round.

    "names" stands for all of them, and a file's own room for all its siblings.
    """
    header, room = (ast.get_docstring(ast.parse(source)) or "").partition("Imports:")[2], room_of(relative)
    words = re.sub(r"\(.*?\)", "", header.partition("\n\n")[0])
    said = {word.strip().removeprefix(f"{room}.") for word in words.split(",")}
    stood_for = (NAMES if "names" in said else set()) | (siblings | {room} if room in said else set())
    known = set(MAY_IMPORT) | siblings
    return ((said & known) ^ imported(relative, source)) - stood_for


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_header_says_what_the_file_imports(file: Path) -> None:
    relative, source = file.relative_to(ROOT), file.read_text()
    siblings = {other.stem for other in FILES if room_of(other.relative_to(ROOT)) == room_of(relative)} - {"__init__"}

    if "Imports: everything" not in source and len(source.splitlines()) > 10:
        assert misstatements(relative, source, siblings) == set()


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("types, gate, stdlib", set()),
        ("names, gate", set()),
        ("types, adapters", set()),
        ("types", {"gate"}),
        ("gate", {"types"}),
        ("types, errors, gate, lmdb", {"errors"}),
    ],
)
def test_a_header_that_says_otherwise_is_seen(said: str, wrong: set[str]) -> None:
    source = f'"""Text.\n\nImports: {said}\n\nMore, types.\n"""\nfrom face_organizer.types import FileId\n'
    source += "from face_organizer.adapters.gate import Gate\n"

    assert misstatements(Path("adapters/store.py"), source, {"store", "gate"}) == wrong


def test_thinking_and_touching_never_import_each_other() -> None:
    assert not (MAY_IMPORT["vision"] | MAY_IMPORT["identity"] | MAY_IMPORT["health"]) & {
        "adapters",
        "pipeline",
        "app",
        "cli",
    }
    assert not MAY_IMPORT["adapters"] & {"vision", "identity", "health", "pipeline", "app", "cli"}


def test_the_files_that_wire_stand_one_above_the_other() -> None:
    left = {
        file.stem: {name.split(".")[2] for name in imports_of(file.read_text()) if ".app." in name}
        for file in FILES
        if room_of(file.relative_to(ROOT)) == "app"
    }
    while lowest := {name for name, above in left.items() if not above}:
        left = {name: above - lowest for name, above in left.items() if name not in lowest}

    assert left == {}, "these import each other in a circle"


FORKS = frozenset({"fork", "forkpty", "fork_exec", "ProcessPoolExecutor", "multiprocessing"})


def forks_in(source: str) -> list[str]:
    """Every name in a source that makes a second process of this one; a new program (subprocess) is another matter."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        elif isinstance(node, ast.Name):
            names.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names += [part for name in imports_of(ast.unparse(node)) for part in name.split(".")]
            names += [alias.name for alias in node.names]
    return [name for name in names if name in FORKS]


def test_nobody_forks_for_a_store_does_not_survive_it() -> None:
    assert {file.name: found for file in FILES if (found := forks_in(file.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.fork()",
        "from os import fork as split",
        "import multiprocessing as m",
        "from multiprocessing.pool import Pool",
        "from concurrent.futures import ProcessPoolExecutor",
    ],
)
def test_a_fork_would_be_seen(source: str) -> None:
    assert forks_in(source)


def test_no_folder_of_tests_is_forgotten() -> None:
    project = Path(__file__).parents[2]
    settings = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]

    assert {f"tests/{file.parent.name}" for file in (project / "tests").rglob("test_*.py")} == set(
        settings["testpaths"]
    )


def test_the_whole_house_was_walked() -> None:
    assert {room_of(file.relative_to(ROOT)) for file in FILES} >= {
        "types",
        "vision",
        "identity",
        "adapters",
        "pipeline",
    }


HEAVY = ("PIL", "cv2", "faiss", "lmdb", "numpy", "rich", "structlog")
SELDOM = ("fastapi", "matplotlib", "onnx", "onnxruntime", "openvino", "pyarrow", "scipy.optimize", "scipy.sparse")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [("face_organizer.cli", (*HEAVY, *SELDOM)), ("face_organizer.app.opening", SELDOM)],
    ids=["asks-a-daemon", "opens-a-library"],
)
def test_a_command_loads_no_heavy_library_that_it_does_not_need(module: str, heavy: tuple[str, ...]) -> None:
    script = f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []
