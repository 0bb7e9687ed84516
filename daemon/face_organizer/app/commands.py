"""What a command does: ask the daemon that owns the library, or open the library for this one call.

Room:    app (wires)
Imports: opening, shown, calls (all only when they are needed), organizer (its type), adapters, health, names

Asking a running daemon should take no longer than the answer: the heavy rooms are imported only where they are needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face_organizer.adapters.control import ask
from face_organizer.adapters.examine import examine
from face_organizer.adapters.files import digest_at
from face_organizer.adapters.install import Wish, carry_out, check, program_here, steps
from face_organizer.adapters.log import open_log
from face_organizer.adapters.models import list_packs, load_pack, verify_pack
from face_organizer.adapters.results import link_images as link_images
from face_organizer.adapters.results import write_result as write_result
from face_organizer.config import Config, check_folders, load
from face_organizer.errors import ModelError, RequestError
from face_organizer.facts import Finding, Machine
from face_organizer.health.diagnose import diagnose
from face_organizer.types import STATE_FOLDER

if TYPE_CHECKING:
    from face_organizer.app.organizer import Organizer

FINISH_WITHIN_S = 86_400.0
"""Nobody waits for a command as systemd waits for a daemon: what it set in motion, it ends."""


def answer(library: Path, call: str, **arguments: Any) -> Any:
    """The answer to a call, see app.Organizer.calls. Raises FaceOrganizerError."""
    with answers_of(library) as asked:
        return asked(call, **arguments)


@contextmanager
def answers_of(library: Path) -> Iterator[Callable[..., Any]]:
    """Asks one call after the other: of the daemon, or, where none runs, of the library, opened until the end.

    Raises FaceOrganizerError.
    """
    with ExitStack() as stack:
        own: list[Alone] = []

        def asked(call: str, **arguments: Any) -> Any:
            if not own:
                try:
                    return ask(library / STATE_FOLDER, call, **arguments)
                except ConnectionError:
                    own.append(Alone(stack.enter_context(opened(library))))
            return own[0].answer(call, **arguments)

        yield asked


class Alone:
    """Answers where nobody follows the library's folders. The first call that decides anything has what people did in
    them decided before; until then, one that only reads tells in the log that it is not."""

    def __init__(self, organizer: Organizer) -> None:
        self._organizer, self._calls = organizer, organizer.calls()
        self._looked = ""

    def answer(self, call: str, **arguments: Any) -> Any:
        from face_organizer.calls import decides

        if decides(call, arguments):
            if self._looked != "deciding":
                self._organizer.take_in_folders()
            self._looked = "deciding"
        elif not self._looked:
            self._organizer.tell_of_folders()
            self._looked = "reading"
        return self._calls[call](**arguments)


@contextmanager
def opened(library: Path) -> Iterator[Organizer]:
    """A library that no daemon serves, for as long as a command needs it."""
    from face_organizer.app.opening import open_existing

    organizer = open_existing(library, open_log("auto", "warning"))
    try:
        organizer.start()
        yield organizer
    finally:
        organizer.stop(within_s=FINISH_WITHIN_S)


def daemon_answer(library: Path, call: str, **arguments: Any) -> Any:
    """A running daemon's answer to a call. Raises RequestError where none runs, FaceOrganizerError."""
    try:
        return ask(library / STATE_FOLDER, call, **arguments)
    except ConnectionError as error:
        raise RequestError(
            f"no daemon runs on {library}: start one with `face-organizer run --inbox DIR --library {library}`;"
            " `status` without --watch tells how the library stands"
        ) from error


def picture(path: Path) -> dict[str, str]:
    """A picture as a command may send it: by its content. Raises RequestError."""
    try:
        digest = digest_at(path)
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!a}: {error.strerror}") from error
    folder = os.fsencode(path.absolute().parent.name).decode("utf-8", "replace")
    return {"digest": digest.hex(), "folder": folder, "path": ascii(str(path))[1:-1]}


def write_montage(path: Path, hits: list[dict[str, Any]]) -> None:
    """A PNG of what a search found. Raises RequestError."""
    from face_organizer.app.shown import montage_of

    write_result(path, montage_of(hits))


def pictures_of(rows: list[dict[str, Any]]) -> dict[int, bytes]:
    """A JPEG of each face that can be read: face id -> picture."""
    from face_organizer.app.shown import faces_shown

    return faces_shown(rows)


def packs(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """Every model pack we know, by what faces.pack is to be set to."""
    return [
        {
            "name": pack.address,
            "detector": pack.detector_kind,
            "dimension": pack.dimension,
            "attributes": pack.traits.attributes is not None,
            "fingerprint": pack.fingerprint,
            "licence": pack.licence,
        }
        for pack in list_packs(models_dir)
    ]


def terms_of(name: str) -> str:
    """What is to be accepted before a pack is pulled, and how much comes. Raises ModelError: no such pack."""
    from face_organizer.adapters.pull import archive_of, zoo

    return f"{zoo().terms}\n\n{name}.zip has {archive_of(name).size_bytes / 1e6:,.0f} MB."


def pull_pack(name: str, models_dir: Path | None, source: str, tick: Callable[[int, int], None]) -> dict[str, Any]:
    """Fetch a pack and make it fit to run; the terms have been accepted. Raises ModelError."""
    from face_organizer.adapters.pull import pull

    folder = pull(name, models_dir, source, tick)
    pack = load_pack(name, models_dir)
    return {
        "name": name,
        "folder": str(folder),
        "detector": pack.detector_kind,
        "dimension": pack.dimension,
        "attributes": pack.traits.attributes is not None,
        "fingerprint": pack.fingerprint,
        "licence": pack.licence,
    }


def verify_packs(models_dir: Path | None = None) -> list[dict[str, Any]]:
    """What is wrong with the files of each pack. One never used is made first; a run mends the others."""
    rows = []
    for pack in list_packs(models_dir):
        try:
            if not pack.recogniser_path.exists():
                load_pack(pack.address, models_dir)
            problems = verify_pack(pack.address, models_dir)
        except ModelError as error:
            problems = [str(error)]
        rows.append({"name": pack.address, "ok": not problems, "problem": "; ".join(problems)})
    return rows


def examined(libraries: Mapping[str, Config]) -> tuple[Machine, list[Finding]]:
    """What is so on this machine, and what the doctor says of it; takes some seconds, changes nothing of a library.

    libraries: see config.load_libraries.
    """
    folders: list[tuple[str, Path]] = []
    for config in libraries.values():
        state = config.library_path / STATE_FOLDER
        folders += [("inbox", config.inbox_path), ("library", config.library_path)]
        folders += [("state", state.resolve() if os.access(state, os.F_OK) else config.state_path)]
    faces = next(iter(libraries.values())).faces
    models_dir = Path(faces.models_dir).expanduser() if faces.models_dir else None
    machine = examine(",".join(faces.wanted), folders, models_dir)
    return machine, diagnose(machine)


def install_service(inbox: Path, library: Path, user: str, *, gpu: bool, web: bool, dry_run: bool) -> list[str]:
    """Set up the system service, or with dry_run only say how: the commands, as a shell would take them."""
    config = load(None, inbox=str(inbox), library=str(library))
    check_folders(config)
    wish = Wish(program_here(), config.inbox_path, config.library_path, user, gpu, web)
    todo = steps(wish)
    if not dry_run:
        carry_out(todo)
        check(wish)
    return [str(step) for step in todo]
