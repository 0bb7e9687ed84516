"""What a device has to show before it is trusted: that it runs the networks, and sees what the processor sees.

Room:    app (wires)
Imports: parts, vision, adapters, names
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from face_organizer.adapters.choice import processor
from face_organizer.adapters.models import Pack, default_models_dir
from face_organizer.adapters.proofs import read_proof, write_proof
from face_organizer.adapters.providers import PROVIDERS
from face_organizer.adapters.runtime import Steps, kind_of, way_out
from face_organizer.adapters.session import is_offered
from face_organizer.app.parts import open_recognisers
from face_organizer.errors import ModelError
from face_organizer.ports import Session
from face_organizer.types import Float32
from face_organizer.vision.embed import network_input
from face_organizer.vision.proof import PROOF_VERSION, SIMILARITY_MIN, proof_faces, similarity_of

SPEED_FOR_S = 0.1
"""So long, and one run at least, a device's speed is taken. On one core a run of the proof takes .05 to .15 s."""

WEIGHTY = ("Conv", "Gemm", "MatMul")
"""What the names of operators hold that do nearly all the work, fused or not."""


def check_answer(name: str, answer: Float32, expected: Float32) -> float:
    """How much a device's answer to the proof is like the processor's: its least similarity. Raises ModelError."""
    similarity = similarity_of(answer, expected)
    if similarity < SIMILARITY_MIN:
        raise ModelError(
            f"{name} does not see what the processor sees: on the faces of the proof their similarity is"
            f" {similarity:.4f}, at least {SIMILARITY_MIN} is needed. {way_out(kind_of(name))}"
        )
    return similarity


def check_steps(name: str, steps: Steps) -> None:
    """Did the device run every step of weight? Raises ModelError."""
    kind = kind_of(name)
    provider = "CPU" if kind == "openvino" else PROVIDERS[kind]
    if provider not in steps:
        ran = " and ".join(steps) or "nothing"
        raise ModelError(f"{name} was asked for and {ran} ran the network: {way_out(kind)}")
    strays = [
        f"{count} {operator} on {other}"
        for other, of_other in steps.items()
        for operator, count in of_other.items()
        if other != provider and any(word in operator for word in WEIGHTY)
    ]
    if strays:
        raise ModelError(f"{name} does not run the whole network: {', '.join(strays)}. {way_out(kind)}")


def answer_of(session: Session, pack: Pack) -> Float32:
    """A recogniser's raw output for the faces of the proof, float32 (n, d)."""
    rows = network_input(proof_faces(), pack.traits.recogniser.scaling)
    step = min(session.batch_max, len(rows))
    return np.concatenate([session.run(rows[at : at + step])[0] for at in range(0, len(rows), step)])


def speed_of(session: Session, pack: Pack, *, fully: bool) -> float:
    """Faces a second of one recogniser alone. fully: in its largest batches, after one to warm up."""
    rows = network_input(proof_faces(), pack.traits.recogniser.scaling)
    batch = np.resize(rows, (session.batch_max, *rows.shape[1:])) if fully else rows[: session.batch_max]
    if fully:
        session.run(batch)
    count, began = 0, perf_counter()
    while perf_counter() - began < SPEED_FOR_S:
        session.run(batch)
        count += len(batch)
    return count / (perf_counter() - began)


def expected_of(pack: Pack, models_dir: Path | None) -> Float32:
    """What the processor answers to the proof: kept beside the packs, made where it is not. Raises ModelError.

    ONNX Runtime makes it where it is installed, so that OpenVINO is held to another's answer.
    """
    path = (models_dir or default_models_dir()) / "proofs" / f"{pack.fingerprint}-{PROOF_VERSION}.npy"
    kept = read_proof(path)
    if kept is not None and kept.shape == (len(proof_faces()), pack.traits.recogniser.dimension):
        return kept
    device = "cpu" if is_offered("cpu") else processor()
    answer = answer_of(open_recognisers(pack, device, count=1, batch_max=len(proof_faces()))[0], pack)
    write_proof(path, answer)
    return answer


def told(networks: Sequence[Steps]) -> dict[str, int]:
    """Provider -> steps, of all networks together."""
    counts: Counter[str] = Counter()
    for steps in networks:
        counts.update({provider: sum(of_one.values()) for provider, of_one in steps.items()})
    return dict(counts)
