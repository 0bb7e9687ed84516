#!/usr/bin/env python3
"""What the questions of `review` are worth: how many wrong faces they find, and whether they know how many.

    python bench/questions.py EMBEDDINGS.npz [--link 0.38]

EMBEDDINGS.npz is what bench/embed.py made of photos with known people. The faces are clustered wrongly on purpose, with
bounds too low (people are fused) or too high (people are split); then every question is answered truly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.clustering.galleries import Search, read_faces, with_neighbours

from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.questions import (
    Bound,
    likely_same,
    likely_strangers,
    similarities_without_self,
    suspects,
)

FUSED, SPLIT = (0.20, 0.25), (0.55, 0.60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--link", type=float, default=0.38, help="the model pack's similarity_link_min")
    given = parser.parse_args()
    faces = read_faces([given.embeddings])
    who = np.unique(faces.people, return_inverse=True)[1]
    gallery = with_neighbours(faces.vectors.astype(np.float32), who, faces.founder, Search(among="all"))
    print(f"{len(who)} faces of {who.max() + 1} people")
    for bound in (*FUSED, given.link, *SPLIT):
        labels = cluster_graph(gallery.graph(bound), gallery.vectors, similarity_min=bound)
        told(gallery.vectors, who, labels, bound, given.link)


def told(vectors: np.ndarray, who: np.ndarray, labels: np.ndarray, bound: float, link: float) -> None:
    """One line for faces with the wrong person, one for pairs of persons that are one."""
    persons = int(labels.max()) + 1
    sums = np.zeros((persons, vectors.shape[1]), np.float32)
    np.add.at(sums, labels, vectors.astype(np.float32))
    sizes, everybody = np.bincount(labels, minlength=persons), np.ones(len(who), np.bool_)
    owner = np.array([np.bincount(who[labels == row]).argmax() for row in range(persons)])
    rows = suspects(similarities_without_self(vectors, labels, everybody, sums, sizes), Bound(link))
    strangers = likely_strangers(
        vectors[rows].astype(np.float32), labels[rows], everybody[rows], sums, sizes, Bound(link)
    )
    strangers.sort(key=lambda each: -each.likely * len(each.rows))
    right = np.cumsum([int((who[rows[each.rows]] != owner[each.person]).sum()) for each in strangers] or [0])
    expected = sum(each.likely * len(each.rows) for each in strangers)
    wrong = int(((who != owner[labels]) & (sizes[labels] > 1)).sum())
    print(
        f"bound {bound:.2f}: {persons} persons; {wrong} faces with the wrong one; {len(strangers)} questions, right by"
        f" the first 10: {right[:10][-1]}, by all: {right[-1]} (expected {expected:.0f})"
    )
    same = likely_same(sums, sizes, Bound(link))
    true = owner[same.a] == owner[same.b]
    split = persons - len(np.unique(owner))
    print(
        f"            {split} persons too many; {len(same.a)} pairs asked about, {int(true.sum())} of them one person"
        f" (expected {same.likely.sum():.0f})"
    )


if __name__ == "__main__":
    main()
