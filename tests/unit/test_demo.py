"""The demo's inbox: enough variety, the same every time, and a clear word when its pictures are missing."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_organizer import demo
from face_organizer.errors import FaceOrganizerError


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stands in for the installed packages: each picture is noise of its own, large enough for all its portraits."""

    def locate(picture: demo.Picture) -> Path:
        path = tmp_path / Path(picture.path).name
        if not path.exists():
            noise = np.random.default_rng(len(path.name)).integers(0, 256, (600, 1300, 3), np.uint8)
            Image.fromarray(noise).save(path, format="BMP")  # quick to open
        return path

    monkeypatch.setattr(demo, "locate", locate)


@pytest.mark.usefixtures("pictures")
def test_it_writes_several_images_of_each_person_and_the_group_photo(tmp_path: Path) -> None:
    inbox = tmp_path / "new" / "inbox"

    count = demo.write_demo_images(inbox, seed=1)

    names = sorted(path.name for path in inbox.iterdir())
    assert count == len(names) == len(demo.PEOPLE) * demo.VARIANTS + 1 == 65
    assert names[0] == "IMG_0001.jpg"
    assert (inbox / "group-photo.jpg").read_bytes() == demo.locate(demo.GROUP).read_bytes()
    assert len({path.read_bytes() for path in inbox.iterdir()}) == count


@pytest.mark.usefixtures("pictures")
def test_the_same_seed_gives_the_same_images_and_another_seed_gives_others() -> None:
    def pixels(seed: int) -> list[bytes]:
        return [image.tobytes() for _, image in islice(demo.vary_people(seed), 12)]

    assert pixels(1) == pixels(1)
    assert not set(pixels(1)) & set(pixels(2))


@pytest.mark.usefixtures("pictures")
def test_every_image_is_a_crop_of_a_plausible_size() -> None:
    sides = [image.size for _, image in islice(demo.vary_people(3), 16)]

    assert all(width == height and 150 <= width <= 260 for width, height in sides)
    assert len(set(sides)) > len(sides) / 3


def test_a_face_stays_in_the_middle_of_its_crop_however_it_is_turned() -> None:
    canvas = np.zeros((400, 400, 3), np.uint8)
    canvas[195:206, 245:256] = 255
    portrait = demo.Portrait(demo.GROUP, (250.5, 200.5), 100, 30)
    rng = np.random.default_rng(0)

    for _ in range(20):
        crop = np.asarray(demo._crop(Image.fromarray(canvas), portrait, rng))
        y, x = np.argwhere(crop[:, :, 0] > 128).mean(axis=0)
        assert math.hypot(x - len(crop) / 2, y - len(crop) / 2) < 0.09 * len(crop)


def test_missing_pictures_are_named_with_the_command_that_brings_them() -> None:
    with pytest.raises(FaceOrganizerError, match=r"no_such_package/a\.jpg is missing.*scripts/run demo"):
        demo.locate(demo.Picture("no_such_package", "a.jpg"))
    with pytest.raises(FaceOrganizerError, match=r"PIL/data/a\.jpg is missing"):
        demo.locate(demo.Picture("PIL", "data/a.jpg"))
