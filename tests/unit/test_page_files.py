"""The files of the page: small, all of them shipped; nothing in them reaches out or reads markup from a text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import face_organizer

PACKAGE = Path(face_organizer.__file__).parent
STATIC = PACKAGE / "web" / "static"
FILES = sorted(STATIC.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
LINES_MAX = 350

NAMESPACE = "http://www.w3.org/2000/svg"
READS_MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser")
IMPORT = re.compile(r'^import [^"]*"\./([^"]+)"', re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host(file: Path) -> None:
    assert "://" not in file.read_text().replace(NAMESPACE, "")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_makes_markup_of_a_text(file: Path) -> None:
    assert READS_MARKUP.search(file.read_text()) is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_can_be_read_in_one_go(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LINES_MAX


def test_every_script_is_imported_by_another_or_by_the_page() -> None:
    page = (STATIC / "index.html").read_text()
    imported = {name for file in SCRIPTS for name in IMPORT.findall(file.read_text())}

    assert {file.name for file in SCRIPTS if f"/static/{file.name}" not in page} == imported


def test_the_page_has_neither_scripts_nor_styles_inline() -> None:
    page = (STATIC / "index.html").read_text()

    assert re.findall(r"<style|style=|<script>|\son[a-z]+=", page) == []


def test_all_of_it_is_shipped() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())
    globs = project["tool"]["setuptools"]["package-data"]["face_organizer"]
    shipped = {file for pattern in globs for file in PACKAGE.glob(pattern)}

    assert set(FILES) <= shipped
