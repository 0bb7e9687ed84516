"""An image that brings the process down each time does not keep the others from being sorted. The real process, on
painted pictures; what kills it is a device that does not survive one of them (failing.py)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from failing import DEADLY
from numbered import paint
from process import COMMAND, Daemon, as_json, files_below, organizer

FAILING = Path(__file__).parents[1] / "failing.py"
PICTURES = 60
STARTS_MAX = 5
"""So many the unit allows (StartLimitBurst) before somebody has to come."""

Run = Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture
def pictures(inbox: Path) -> Path:
    for number in range(PICTURES):
        paint(inbox / f"{number:02}.png", [number % 3], number)
    return paint(inbox / "deadly.png", [1, DEADLY], 99)


def run(inbox: Path, library: Path, described: str) -> subprocess.CompletedProcess[str]:
    arguments = ["run", "--once", "--inbox", inbox, "--library", library]
    return organizer(*arguments, expect=None, command=[sys.executable, str(FAILING), described])


def until_it_ends(inbox: Path, library: Path, described: str) -> list[subprocess.CompletedProcess[str]]:
    """Start it again and again, as systemd does."""
    runs = [run(inbox, library, described)]
    while runs[-1].returncode not in {0, 2} and len(runs) < STARTS_MAX:
        runs.append(run(inbox, library, described))
    return runs


def quarantined(library: Path) -> dict[str, str]:
    """Each image there, and why."""
    folder = library / "quarantine"
    return {path.name: folder.joinpath(f"{path.name}.reason.txt").read_text() for path in folder.glob("*.png")}


@pytest.mark.parametrize("described", ["a:dies", "a:fails", pytest.param("a:fails,b:fails", marks=pytest.mark.long)])
def test_an_image_that_no_start_survives_goes_to_quarantine_and_all_others_to_their_persons(
    inbox: Path, library: Path, pictures: Path, described: str
) -> None:
    runs = until_it_ends(inbox, library, described)

    ends = -signal.SIGSEGV if described == "a:dies" else 1
    ended = [each.returncode for each in runs]
    assert ended in ([ends, ends, 0], [ends, 0]), [each.stderr[-300:] for each in runs]  # at first it may be alone
    assert "ended_at_work" in runs[1].stderr and "ended_at_work" not in runs[0].stderr
    found = quarantined(library)
    assert list(found) == ["deadly.png"]
    told = "signal 11 ended the process" if ends < 0 else "a failed: a: CUDNN_STATUS_EXECUTION_FAILED"
    assert (
        "it brings the program down, and did so by itself, too: " in found["deadly.png"] and told in found["deadly.png"]
    )
    assert len([path for path in files_below(library) if path.parts[0].startswith("person_")]) == PICTURES

    given_up = library / "quarantine" / "deadly.png"  # as the reason says
    os.utime(given_up)
    shutil.move(given_up, inbox)
    assert run(inbox, library, described).returncode == ends
    assert run(inbox, library, "a").returncode == 0
    assert not quarantined(library) and not list(inbox.iterdir())


def test_a_deadly_image_that_somebody_laid_into_a_persons_folder_stays_there(inbox: Path, library: Path) -> None:
    for number in range(9):
        paint(inbox / f"{number:02}.png", [1], number)
    assert run(inbox, library, "a").returncode == 0
    laid = paint(library / "person_0001" / "deadly.png", [1, DEADLY], 99)

    runs = until_it_ends(inbox, library, "a:dies")
    assert [each.returncode for each in runs[:-1]] == [-signal.SIGSEGV] and runs[-1].returncode != -signal.SIGSEGV
    told = [json.loads(line) for line in runs[-1].stderr.splitlines() if '"folders_unclear"' in line]
    assert laid.exists() and any("brings the program down" in line["problem"] for line in told), runs[-1].stderr[-600:]
    assert run(inbox, library, "a:dies").returncode == runs[-1].returncode, "and it is not tried again"


@pytest.mark.long
def test_a_process_that_is_killed_again_and_again_gives_up_no_image_for_that(
    inbox: Path, library: Path, start: Callable[..., Daemon]
) -> None:
    for number in range(400):
        paint(inbox / f"{number:03}.png", [number % 3], number)
    for _ in range(4):
        daemon = start("--inbox", inbox, "--library", library, command=[sys.executable, str(FAILING), "a"])
        daemon.wait_for("image_placed", 20)
        daemon.end(signal.SIGKILL)

    assert run(inbox, library, "a").returncode == 0
    assert not quarantined(library)
    assert len([path for path in files_below(library) if path.suffix == ".png"]) == 400
    assert as_json("check", "--library", library, command=[*COMMAND])["findings"] == []
