"""The traits of the default pack for tests that need no file of it, and a folder of real networks where there is
one."""

from __future__ import annotations

from pathlib import Path

from face_organizer.adapters.manifest import shipped
from face_organizer.traits import Scaling, Traits

YUNET = shipped("opencv-zoo").detector.traits
SFACE = shipped("opencv-zoo").recogniser.traits
PLAIN = Traits(YUNET, SFACE)
"""Without whitening."""

RAW = Scaling(mean=0.0, std=1.0)

SCRFD = Path(__file__).resolve().parents[1].parent / "shared" / "models"
NO_SCRFD = f"{SCRFD.parent.name}/{SCRFD.name} does not lie beside the checkout"
