"""The elbow's curve, for people as a picture and for programs as JSON; and a font to draw with.

Room:    adapters (touches the state folder, and matplotlib, which is imported only here and only when it draws)
Imports: private, msgspec, matplotlib
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from face_organizer.adapters.private import keep_private, replace_private


def write_elbow(folder: Path, curve: Mapping[str, Any]) -> Path:
    """Write elbow.json and elbow.png into the folder, in place of those of the run before. Returns the picture's path.

    curve: {"chosen": a number of people, "people": [numbers tried], "cost": [of each]}. Raises OSError.
    """
    replace_private(folder / "elbow.json", msgspec.json.format(msgspec.json.encode(curve), indent=2))
    # Its caches belong where the state is: a service has no home, and would make them anew at every start.
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    replace_private(folder / "elbow.png", _drawn(curve))
    keep_private(folder / "matplotlib")
    return folder / "elbow.png"


def font_file() -> Path:
    """A TrueType font that knows the letters of most of Europe."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def _drawn(curve: Mapping[str, Any]) -> bytes:
    """The curve with its elbow marked, as PNG. Without pyplot: it keeps global state and wants the main thread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    people, cost, chosen = curve["people"], curve["cost"], curve["chosen"]
    axes.plot(people, cost, marker="o", markersize=4, label="k-means")
    axes.plot([people[0], people[-1]], [cost[0], cost[-1]], linestyle=":", color="grey", label="chord")
    axes.axvline(chosen, linestyle="--", color="tab:red", label=f"elbow: {chosen} people")
    axes.set_xlabel("people")
    axes.set_ylabel("cost: 1 - mean similarity to the nearest centroid")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    return png.getvalue()
