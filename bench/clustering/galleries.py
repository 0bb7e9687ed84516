"""What is clustered: embeddings of real photos, and synthetic ones of any number; each with its nearest neighbours."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse

from face_organizer.adapters.index import FaceIndex
from face_organizer.identity.graph import symmetric_graph

EXACT_MAX = 20_000
"""Up to so many faces the neighbours are exact; above, those that the daemon's inverted file finds."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """vectors: float16 (n, d) unit rows, in order of arrival; who: int (n,), the truth; founder: bool (n,);
    neighbours, similarities: (n, k), best first, -1 for none."""

    vectors: np.ndarray
    who: np.ndarray
    founder: np.ndarray
    neighbours: np.ndarray
    similarities: np.ndarray

    def graph(self, similarity_min: float) -> sparse.csr_array:
        return symmetric_graph(np.arange(len(self.who)), self.neighbours, self.similarities, similarity_min)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("vectors", "who", "founder", "neighbours", "similarities"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        return folder


@dataclass(frozen=True, slots=True)
class Search:
    """How neighbours are found: k of them, by nprobe lists of the inverted file, among all faces or only among the
    earlier ones, as the daemon does when it enrols them."""

    k: int = 20
    nprobe: int = 32
    among: str = "earlier"


def load_gallery(folder: Path) -> Gallery:
    arrays = ("vectors", "who", "founder", "neighbours", "similarities")
    return Gallery(*(np.load(folder / f"{name}.npy") for name in arrays))


def with_neighbours(vectors: np.ndarray, who: np.ndarray, founder: np.ndarray, how: Search) -> Gallery:
    """Find everybody's neighbours. vectors: (n, d), in order of arrival."""
    streamed = how.among == "earlier"
    n, d = vectors.shape
    index = FaceIndex(d, flat_max_faces=EXACT_MAX, retrain_factor=4, nprobe=how.nprobe, threads=2)
    neighbours, similarities = (np.full((n, how.k), -1, kind) for kind in (np.int32, np.float32))
    if not streamed:
        _fill(index, vectors)
    for first in range(0, n, 256):
        rows = np.arange(first, min(first + 256, n))
        probes = vectors[rows].astype(np.float32)
        if streamed:
            index.add(rows, probes)
        ids, found = index.search(probes, how.k + 1)
        if streamed and index.needs_training():
            count = int(rows[-1]) + 1
            index.swap(index.train(partial(_chunks, vectors[:count]), count), *_nothing(d))
        own = ids == rows[:, None]
        own[~own.any(axis=1), -1] = True  # not among its own neighbours: the last one goes instead
        neighbours[rows] = ids[~own].reshape(len(rows), how.k)
        similarities[rows] = found[~own].reshape(len(rows), how.k)
    return Gallery(vectors.astype(np.float16), who, founder, neighbours, similarities)


def _fill(index: FaceIndex, vectors: np.ndarray) -> None:
    if len(vectors) > EXACT_MAX:
        index.swap(index.train(lambda: _chunks(vectors), len(vectors)), *_nothing(vectors.shape[1]))
        return
    for ids, part in _chunks(vectors):
        index.add(ids, part)


def _chunks(vectors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(vectors), 8192):
        part = vectors[start : start + 8192].astype(np.float32)
        yield np.arange(start, start + len(part)), part


def _nothing(d: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, np.int64), np.empty((0, d), np.float32)


# real photos


@dataclass(frozen=True, eq=False)
class Faces:
    """What bench/embed.py made of photos. people: str (n,)."""

    people: np.ndarray
    vectors: np.ndarray
    founder: np.ndarray

    def rows(self, which: np.ndarray) -> Faces:
        return Faces(self.people[which], self.vectors[which], self.founder[which])

    def half(self, odd: int) -> Faces:
        """The people whose name has an even or an odd CRC-32."""
        return self.rows(np.array([zlib.crc32(person.encode()) % 2 == odd for person in self.people.tolist()]))


def read_faces(files: Sequence[Path], *, seed: int = 0) -> Faces:
    """One file's faces, in random order. Of several files the later ones hold hard versions of photos of the first:
    then each photo counts once, half of those that have hard versions as it is and half in one of them."""
    stored = [np.load(file) for file in files]
    version_of: dict[str, list[int]] = {}
    for number, file in enumerate(stored):
        for name in dict.fromkeys(file["names"].tolist()):
            version_of.setdefault(name, []).append(number)
    rng = np.random.default_rng(seed)
    drawn = {name: _drawn(rng, numbers) for name, numbers in sorted(version_of.items())}
    kept = [
        np.array([drawn[name] == number for name in file["names"].tolist()], bool) for number, file in enumerate(stored)
    ]
    names = np.concatenate([file["names"][rows] for file, rows in zip(stored, kept, strict=True)])
    people = np.array([name.rsplit("_", 1)[0] for name in names.tolist()])
    vectors = np.concatenate([file["embeddings"][rows] for file, rows in zip(stored, kept, strict=True)])
    founder = np.concatenate([file["founder"][rows] for file, rows in zip(stored, kept, strict=True)])
    return Faces(people, vectors.astype(np.float16), founder).rows(rng.permutation(len(people)))


def _drawn(rng: np.random.Generator, numbers: list[int]) -> int:
    if len(numbers) == 1 or rng.random() < 0.5:
        return numbers[0]
    return int(rng.choice(numbers[1:]))


# synthetic ones


def synthetic(n: int, d: int, *, largest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n embeddings of people of very unequal sizes: one of `largest` faces, two in five of 1 to 5. float16 (n, d), and
    who it is, int (n,).

    Directions are drawn from a falling spectrum of about 150 effective dimensions, as networks' are, so that strangers
    reach a cosine of .30 once in 10,000 pairs and .39 once in a million (isotropic ones in 512 dimensions never would).
    A person's faces have a cosine of .58 +- .12 (from person to person) within one look of him (age, hair, glasses),
    and up to a third less across his 1 to 6 looks. One person in 20 has a relative at a cosine of .30 to .55. One face
    in 30 is poor: it shows less of the person, and some of what all poor faces of its kind (one of 6) have in common.
    """
    rng = np.random.default_rng(seed)
    scale = np.exp(-np.arange(d) / 150).astype(np.float32)  # of variance: exp(-i / 75), which counts as 150
    sizes = _sizes(rng, n, largest)
    people = _directions(rng, len(sizes), scale)
    relatives = 2 * rng.choice(len(sizes) // 2, len(sizes) // 40, replace=False)
    likeness = rng.uniform(0.30, 0.55, len(relatives)).astype(np.float32)[:, None]
    people[relatives + 1] = likeness * people[relatives] + np.sqrt(1 - likeness**2) * people[relatives + 1]
    looks = rng.integers(1, 7, len(sizes))
    apart = rng.uniform(0, 0.35, len(sizes)).astype(np.float32)
    within = np.clip(rng.normal(0.58, 0.12, len(sizes)), 0.30, 0.85).astype(np.float32)
    first_look = np.cumsum(looks) - looks
    look = _directions(rng, int(looks.sum()), scale)
    poor_kinds = _directions(rng, 6, scale)

    who = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    vectors = np.empty((n, d), np.float16)
    for start in range(0, n, 20_000):
        part = who[start : start + 20_000]
        m = len(part)
        shown = np.clip(within[part] * np.clip(rng.normal(1, 0.1, m), 0.5, 1.3), 0.05, 0.95).astype(np.float32)
        poor = rng.random(m) < 1 / 30
        shown[poor] *= rng.uniform(0.3, 0.7, int(poor.sum())).astype(np.float32)
        common = np.where(poor, rng.uniform(0.1, 0.3, m), 0).astype(np.float32)
        row = first_look[part] + rng.integers(0, looks[part])
        mixed = np.sqrt(shown * (1 - apart[part]))[:, None] * people[part]
        mixed += np.sqrt(shown * apart[part])[:, None] * look[row]
        mixed += np.sqrt(common)[:, None] * poor_kinds[rng.integers(0, 6, m)]
        mixed += np.sqrt(np.maximum(1 - shown - common, 0))[:, None] * _directions(rng, m, scale)
        vectors[start : start + m] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return vectors, who


def _sizes(rng: np.random.Generator, n: int, largest: int) -> np.ndarray:
    sizes = [largest] if largest else []
    while sum(sizes) < n:
        more = np.clip(rng.lognormal(2.2, 1.5, 1000), 1, 3000).astype(int).tolist()
        sizes += more
    ends = np.cumsum(sizes)
    last = int(np.searchsorted(ends, n))
    return np.array([*sizes[:last], n - (int(ends[last - 1]) if last else 0)])


def _directions(rng: np.random.Generator, count: int, scale: np.ndarray) -> np.ndarray:
    drawn = rng.standard_normal((count, len(scale)), np.float32) * scale
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn
