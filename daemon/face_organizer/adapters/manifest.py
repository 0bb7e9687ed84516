"""What a model pack says of itself, as data: files, how they are fed, bounds and where they were measured, the licence.

Room:    adapters
Imports: errors, traits, types, msgspec, stdlib

The packs that come with the program have their manifest beside this file. A folder of networks that somebody brings has
one made for it (adapters/prepare.py): the defaults in unmeasured.json, and over them what its own pack.json says.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from face_organizer.errors import ModelError
from face_organizer.traits import AttributeTraits, DetectorTraits, RecogniserTraits
from face_organizer.types import Impostors

BOUNDS = ("similarity_join_min", "similarity_link_min", "similarity_member_min")
UNKNOWN_LICENCE = "unknown: nobody has said what these networks may be used for"


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that something is made from, and the sha256 it has."""

    file: str
    sha256: str


class Detector(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    traits: DetectorTraits


class Recogniser(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    traits: RecogniserTraits


class Attributes(Source, frozen=True, kw_only=True, forbid_unknown_fields=True):
    traits: AttributeTraits


class Bound(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A similarity, the share of pairs of strangers that is at least so alike, and where that was measured."""

    value: Annotated[float, Meta(ge=-1, le=1)]
    false_match_rate: Annotated[float, Meta(gt=0, lt=1)] | None = None
    source: str


class ImpostorTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """types.Impostors, and where they were measured."""

    mean: float
    sd: Annotated[float, Meta(gt=0)]
    rates: tuple[float, ...]
    deviations: tuple[float, ...]
    source: str

    @property
    def impostors(self) -> Impostors:
        return Impostors(self.mean, self.sd, self.rates, self.deviations)


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is fixed about a pack before a file is made. package: the Python package that brings the files; "" where
    they lie in a folder."""

    pack: str
    licence: str
    package: str = ""
    detector: Detector
    recogniser: Recogniser
    attributes: Attributes | None = None
    whitening: Source | None = None
    impostors: ImpostorTable
    bounds: Mapping[str, Bound]

    @property
    def fingerprint(self) -> str:
        """Follows the weights and how they are fed, not the form of the file: converting anew changes no embedding."""
        traits = self.recogniser.traits
        named = f"{self.recogniser.sha256} {traits.preprocessing} {traits.dimension}"
        if self.whitening is not None:
            named += f" {self.whitening.sha256}"
        return hashlib.sha256(named.encode()).hexdigest()[:16]

    def described(self) -> dict[str, Any]:
        """The same as plain values, and what follows from it, for whoever reads the file."""
        table = self.impostors.impostors
        at_rate = {
            f"{rate:g}": round(table.mean + deviation * table.sd, 3)
            for rate, deviation in zip(table.rates, table.deviations, strict=True)
        }
        told: dict[str, Any] = msgspec.to_builtins(self)
        return told | {
            "fingerprint": self.fingerprint,
            "dimension": self.recogniser.traits.dimension,
            "preprocessing": self.recogniser.traits.preprocessing,
            "similarity_at_false_match_rate": at_rate,
        }


@cache
def shipped(name: str) -> Manifest:
    """The manifest of a pack that comes with the program."""
    return msgspec.json.decode((Path(__file__).parent / f"{name.replace('-', '_')}.json").read_bytes(), type=Manifest)


def unmeasured(dimension: int) -> dict[str, Any]:
    """The defaults for networks that nobody measured here, as plain values: `detector` by kind, `impostors`, `bounds`.

    Fewer dimensions have less room: directions of strangers spread as 1 / sqrt(d), so bounds and spread grow below the
    dimensions that the defaults were measured with.
    """
    told: dict[str, Any] = msgspec.json.decode((Path(__file__).parent / "unmeasured.json").read_bytes())
    wider = max(1.0, math.sqrt(told.pop("dimension") / dimension))
    told["impostors"]["sd"] *= wider
    for bound in told["bounds"].values():
        bound["value"] = min(0.95, round(bound["value"] * wider, 3))
    return told


def manifest_of(values: Mapping[str, Any], path: Path) -> Manifest:
    """Plain values as a manifest. Raises ModelError: something is missing, unknown or of the wrong kind."""
    try:
        manifest = msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        raise ModelError(f"{path} does not describe a model pack: {error}") from error
    if missing := set(BOUNDS) - set(manifest.bounds):
        raise ModelError(f"{path} does not describe a model pack: no bound {', '.join(sorted(missing))}")
    return manifest


def read_overrides(path: Path) -> dict[str, Any]:
    """What a folder of networks says of itself, {} where it says nothing. Raises ModelError: not JSON."""
    try:
        told = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise ModelError(f"{path} must hold a table of a pack's values, as docs/models.md shows")
    return told


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables of tables as one; where both have a value, the one above counts."""
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = laid_over(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
