"""The README.txt that a library carries: what its folders are, and what one says by rearranging them.

Room:    adapters (touches the library)
Imports: adapters.actual, adapters.files, stdlib

Written once, and renewed when the text is another; never over what somebody else wrote, nor again once it was removed.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from face_organizer.adapters.actual import open_root
from face_organizer.adapters.files import Spot, status, text_of, unlink, write_new

NAME = "README.txt"
SIZE_MAX_BYTES = 1 << 16
SIGNED = "Written by face-organizer, which renews this text unless you change it: "
TEXT = """\
This folder is a library of Face Organizer. Each folder in it is a person, and holds the images that show that person.

  outliers/     images of people who are in no folder (yet)
  trash/        images that you deleted from somebody's folder, and that are still elsewhere
  no_face/      images in which no face was found
  quarantine/   files that could not be read, each with the reason beside it

The files are yours, unchanged. You may copy them, open them, and put right what is wrong, here, with any file manager:

  drag an image to another person's folder      that is who it shows
  rename a folder                               that is the person's name
  drag all of a folder into another             the two are one person
  make a folder and drag images into it         that is somebody new
  delete an image, or drag it to outliers/      it does not show that person
  copy an image to a folder                     that person is in it, too
  delete a folder                               that person is to have no folder

A few seconds after you have stopped, or at the next start, it is understood and kept: no later sorting undoes it.
If it was a mistake:

  face-organizer history --library THIS_FOLDER     what was decided
  face-organizer undo --library THIS_FOLDER        takes the last decision back, and the folders are as before

New images belong into the inbox. The hidden folder .face-organizer holds what is known of who is who; deleting it
deletes no image.
"""


def renew_readme(library: Path, known: str) -> str:
    """Bring the text up to date; returns what is to be `known` at the next call, "" at the first.

    Raises OSError: the library is away, full or read-only.
    """
    mark = _mark(TEXT)
    if known == mark:
        return mark
    with contextlib.ExitStack() as opened:
        spot = Spot(open_root(library, opened), library / NAME)
        is_there = status(spot) is not None
        if is_there and not _is_ours(spot):
            return mark
        if is_there:
            unlink(spot)
        if is_there or not known:  # else somebody removed it, and wants none
            with contextlib.suppress(FileExistsError):
                write_new(f"{TEXT}\n{SIGNED}{mark}\n".encode(), spot, ".face-organizer-readme.part")
    return mark


def _is_ours(spot: Spot) -> bool:
    """Is it just as we wrote it, in this version or an older one?"""
    text, _, mark = (text_of(spot, SIZE_MAX_BYTES) or b"").decode("utf-8", "replace").rpartition(SIGNED)
    return bool(text) and mark.strip() == _mark(text.removesuffix("\n"))


def _mark(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
