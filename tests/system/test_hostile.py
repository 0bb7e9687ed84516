"""Hostile and odd images: each is refused with its reason or read rightly, at a bounded cost, and stops nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, corpus, encoded, heic_is_there, seeds
from PIL import Image, features
from process import environment

from face_organizer.vision.decode import BYTES_PER_PIXEL_MAX

TOOK_MAX_S = 20.0
"""For a file of the corpus; the slowest takes 1.5 s on a quiet machine."""

GREW_MAX_BYTES = 160_000_000
"""By any file of the corpus: the largest size that is let through is a JPEG of 119 megapixels, one byte each."""

LARGE, SLACK_BYTES = (2400, 1600), 24_000_000


def write(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def decode_apart(files: dict[str, bytes], folder: Path) -> dict[str, Any]:
    """What decode makes of each, in a process of its own; see decoding.py."""
    write(files | {"~last.png": seeds()["png"]}, folder)
    program = Path(__file__).parents[1] / "decoding.py"
    done = subprocess.run(
        [sys.executable, program, folder], env=environment(), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    assert told.pop("~last.png")["refused"] is None
    return told


def problem_of(case: Case, told: dict[str, Any]) -> str:
    """What is not as it must be; "" if nothing."""
    if told["refused"] is not None:
        return "" if case.says is not None and re.search(case.says, told["refused"]) else told["refused"]
    if case.says == "":
        return ""
    seen = np.array([told["left"], told["right"]])
    right = case.says is None and np.abs(seen - [case.left, case.right]).max() < 25
    return "" if right else f"read as {seen.round().tolist()}"


def test_every_image_of_the_corpus_is_refused_with_its_reason_or_read_rightly_at_a_bounded_cost(tmp_path: Path) -> None:
    cases = corpus()
    assert len(cases) >= 300

    told = decode_apart({name: case.data for name, case in cases.items()}, tmp_path / "corpus")

    assert told.keys() == cases.keys()
    assert {name: found for name, case in cases.items() if (found := problem_of(case, told[name]))} == {}
    assert {name: one["took_s"] for name, one in told.items() if one["took_s"] > TOOK_MAX_S} == {}
    assert {name: one["grew_bytes"] for name, one in told.items() if one["grew_bytes"] > GREW_MAX_BYTES} == {}


def large_images() -> dict[str, bytes]:
    """Four megapixels in every format and mode that takes memory its own way."""
    side = LARGE
    rgb, other = Image.new("RGB", side, (250, 0, 0)), Image.new("RGB", side, (0, 0, 250))
    sixteen = Image.fromarray(np.full(side[::-1], 40_000, np.uint16))
    made = {
        "jpg": encoded(rgb, "JPEG"),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True, subsampling=0),
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG", progressive=True),
        "png": encoded(rgb, "PNG", compress_level=1),
        "palette.png": encoded(rgb.convert("P"), "PNG", compress_level=1),
        "1-bit.png": encoded(rgb.convert("1"), "PNG", compress_level=1),
        "alpha.png": encoded(rgb.convert("RGBA"), "PNG", compress_level=1),
        "grey-alpha.png": encoded(rgb.convert("LA"), "PNG", compress_level=1),
        "16-bit.png": encoded(sixteen, "PNG", compress_level=1),
        "16-bit.tif": encoded(sixteen, "TIFF", compression="tiff_lzw"),
        "float.tif": encoded(Image.fromarray(np.ones(side[::-1], np.float32)), "TIFF", compression="tiff_lzw"),
        "lzw.tif": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "gif": encoded(rgb, "GIF"),
        "webp": encoded(rgb, "WEBP", method=0),
    }
    for name, format_ in {"animated.gif": "GIF", "animated.webp": "WEBP", "animated.png": "PNG"}.items():
        options = {"method": 0} if format_ == "WEBP" else {}
        made[name] = encoded(rgb, format_, save_all=True, append_images=[other, rgb], **options)
    if features.check("avif"):
        made["avif"] = encoded(rgb, "AVIF", speed=10)
    if heic_is_there():
        made["heic"] = encoded(rgb, "HEIF")
    return made


def test_decoding_holds_no_more_than_its_bytes_per_pixel_whatever_the_format(tmp_path: Path) -> None:
    told = decode_apart(large_images(), tmp_path / "large")

    assert {name: one["refused"] for name, one in told.items() if one["refused"]} == {}
    allowed_bytes = LARGE[0] * LARGE[1] * BYTES_PER_PIXEL_MAX + SLACK_BYTES
    assert {name: one["grew_bytes"] for name, one in told.items() if one["grew_bytes"] > allowed_bytes} == {}
