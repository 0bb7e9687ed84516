#!/usr/bin/env python3
"""What a pack.json should say of a folder of networks: how alike strangers look to them, and bounds that follow.

    python bench/bounds.py PACK PHOTOS [--photos 3] [--models-dir DIR]

PACK: a name or a folder. PHOTOS: PERSON/*.jpg, thousands of people rather than hundreds: the rarest rate that can be
measured is a few over the number of pairs of people's photos. Prints JSON for pack.json beside the networks. The bounds
stand where opencv-zoo's do, at the same false-match rates; rarer ones than were seen follow the slope of the last two
points in log rate. Beside it, on stderr: the share of genuine pairs that each bound keeps.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.choice import choose_devices
from face_organizer.adapters.manifest import BOUNDS, shipped
from face_organizer.adapters.models import Pack, load_pack
from face_organizer.app.parts import decode_photo, make_eyes, open_detectors, open_recognisers
from face_organizer.config import Config
from face_organizer.identity.calibrate import deviation_at
from face_organizer.types import Impostors

RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
AT_ONCE = 16
PAIRS_A_RATE = 10
"""A rate is measured if so many pairs lie beyond it."""


def embedded(pack: Pack, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The main face of each file that shows one: unit rows (n, d), and whose it is (n,)."""
    config = Config()
    device = choose_devices(["auto"]).devices[0]
    detectors = open_detectors(pack, device, count=1, batch_max=AT_ONCE)
    (see,) = make_eyes(detectors, open_recognisers(pack, device, count=1, batch_max=AT_ONCE), config.faces, pack.traits)
    rows, who = [], []
    for start in range(0, len(files), AT_ONCE):
        piece = files[start : start + AT_ONCE]
        for file, image in zip(
            piece, see([decode_photo(file.name, file.read_bytes(), config) for file in piece]), strict=True
        ):
            if image.faces and (face := max(image.faces, key=lambda each: each.quality)).founder:
                rows.append(face.embedding)
                who.append(file.parent.name)
    return np.stack(rows), np.array(who)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("pack")
    arguments.add_argument("people", type=Path, metavar="PHOTOS")
    arguments.add_argument("--photos", type=int, default=3, help="of each person, at most")
    arguments.add_argument("--models-dir", type=Path)
    given = arguments.parse_args()
    pack = load_pack(given.pack, given.models_dir)
    folders = sorted(path for path in given.people.iterdir() if path.is_dir())
    vectors, who = embedded(pack, [file for each in folders for file in sorted(each.glob("*.jpg"))[: given.photos]])

    above = np.triu_indices(len(who), 1)
    similarities, same = (vectors @ vectors.T)[above], who[above[0]] == who[above[1]]
    strangers, friends = similarities[~same], similarities[same]
    low, middle = np.quantile(strangers, [0.16, 0.5])
    sd = float(middle - low)
    rates = [rate for rate in RATES if rate * len(strangers) >= PAIRS_A_RATE]
    deviations = [round(float((np.quantile(strangers, 1 - rate) - middle) / sd), 2) for rate in rates]
    source = f"{len(folders)} people of {given.people.name}: {len(strangers):,} pairs of strangers (bench/bounds.py)"
    impostors = Impostors(round(float(middle), 4), round(sd, 4), tuple(rates), tuple(deviations))
    bounds = {}
    for name in BOUNDS:
        rate = shipped("opencv-zoo").bounds[name].false_match_rate
        assert rate is not None
        value = round(impostors.mean + deviation_at(impostors, rate) * impostors.sd, 3)
        bounds[name] = {"value": value, "false_match_rate": rate, "source": source}
        kept = f"{(friends >= value).mean():.4f}" if len(friends) else "unknown"
        print(f"{name} {value}: keeps {kept} of {len(friends)} genuine pairs", file=sys.stderr)
    table = {"mean": impostors.mean, "sd": impostors.sd, "rates": rates, "deviations": deviations, "source": source}
    print(json.dumps({"impostors": table, "bounds": bounds}, indent=2))


if __name__ == "__main__":
    main()
