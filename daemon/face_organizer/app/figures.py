"""The figures of an organizer, for a program that watches over it.

Room:    app (wires)
Imports: calls, pipeline
"""

from __future__ import annotations

from typing import Any

from face_organizer.calls.desk import Answer
from face_organizer.pipeline.timing import Timings

COUNTED = {
    "images": "Images known",
    "faces": "Faces known",
    "persons": "Persons who have a face",
    "outliers": "Images whose faces belong to nobody",
    "no_face": "Images without a usable face",
    "quarantined": "Files that could not be used",
    "duplicates": "Files whose content was known",
    "pending": "Files that have yet to be placed",
    "in_flight": "Images on their way",
    "decisions": "Decisions made",
    "store_bytes": "Size of the database",
    "up_s": "Seconds since the start",
}


def figures_of(status: Answer, timings: Timings, taken_in: int) -> dict[str, Any]:
    """As web/metrics.py wants them. status: the answer of the call."""
    gauges: dict[str, tuple[str, str, Any]] = {name: (told, "", status[name]) for name, told in COUNTED.items()}
    gauges["taken_in"] = ("Images that were submitted since the start and have left", "", taken_in)
    gauges["queue_length"] = ("Images waiting before a step", "queue", status["queues"])
    gauges["trash"] = ("Files in trash/", "", status["trash"] or 0)
    gauges["paused"] = ("A disk is too full to go on", "", int(status["paused"] is not None))
    gauges["reclustering"] = ("A re-clustering is running", "", int(status["reclustering"]))
    gauges["notices"] = ("Devices that are not used, though they were asked for", "", len(status["notices"]))
    gauges["problems"] = ("What cannot be done for now", "", len(status["problems"]))
    gauges["index_faces"] = ("Faces in the index", "", status["index"]["faces"])
    hung = {name: int(each["state"] == "working") for name, each in status["threads"].items()}
    gauges["thread_working"] = ("Whether a thread works (1) or waits (0)", "thread", hung)
    for figure, (told, values) in _devices(status.get("devices")).items():
        gauges[figure] = (told, "device", values)
    return {"gauges": gauges, "latencies": timings.histograms()}


def _devices(devices: Any) -> dict[str, tuple[str, dict[str, float]]]:
    """device_NAME of every plain number that is known of a device."""
    found: dict[str, tuple[str, dict[str, float]]] = {}
    rows = devices.items() if isinstance(devices, dict) else ((each.get("device"), each) for each in devices or ())
    for device, row in rows:
        for key, value in row.items():
            if isinstance(value, int | float):
                name = f"device_{key.removeprefix('device_')}"
                found.setdefault(name, (f"{key} of a device", {}))[1][str(device)] = float(value)
    return found
