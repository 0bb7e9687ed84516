"""Make the networks of a pack fit to run, once, in a cache folder beside a manifest; and see whether they still are.

Room:    adapters
Imports: errors, traits, brought, manifest, choice, fold, rewrite, session, numpy, stdlib
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.adapters.brought import sha256_of
from face_organizer.adapters.choice import processor
from face_organizer.adapters.manifest import Manifest, Source
from face_organizer.adapters.session import is_offered, open_sessions
from face_organizer.errors import ModelError
from face_organizer.traits import Scaling

CONVERTER_VERSION = 3
"""Raise it whenever the files that a conversion writes change: caches made by another version are made again."""

DETECTOR, RECOGNISER, ATTRIBUTES = "detector.onnx", "recogniser.onnx", "attributes.onnx"
RECOGNISER_CPU = "recogniser.cpu.onnx"
"""The recogniser in the words that ONNX Runtime is quick at on a CPU, where that makes a difference."""

MANIFEST = "manifest.json"

ALIKE = 1e-3
"""A batch is as good as single runs if no value differs by more than this share of the largest."""

EQUAL = 1e-4
"""A network in other words is the same if no value differs by more than this share of the largest."""


_ONE_SIZE = "is a detector for pictures of one size only, or of a form that is not known here: export it with free axes"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a pack is made from. address: its name, or the path of its folder. read: the bytes of an original, checked;
    raises ModelError. folder: where the made files lie. origin: where the originals lie, as plain values; {} for a
    package. proven: its batches need no proof here."""

    manifest: Manifest
    address: str
    folder: Path
    read: Callable[[Source], bytes]
    origin: Mapping[str, Any]
    proven: bool

    @property
    def sources(self) -> dict[str, Source]:
        """Made file -> original."""
        manifest = self.manifest
        made: dict[str, Source] = {DETECTOR: manifest.detector, RECOGNISER: manifest.recogniser}
        return made | ({ATTRIBUTES: manifest.attributes} if manifest.attributes else {})

    def described(self) -> dict[str, Any]:
        told = self.manifest.described() | {"converter_version": CONVERTER_VERSION, "origin": dict(self.origin)}
        plain: dict[str, Any] = json.loads(json.dumps(told))
        return plain


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What the manifest of a made pack says, None where there is none that can be read."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("made"), dict) else None


def made_in(folder: Path) -> dict[str, Any]:
    """What was made, by file: its sha256, and whether batches go through it; {} where nothing was."""
    told = read_manifest(folder)
    return dict(told["made"]) if told else {}


def damage(recipe: Recipe) -> list[str]:
    """How the folder differs from what its manifest, and this version, say it holds."""
    told = read_manifest(recipe.folder)
    if told is None:
        return [f"{recipe.folder / MANIFEST} cannot be read"]
    made = told.pop("made")
    if told != recipe.described():
        return [f"{recipe.folder / MANIFEST} was written for other files or by another version"]
    return [
        f"{recipe.folder / file} is missing or altered"
        for file in dict.fromkeys((*recipe.sources, *made))
        if sha256_of(recipe.folder / file) != made.get(file, {}).get("sha256")
    ]


def make(recipe: Recipe) -> None:
    """Make all files of a pack; the manifest comes last, so a crash leaves a pack that is made again."""
    name, folder = recipe.manifest.pack, recipe.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = {file: _made(recipe, file, source) for file, source in recipe.sources.items()}
        if quick := _quick(recipe):
            made[RECOGNISER_CPU] = quick | {"batches": made[RECOGNISER]["batches"]}
        text = json.dumps(recipe.described() | {"made": made}, indent=2)
        write_atomically(folder / MANIFEST, text.encode())
    except OSError as error:
        raise ModelError(
            f"the model pack {name} cannot be written to {folder}: {error.strerror}; "
            "set faces.models_dir to a folder that can be written"
        ) from error


def _made(recipe: Recipe, file: str, source: Source) -> dict[str, Any]:
    """Write one network; its sha256, and whether batches go through it."""
    from face_organizer.adapters.fold import fold_to_float32  # onnx takes 0.3 s to import: only where it is needed

    path = recipe.folder / file
    try:
        data = fold_to_float32(recipe.read(source))
    except ModelError:
        raise
    except Exception as error:  # onnx raises classes of its own, and protobuf's
        raise ModelError(
            f"{source.file} of the model pack {recipe.manifest.pack} is no sound network: {error}"
        ) from error
    write_atomically(path, data)
    if file == DETECTOR and not recipe.proven:
        _check_sizes(path, source.file)
    return {"sha256": hashlib.sha256(data).hexdigest(), "batches": recipe.proven or batch_is_single_runs(path)}


def _check_sizes(path: Path, name: str) -> None:
    """A detector must take pictures of any size, and answer a row for each cell. Raises ModelError."""
    (session,) = open_sessions(path, processor(), count=1, batch_max=1)
    try:
        small, large = (session.run(np.zeros((1, 3, side, side), np.float32)) for side in (128, 256))
        fits = all(
            one.ndim == 3 and other.shape[1] == 4 * one.shape[1] for one, other in zip(small, large, strict=True)
        )
    except Exception as error:  # the runtimes raise classes of their own
        raise ModelError(f"{name} {_ONE_SIZE}") from error
    if not fits:
        raise ModelError(f"{name} {_ONE_SIZE}")


def _quick(recipe: Recipe) -> dict[str, Any] | None:
    """Write the recogniser in other words, if there are any and it stays the same; its sum, and how much it differs."""
    from face_organizer.adapters.rewrite import without_prelu

    path = recipe.folder / RECOGNISER_CPU
    data = without_prelu((recipe.folder / RECOGNISER).read_bytes())
    if data is None:
        path.unlink(missing_ok=True)
        return None
    write_atomically(path, data)
    told: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
    if recipe.proven:
        return told
    off = _difference(recipe.folder / RECOGNISER, path, recipe.manifest.recogniser.traits.scaling)
    if not off <= EQUAL:
        path.unlink(missing_ok=True)
        return None
    return told | {"differs_by_share": float(f"{off:.1e}")}


def _difference(one: Path, other: Path, scaling: Scaling) -> float:
    """How far two networks answer differently, as a share of the largest value; on what the second is meant for."""
    device = "cpu" if is_offered("cpu") else processor()
    usual, quick = (open_sessions(path, device, count=1, batch_max=1)[0] for path in (one, other))
    pixels = np.random.default_rng(0).uniform(0, 255, usual.smallest_shape)  # type: ignore[attr-defined]  # all have one
    noise = np.asarray((pixels - scaling.mean) / scaling.std, np.float32)
    (expected, *_), (answer, *_) = usual.run(noise), quick.run(noise)
    return float(np.abs(answer - expected).max() / max(float(np.abs(expected).max()), 1e-12))


def batch_is_single_runs(path: Path) -> bool:
    """Does a batch through this network give what its pictures give one by one? Raises ModelError: not even one
    runs."""
    (session,) = open_sessions(path, processor(), count=1, batch_max=3)
    shape = session.smallest_shape  # type: ignore[attr-defined]  # every session has one
    noise = np.random.default_rng(0).normal(size=(3, *shape[1:])).astype(np.float32)
    single = [session.run(noise[row : row + 1]) for row in range(3)]
    try:
        together = session.run(noise)
    except Exception:  # the runtimes raise classes of their own: a network held fast to one picture is no fault
        return False
    for answer, *rows in zip(together, *single, strict=True):
        apart = np.concatenate(rows)
        if answer.shape != apart.shape or np.abs(answer - apart).max() > ALIKE * np.abs(apart).max():
            return False
    return True


def write_atomically(path: Path, data: bytes) -> None:
    """Either the old file or the whole new one is at path, whatever happens."""
    descriptor, staged = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).chmod(0o644)
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
