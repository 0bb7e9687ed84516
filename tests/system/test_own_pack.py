"""A library whose model pack is a folder of the user's own, with the real program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
import tiny
from pictures import drawn_face
from process import as_json, organizer

from face_organizer.adapters.models import load_pack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """YuNet, SFace, and a made-up network for gender and age."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    folder.mkdir()
    pack = load_pack("opencv-zoo", tmp_path_factory.mktemp("models"))
    shutil.copy(pack.detector_path, folder / "find.onnx")
    shutil.copy(pack.recogniser_path, folder / "recognise.onnx")
    tiny.genderage(folder / "genderage.onnx")
    return folder


def test_a_folder_of_networks_sorts_a_library_and_is_still_known_when_it_is_away(tmp_path: Path, folder: Path) -> None:
    inbox, library, models_dir = tmp_path / "inbox", tmp_path / "library", tmp_path / "models"
    inbox.mkdir()
    for number in range(3):
        cv2.imwrite(str(inbox / f"{number}.png"), drawn_face(150 + number, size=1 + number / 10)[..., ::-1])
    own = folder.parent / "copy"
    shutil.copytree(folder, own)
    config = tmp_path / "config.toml"
    config.write_text(f'[faces]\npack = "{own}"\nmodels_dir = "{models_dir}"\n')
    run = ("run", "--once", "--inbox", inbox, "--library", library)

    assert as_json(*run, "--config", config)["faces"] == 3
    genders = [
        len(
            organizer("export", "--library", library, "--format", "jsonl", "--where", f"gender={each}").stdout.split(
                "\n"
            )
        )
        for each in ("female", "male")
    ]
    assert sum(genders) - 2 == 3  # a line each, and the end of the last

    own.rename(tmp_path / "unplugged")
    assert as_json("check", "--library", library)["findings"] == []
    cv2.imwrite(str(inbox / "more.png"), drawn_face(180, size=1.2)[..., ::-1])
    assert as_json(*run, "--config", config)["faces"] == 4

    other = tmp_path / "other.toml"
    other.write_text('[faces]\npack = "opencv-zoo"\n')
    refused = organizer(*run, "--config", other, expect=1)
    assert "face-organizer reembed --pack opencv-zoo" in refused.stderr
    (tmp_path / "unplugged" / "find.onnx").unlink()
    (tmp_path / "unplugged").rename(own)
    refused = organizer(*run, "--config", config, expect=2)
    assert "there is no detector in it" in refused.stderr


def test_the_pack_is_listed_with_what_is_known_of_it(tmp_path: Path, folder: Path) -> None:
    load_pack(str(folder), tmp_path)

    listed = {row["name"]: row for row in as_json("models", "list", "--models-dir", tmp_path)}
    verified = as_json("models", "verify", "--models-dir", tmp_path)

    assert listed[str(folder)]["attributes"] is True
    assert "unknown" in listed[str(folder)]["licence"]
    assert json.dumps(verified).count('"ok": true') == 2
