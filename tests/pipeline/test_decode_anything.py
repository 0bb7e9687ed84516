"""Whatever becomes of the bytes of an image: decoding gives sane pixels or a DecodeError, soon and in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from process import environment

GREW_MAX_BYTES = 400_000_000
"""By the process over the whole run: decode's own bound at PIXELS_MAX of fuzzing.py, libraries, and a margin."""


@pytest.mark.parametrize(
    ("examples", "within_s"),
    [(1500, 110), pytest.param(60_000, 3000, marks=[pytest.mark.long, pytest.mark.timeout(3100)])],
)
def test_mutated_images_of_every_format_give_sane_pixels_or_a_decode_error(examples: int, within_s: float) -> None:
    """In a process of its own, so that a crash of a decoder is a failure of one test, and its peak is its own."""
    program = Path(__file__).parents[1] / "fuzzing.py"

    done = subprocess.run(
        [sys.executable, program, str(examples)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )

    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-4000:])
    told = json.loads(done.stdout)
    assert told["examples"] >= examples
    assert told["read"] > examples / 20
    assert told["refused"] > examples / 20
    assert told["grew_bytes"] < GREW_MAX_BYTES
