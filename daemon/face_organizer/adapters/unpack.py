"""Unpack a pack's zip file: its networks, and nothing else it may hold.

Room:    adapters
Imports: errors, disk, stdlib

What a member is called decides nothing but its last name: no path leads out of the folder, no link is made. Sizes are
bounded by what is written, not by what the file claims.
"""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from face_organizer.adapters.disk import flush
from face_organizer.errors import ModelError

MEMBERS_MAX = 64
NETWORK_BYTES_MAX = 512 << 20
PACK_BYTES_MAX = 1 << 30
_CHUNK_BYTES = 1 << 20


def unpack(archive: Path, target: Path, says: Mapping[str, object], terms: str) -> None:
    """Make the folder target of the .onnx files in the archive, with a pack.json that `says`, and the terms; a damaged
    one that is there goes.

    Whole or not at all. Raises ModelError: no sound archive, or one that no pack has; OSError.
    """
    staged = target.with_name(f".{target.name}.part")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            _write_all(opened, _networks(opened, archive), staged)
        (staged / "pack.json").write_text(json.dumps(says, indent=2))
        (staged / "TERMS.txt").write_text(f"{terms}\n")
        for path in (*staged.iterdir(), staged):
            flush(path)
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        staged.rename(target)
        flush(target.parent)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise ModelError(f"{archive} is no sound zip file: {error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _networks(opened: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """The members that are networks, by their last name. Raises ModelError."""
    members = opened.infolist()
    if len(members) > MEMBERS_MAX:
        raise ModelError(f"{archive} holds {len(members)} files: that is no model pack")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/")).name
        if member.is_dir() or not name.endswith(".onnx") or name.startswith("."):
            continue
        if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1:
            raise ModelError(f"{archive} holds {member.filename!a} as a link, or encrypted: that is no model pack")
        if name in found:
            raise ModelError(f"{archive} holds {name!a} twice: that is no model pack")
        found[name] = member
    if not found:
        raise ModelError(f"{archive} holds no .onnx file: that is no model pack")
    return found


def _write_all(opened: zipfile.ZipFile, networks: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    in_all = 0
    for name, member in networks.items():
        written = 0
        with opened.open(member) as source, (folder / name).open("xb") as file:
            while data := source.read(_CHUNK_BYTES):
                written += file.write(data)
                in_all += len(data)
                if written > NETWORK_BYTES_MAX or in_all > PACK_BYTES_MAX:
                    raise ModelError(f"{name} unpacks to more than a network can be: a bomb, or a broken file")
