"""Run as a program: decodes so many mutations of good images of every format, made by hypothesis.

    python tests/fuzzing.py EXAMPLES [SEED]

With a seed the run is another one each time; without, always the same. Prints what became of them as JSON on stdout. An
exception that is no DecodeError, pixels that make no sense, or an example that takes longer than TOOK_MAX_S ends it
with the bytes in question.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from decoding import memory_bytes
from hostile import seeds
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from face_organizer.errors import DecodeError
from face_organizer.vision.decode import decode

PIXELS_MAX, SIDE_MAX_PX, TOOK_MAX_S = 4_000_000, 640, 20.0


@dataclass(frozen=True, slots=True)
class Change:
    """One mutation. at, size: shares of the file in 1/65536; content: what is written there."""

    kind: str
    at: int
    size: int
    content: bytes


SHARE = st.integers(0, 65_535)
CHANGES = st.builds(
    Change,
    st.sampled_from(["flip", "cut", "insert", "overwrite", "repeat", "remove", "number"]),
    st.one_of(SHARE, st.integers(0, 2000)),  # headers are more interesting than bodies
    st.one_of(SHARE, st.integers(0, 100)),
    st.one_of(
        st.binary(min_size=1, max_size=24), st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\x80"])
    ),
)


def changed(data: bytes, change: Change) -> bytes:
    at = change.at * len(data) // 65_536
    end = min(len(data), at + 1 + change.size * len(data) // 65_536)
    content = change.content
    match change.kind:
        case "flip":
            bit = 1 << content[0] % 8
            return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :] if data else data
        case "cut":
            return data[:at]
        case "insert":
            return data[:at] + content + data[at:]
        case "overwrite":
            return data[:at] + content + data[at + len(content) :]
        case "repeat":
            return data[:end] + data[at:end] * (1 + content[0] % 8) + data[end:]
        case "remove":
            return data[:at] + data[end:]
    return data[:at] + (0xFFFFFFFF - change.size).to_bytes(4, "big" if content[0] % 2 else "little") + data[at + 4 :]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A seed, spliced with another (its end from there) where that is not "", then changed."""

    seed: str
    other: str
    splice_at: int
    changes: list[Change]

    def data(self) -> bytes:
        made = seeds()[self.seed]
        if self.other:
            end = seeds()[self.other]
            made = made[: self.splice_at * len(made) // 65_536] + end[self.splice_at * len(end) // 65_536 :]
        for change in self.changes:
            made = changed(made, change)
        return made


MUTANTS = st.builds(
    Mutant,
    st.sampled_from(sorted(seeds())),
    st.one_of(st.just(""), st.just(""), st.sampled_from(sorted(seeds()))),
    SHARE,
    st.lists(CHANGES, min_size=1, max_size=8),
)


def main(examples: int, number: int | None) -> None:
    became: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        derandomize=number is None,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTANTS)
    def try_one(mutant: Mutant) -> None:
        data, started = mutant.data(), time.perf_counter()
        try:
            found = decode(data, pixels_max=PIXELS_MAX, side_max_px=SIDE_MAX_PX)
        except DecodeError:
            became["refused"] += 1
        else:
            became["read"] += 1
            height, width, channels = found.pixels.shape
            assert channels == 3 and found.pixels.dtype == np.uint8, mutant
            assert 1 <= height <= SIDE_MAX_PX and 1 <= width <= SIDE_MAX_PX, mutant
            assert 1 <= found.width_px * found.height_px <= PIXELS_MAX, mutant
        assert time.perf_counter() - started < TOOK_MAX_S, mutant
        became["examples"] += 1

    before_bytes = memory_bytes("VmRSS")
    (try_one if number is None else seed(number)(try_one))()
    json.dump({**became, "grew_bytes": memory_bytes("VmHWM") - before_bytes}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
