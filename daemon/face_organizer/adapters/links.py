"""A folder of links to images, for looking through what was found.

Room:    adapters (touches a folder that the user names)
Imports: errors, stdlib
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from face_organizer.errors import RequestError


def link_images(folder: Path, images: Sequence[str]) -> None:
    """Make a new folder with a symbolic link to each image, numbered in their order. Raises RequestError."""
    try:
        folder.mkdir(parents=True)
        for number, image in enumerate(images, start=1):
            (folder / f"{number:04}_{Path(image).name}"[:255]).symlink_to(Path(image).absolute())
    except FileExistsError as error:
        raise RequestError(f"{folder} is there already: name a new folder for the links") from error
    except OSError as error:
        raise RequestError(f"cannot make links in {folder}: {error.strerror}") from error
