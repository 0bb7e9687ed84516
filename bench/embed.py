#!/usr/bin/env python3
"""Makes EMBEDDINGS.npz of a folder of photos with the daemon's own eyes: what the other benches start from.

    python bench/embed.py PHOTOS EMBEDDINGS.npz [--pack opencv-zoo]

PHOTOS is searched for images named PERSON_NNNN.EXT; a photo of several faces gives several rows of one name. Writes
names (n,), embeddings float16 (n, d) unit rows, whitened by the pack as the daemon stores them, quality float32 (n,),
founder bool (n,), and missed (m,), the photos without a face.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.choice import choose_devices
from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.app.parts import decode_photo, make_eyes, open_detectors
from face_organizer.config import Config
from face_organizer.pipeline.see import See
from face_organizer.types import SeenImage

AT_ONCE = 32
IMAGES = {".jpg", ".jpeg", ".png", ".webp"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("embeddings", type=Path)
    arguments.add_argument("--pack", default="opencv-zoo")
    given = arguments.parse_args()

    config = Config()
    pack = load_pack(given.pack)
    device = choose_devices(["auto"]).devices[0]
    cores = len(os.sched_getaffinity(0))
    detectors = open_detectors(pack, device, count=cores, batch_max=AT_ONCE)
    recognisers = open_sessions(pack.recogniser_path, device, count=cores, batch_max=AT_ONCE)
    eyes: SimpleQueue[See] = SimpleQueue()
    for see in make_eyes(detectors, recognisers, config.faces, pack.traits):
        eyes.put(see)

    def look(part: list[Path]) -> list[SeenImage]:
        images = [decode_photo(file.name, file.read_bytes(), config) for file in part]
        see = eyes.get()
        try:
            return see(images)
        finally:
            eyes.put(see)

    files = sorted(path for path in given.photos.rglob("*") if path.suffix.lower() in IMAGES)
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as threads:
        parts = threads.map(look, [files[start : start + AT_ONCE] for start in range(0, len(files), AT_ONCE)])
        images = [image for part in parts for image in part]
    faces = [face for image in images for face in image.faces]
    names = [file.name for file, image in zip(files, images, strict=True) for _ in image.faces]
    missed = [file.name for file, image in zip(files, images, strict=True) if not image.faces]
    np.savez(
        given.embeddings,
        names=np.array(names),
        embeddings=np.stack([face.embedding for face in faces]).astype(np.float16),
        quality=np.array([face.quality for face in faces], np.float32),
        founder=np.array([face.founder for face in faces], np.bool_),
        missed=np.array(missed, np.str_),
    )
    seconds = time.perf_counter() - began
    print(f"{len(files)} photos, {len(names)} faces, {len(missed)} photos without a face, {seconds:.0f} s")


if __name__ == "__main__":
    main()
