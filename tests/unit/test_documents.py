"""What the documents point at is there: files, tests, the rooms' contents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import face_organizer

ROOT = Path(__file__).parents[2]
HOUSE = Path(face_organizer.__file__).parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TESTS = {path.stem: path for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)[^):]*\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def lost_tests(text: str) -> list[str]:
    """Names of tests and of their files, a beginning with "..." too, that are in no folder of tests."""
    sources = "\n".join(path.read_text() for path in TESTS.values())
    lost = []
    for folder, name, dots in re.findall(r"(tests/\w+/)?\b(test_\w+?)(_?\.\.\.|\b)", text):
        there = TESTS.get(name)
        is_file = there is not None and there.is_relative_to(ROOT / folder)
        if not is_file and f"def {name}{'' if dots else '('}" not in sources:
            lost.append(folder + name)
    return lost


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_test_that_is_named_is_there(document: Path) -> None:
    assert lost_tests(document.read_text()) == []


def test_a_test_that_is_gone_would_be_missed() -> None:
    named = "test_kill, tests/unit/test_kill, tests/system/test_kill: `test_kill_upon_kill_...`, `test_kill_upon_k`"

    assert lost_tests(named) == ["tests/unit/test_kill", "test_kill_upon_k"]


def test_the_architecture_lists_files_that_are_there_and_all_of_them_where_it_does_not_say_more() -> None:
    rows = re.findall(r"^\| `(\w+)/` ([^|;]+)", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert {room for room, _ in rows} >= {"vision", "health", "identity", "adapters", "pipeline", "app", "web"}

    for room, listed in rows:
        said = {name.strip() for name in listed.split(",")}
        there = {path.name.partition(".")[0] for path in (HOUSE / room).iterdir()} - {"__init__", "__pycache__"}
        is_whole = not any("..." in name for name in said)
        assert {name for name in said if name.isidentifier()} - there == set(), room
        assert not is_whole or said == there, (room, there - said)
