"""What a command does that is about this machine and not about a library: model packs, doctor, the service.

Room:    app (wires)
Imports: opening, adapters, health, names
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from face_organizer.adapters.control import ask
from face_organizer.adapters.examine import examine
from face_organizer.adapters.install import SETTINGS, Place, Wish, carry_out, check, program_here, steps
from face_organizer.adapters.install import libraries_served as libraries_served
from face_organizer.adapters.models import (
    Pack,
    default_models_dir,
    describe_pack,
    is_away,
    is_pulled,
    is_spoiled,
    known_addresses,
    load_pack,
    verify_pack,
)
from face_organizer.adapters.noted import libraries_noted
from face_organizer.adapters.pull import archive_of, pull, zoo
from face_organizer.adapters.remove import address_meant, is_held, is_known
from face_organizer.adapters.remove import remove_pack as remove_files
from face_organizer.config import STATE_FOLDER, Config, check_libraries
from face_organizer.config_file import load_libraries
from face_organizer.errors import ConfigError, FaceOrganizerError, ModelError, RequestError
from face_organizer.facts import Finding, Machine, PackMissing
from face_organizer.health.diagnose import diagnose

TOLD = ("detector", "dimension", "attributes", "fingerprint", "licence")
"""Of a model pack."""

USUAL = Path("/srv/face-organizer")
"""Where the service has its inbox and its library, unless somebody says otherwise."""


def packs(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """Every model pack we know, by what faces.pack is to be set to; then those that can be pulled.

    state: "held", "away" (its folder is, and it runs from what was made of it), "damaged" or "can be pulled"; of those
    last two the rest may be None.
    """
    known = known_addresses(models_dir)
    rows = [_listed(address, models_dir) for address in known]
    rows += [
        {"name": name, "state": "can be pulled", **dict.fromkeys(TOLD), "licence": zoo().licence}
        for name in sorted(zoo().packs)
        if name not in known
    ]
    return rows


def _listed(address: str, models_dir: Path | None) -> dict[str, Any]:
    """What is told of one that is here, in whatever state."""
    try:
        pack = describe_pack(address, models_dir)
    except ModelError:
        return {"name": address, "state": "damaged", **dict.fromkeys(TOLD)}
    state = "away" if is_away(pack, models_dir) else "damaged" if is_spoiled(address, models_dir) else "held"
    return {"name": address, "state": state, **_told(pack)}


def _told(pack: Pack) -> dict[str, Any]:
    return {
        "detector": pack.detector_kind,
        "dimension": pack.dimension,
        "attributes": pack.traits.attributes is not None,
        "fingerprint": pack.fingerprint,
        "licence": pack.licence,
    }


def terms_of(name: str) -> str:
    """What is to be accepted before a pack is pulled, and how much comes. Raises ModelError: no such pack."""
    return f"{zoo().terms}\n\n{name}.zip has {archive_of(name).size_bytes / 1e6:,.0f} MB."


def pull_pack(name: str, models_dir: Path | None, source: str, tick: Callable[[int, int], None]) -> dict[str, Any]:
    """Fetch a pack, unless it is here and sound, and make it fit to run; the terms have been accepted. Raises
    ModelError."""
    anew = is_pulled(name, models_dir or default_models_dir()) and is_spoiled(name, models_dir)
    folder = pull(name, models_dir, source, tick, anew=anew)
    pack = load_pack(name, models_dir)
    return {"name": name, "folder": str(folder), **_told(pack)}


def verify_packs(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """What is wrong with the files of each pack. One never used is made first; a run mends the others."""
    rows = []
    for address in known_addresses(models_dir):
        try:
            if not describe_pack(address, models_dir).recogniser_path.exists():
                load_pack(address, models_dir)
            problems = verify_pack(address, models_dir)
        except ModelError as error:
            problems = [str(error)]
        rows.append({"name": address, "ok": not problems, "problem": "; ".join(problems)})
    return rows


def remove_pack(name: str, models_dir: Path | None = None, *, unasked: bool = False) -> dict[str, Any]:
    """Delete what is held of a pack that no library needs; a folder that somebody brought stays. Twice is once.

    {"name", "removed": the folders that were there}. unasked: although libraries that went by it cannot be seen now.
    Raises RequestError naming the libraries that need it, or may, ModelError, AlreadyRunningError and StoreError where
    one of them cannot be asked.
    """
    address = address_meant(name, models_dir)
    if not is_held(name, models_dir) and not is_known(name, models_dir):
        held = ", ".join(known_addresses(models_dir))
        raise RequestError(f"nothing is held of {name}, and no pack is called so, or lies there; there are {held}")
    away = []
    for library, packs in libraries_noted(models_dir).items():
        if _is_away(library):
            away += [str(library)] if not packs or address in packs else []
            continue
        in_use, beside = _packs_held(library)
        if address == in_use:
            raise RequestError(
                f"the library {library} goes by the model pack {address}: `face-organizer reembed --pack NAME --library"
                f" {library}` moves it to another, and --discard gives up the way back"
            )
        if address == beside:
            raise RequestError(
                f"the library {library} holds embeddings of the model pack {address} beside those in use:"
                f" `face-organizer reembed --discard --library {library}` deletes them"
            )
    if away and not unasked and is_held(name, models_dir):
        raise RequestError(
            f"what went by the model pack {address}, or may have, is not where it was: {', '.join(away)}. A library"
            " that is only away (unplugged, renamed) needs its pack when it is back; if none does, say it again with"
            " --yes"
        )
    return {"name": address, "removed": [str(folder) for folder in remove_files(name, models_dir)]}


def _is_away(library: Path) -> bool:
    """Is no library where one was? One that may not be looked into is there."""
    try:
        return not (library / STATE_FOLDER / "truth").is_dir()
    except PermissionError:
        return False


def _packs_held(library: Path, *, looking: bool = False) -> tuple[str, str]:
    """The pack that a library goes by, and the one beside it; "" where there is none. looking: see packs_held."""
    try:
        told = ask(library / STATE_FOLDER, "reembed_told")
    except ConnectionError:
        from face_organizer.app.opening import packs_held  # which takes a second

        return packs_held(library, looking=looking)
    return told["in_use"], told["beside"]["pack"] if told["beside"] else ""


def inbox_of(library: Path) -> str | None:
    """The inbox that a library was filled from last; None where that cannot be told."""
    from face_organizer.app.opening import settings_noted  # which takes a second

    noted = settings_noted(library)
    return noted.inbox if noted is not None else None


def examined(libraries: Mapping[str, Config]) -> tuple[Machine, list[Finding]]:
    """What is so on this machine, and what the doctor says of it; takes some seconds, changes nothing of a library.

    libraries: see config_file.load_libraries.
    """
    folders: list[tuple[str, Path]] = []
    for config in libraries.values():
        state = config.library_path / STATE_FOLDER
        folders += [("inbox", config.inbox_path), ("library", config.library_path)]
        folders += [("state", state.resolve() if os.access(state, os.F_OK) else config.state_path)]
    shared = next(iter(libraries.values()))
    machine = examine(",".join(shared.faces.wanted), folders, models_folder(shared))
    machine = replace(machine, packs_missing=tuple(filter(None, map(_pack_missing, libraries.values()))))
    return machine, diagnose(machine)


def _pack_missing(config: Config) -> PackMissing | None:
    """Whether the pack that a library goes by is not to be had; None where it is, or nobody can tell."""
    from face_organizer.app.opening import settings_noted  # which takes a second

    library = config.library_path
    try:
        in_use, _ = _packs_held(library, looking=True)
    except (FaceOrganizerError, OSError):
        return None
    noted = settings_noted(library)
    try:
        if in_use:
            describe_pack(in_use, models_folder(config) or (models_folder(noted) if noted else None))
    except ModelError as error:
        return PackMissing(str(library), in_use, str(error))
    return None


def install_service(
    inbox: Path | None, library: Path | None, user: str, *, gpu: bool, web: bool, dry_run: bool
) -> tuple[list[str], list[Path]]:
    """Set up the system service, or with dry_run only say how: the commands, as a shell would take them, and the
    inboxes.

    It serves the libraries that its settings name, or the one of inbox and library (None: the usual ones) where they
    have no [[library]] tables. Raises ConfigError, RequestError.
    """
    libraries = _served(inbox, library)
    check_libraries(libraries)
    tables = "" not in libraries
    wish = Wish(program_here(), tuple(map(_place, libraries.values())), user, gpu, web, tables)
    todo = steps(wish)
    if not dry_run:
        carry_out(todo)
        check(wish)
    return [str(step) for step in todo], [place.inbox for place in wish.places]


def _served(inbox: Path | None, library: Path | None) -> dict[str, Config]:
    """By name; "" is the only one."""
    settings = SETTINGS if SETTINGS.exists() else None
    named = {"inbox": str(inbox.absolute()) if inbox else None, "library": str(library.absolute()) if library else None}
    libraries = load_libraries(settings, **named)
    if "" in libraries:
        libraries = load_libraries(settings, **{key: named[key] or str(USUAL / key) for key in named})
    for config in libraries.values():
        for path in (config.inbox, config.library, config.state_dir, config.faces.models_dir):
            if path and not path.startswith("/"):
                raise ConfigError(f"{SETTINGS}: {path} must begin with /, for the service starts in no folder of yours")
    return libraries


def _place(config: Config) -> Place:
    models_dir = models_folder(config)
    besides = [config.state_path] if config.state_dir else []
    return Place(config.inbox_path, config.library_path, (*besides, *([models_dir] if models_dir else [])))


def models_folder(config: Config) -> Path | None:
    """Where made and pulled packs lie; None: at the usual place."""
    return Path(config.faces.models_dir).expanduser() if config.faces.models_dir else None
