"""A folder of networks that somebody brings, as a model pack: InsightFace's own folders, or any of that kind.

Room:    adapters
Imports: errors, manifest, networks, stdlib

Which file is what is told from the graphs; the licence, measured bounds and all else may be said in a pack.json beside
them (docs/models.md). Nothing is ever written there.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_organizer.adapters.manifest import (
    UNKNOWN_LICENCE,
    Manifest,
    laid_over,
    manifest_of,
    read_overrides,
    unmeasured,
)
from face_organizer.errors import ModelError

if TYPE_CHECKING:
    from face_organizer.adapters.networks import Network

SAYS = "pack.json"
INSIGHTFACE_SAYS = "manifest.json"
"""What newer packs of InsightFace say of themselves (its manifest version 2)."""

Signature = tuple[tuple[str, int, int], ...]
"""Of a folder: name, size in bytes and mtime in ns of all that matters in it."""


def signature_of(folder: Path) -> Signature:
    """Raises ModelError: the folder cannot be read."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if _matters(path)]
    except OSError as error:
        raise ModelError(f"the folder of the model pack {folder} cannot be read: {error.strerror}") from error
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@lru_cache(maxsize=8)
def describe(folder: Path, name: str, signature: Signature) -> Manifest:
    """The pack that a folder holds. signature: of its files as they are now, so that nothing is read twice.

    Raises ModelError: no detector or no recogniser among its files, each named with what it is.
    """
    from face_organizer.adapters.networks import network_at  # onnx takes 0.3 s to import: only where it is needed

    networks = {file: network_at(folder / file) for file, *_ in signature if file.endswith(".onnx")}
    says = read_overrides(folder / SAYS)
    tasks = _tasks(folder)
    if tasks:
        chosen = {str(task.get("file")) for task in tasks.values()}
        networks = {file: network for file, network in networks.items() if file in chosen}
        says = laid_over(_told_by(folder, tasks), says)
    detector, found = _first(folder, networks, "detector")
    recogniser, seen = _first(folder, networks, "recogniser")
    told = says.get("recogniser")
    dimension = seen.dimension or (told.get("traits", {}).get("dimension", 0) if isinstance(told, dict) else 0)
    if not dimension:
        raise ModelError(
            f"{folder / recogniser} does not say how many dimensions its embeddings have: "
            f'write {{"recogniser": {{"traits": {{"dimension": 512}}}}}} (or what is right) into {folder / SAYS}'
        )
    base = unmeasured(dimension)
    values: dict[str, Any] = {
        "pack": name,
        "licence": UNKNOWN_LICENCE,
        "detector": _entry(folder, detector, {"kind": found.kind} | base["detector"][found.kind]),
        "recogniser": _entry(folder, recogniser, {"scaling": _scaling(seen), "dimension": dimension}),
        "impostors": base["impostors"],
        "bounds": base["bounds"],
    }
    attributes = next((file for file, network in networks.items() if network.role == "attributes"), "")
    if attributes:
        values["attributes"] = _entry(folder, attributes, {"scaling": _scaling(networks[attributes])})
    return manifest_of(laid_over(values, says), folder / SAYS)


def _tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """What InsightFace's own manifest says of each task, {} where there is none of the version that we know."""
    told = read_overrides(folder / INSIGHTFACE_SAYS)
    if told.get("manifest_version") != 2:
        return {}
    tasks = told.get("tasks")
    if not isinstance(tasks, dict) or not all(isinstance(task, dict) for task in tasks.values()):
        raise ModelError(f"{folder / INSIGHTFACE_SAYS} names no tasks: it is damaged")
    return tasks


def _told_by(folder: Path, tasks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The same in our words. Raises ModelError: the detector wants to be fed as ours are not."""
    usual: dict[str, Any] = {"mean": 127.5, "std": 128.0}
    if tasks.get("detection", {}).get("preprocessing", usual) != usual:
        raise ModelError(
            f"the detector of {folder} does not want (x - 127.5) / 128, and another scaling is not known here"
        )
    scaling = tasks.get("recognition", {}).get("preprocessing", {"mean": 127.5, "std": 127.5})
    raw = {"mean": 0.0, "std": 1.0}
    return {
        "licence": f"as MODEL.LICENSE in {folder} says",
        "recogniser": {"traits": {"scaling": raw if scaling == "embedded" else scaling}},
    }


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _matters(path: Path) -> bool:
    return path.suffix == ".onnx" or path.name in (SAYS, INSIGHTFACE_SAYS)


def _first(folder: Path, networks: dict[str, Network], role: str) -> tuple[str, Network]:
    """Of several the first by name counts, as in insightface."""
    for file, network in networks.items():
        if network.role == role:
            return file, network
    told = "; ".join(f"{file}: {network.why or network.role}" for file, network in networks.items())
    raise ModelError(
        f"the folder {folder} is no model pack: there is no {role} in it ({told or _nothing_in(folder)}). "
        "A pack has an SCRFD or YuNet detector with landmarks, and a recogniser of faces of 112 x 112 px"
    )


def _nothing_in(folder: Path) -> str:
    """antelopev2.zip unpacks into a folder of its own, and InsightFace puts that into another."""
    below = sorted({path.parent for path in folder.glob("*/*.onnx")})
    return "it holds no .onnx file" + (f"; there are some in {' and '.join(map(str, below))}" if below else "")


def _entry(folder: Path, file: str, traits: dict[str, Any]) -> dict[str, Any]:
    return {"file": file, "sha256": sha256_of(folder / file), "traits": traits}


def _scaling(network: Network) -> dict[str, float]:
    assert network.scaling is not None, network
    return {"mean": network.scaling.mean, "std": network.scaling.std}
