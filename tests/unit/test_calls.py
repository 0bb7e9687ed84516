"""Which calls decide: before those, a command without a daemon takes in what people did in the folders."""

from __future__ import annotations

import pytest

from face_organizer.calls import READING, decides
from face_organizer.calls.decide import Decide
from face_organizer.calls.exchange import Exchange
from face_organizer.calls.reembed import Reembed


@pytest.mark.parametrize("call", ["people", "status", "crowd", "review", "report", "search", *sorted(READING)])
def test_what_only_looks_decides_nothing(call: str) -> None:
    assert not decides(call, {})


@pytest.mark.parametrize("call", ["merge", "undo", "recluster", "would_forget", "import_names", "reembed"])
def test_whoever_decides_or_reclusters_does(call: str) -> None:
    assert decides(call, {})


def test_what_is_asked_with_it_counts() -> None:
    assert decides("check", {"repair": True}) and not decides("check", {"repair": False})
    assert not decides("import_names", {"dry_run": True})


def test_every_call_that_only_reads_is_one() -> None:
    assert all(any(hasattr(owner, call) for owner in (Decide, Exchange, Reembed)) for call in READING)
