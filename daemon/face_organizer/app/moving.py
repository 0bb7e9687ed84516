"""Moves a library to another model: what that needs of the outside, and the switch while the library is opened.

Room:    app (wires)
Imports: adapters, parts, devices, pipeline, names
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from face_organizer.adapters.noted import note_library
from face_organizer.adapters.reading import read_now
from face_organizer.app.devices import open_devices
from face_organizer.app.parts import AUTO, limits_of, models_folder, pack_of, rules_of, when_of, with_pack
from face_organizer.config import Config
from face_organizer.errors import ConfigError, FaceOrganizerError, StoreError
from face_organizer.pipeline.pulse import Pulses
from face_organizer.pipeline.reembed import Reembed
from face_organizer.pipeline.reembed_fill import Eyes, Fill, Target
from face_organizer.pipeline.reembed_switch import switch
from face_organizer.ports import Log, NeighbourFinder, Store
from face_organizer.types import Limits

OWN_BOUNDS = ("similarity_join_min", "similarity_link_min", "similarity_member_min")


def make_reembed(
    config: Callable[[], Config],
    store: Store,
    in_gallery: Callable[[Callable[[], Any]], Any],
    pack: str,
    follow: Callable[[Sequence[int]], object],
    is_at_work: Callable[[], bool],
    find_neighbours: NeighbourFinder,
    log: Log,
    pulses: Pulses,
) -> Reembed:
    """config(): as it is now. pack: the one in use. follow: see Fill. is_at_work(): does anybody take images in? Then
    one thread must do, else every core helps."""

    def target_of(wanted: str) -> Target:
        return _target(config(), wanted, log, threads=1 if is_at_work() else 0)

    return Reembed(
        store,
        _fill(config, store, in_gallery, follow, log, pulses),
        find_neighbours,
        in_gallery,
        target_of,
        pack,
        lambda: when_of(config()).margin,
        lambda target: _objections(config(), target),
        log,
    )


def switch_if_due(store: Store, config: Config, log: Log, pulses: Pulses) -> bool:
    """While a library is opened: end what was decided. Images that came last are read first. False: nothing was due, or
    it cannot be done for now, and the library goes by the old model. Raises StoreError."""
    with store.read() as txn:
        model = txn.models.get(1 - txn.slot)
    if model is None or model.state != "due":
        return False
    try:
        target = _target(config, model.pack, log, threads=0)
        if not target.is_of(model):
            raise FaceOrganizerError(f"the model pack {model.pack} is not the one that was begun with")
        fill = _fill(lambda: config, store, lambda work: work(), lambda image_ids: None, log, pulses)
        if fill.left():
            fill.run(target, target.open_eyes(), anew=False)
        told = switch(store, target.rules.neighbours)
    except StoreError:
        raise
    except FaceOrganizerError as error:
        log.error("model_not_switched", pack=model.pack, problem=str(error))
        return False
    log.info("model_switched", pack=model.pack, **told)
    return True


def _fill(
    config: Callable[[], Config],
    store: Store,
    in_gallery: Callable[..., Any],
    follow: Callable[[Sequence[int]], object],
    log: Log,
    pulses: Pulses,
) -> Fill:
    def read(path: Path) -> bytes:
        """A place in the library, or a source: its content is compared with what is known, so it may lie anywhere."""
        library = config().library_path
        root, path = (path.parent, path) if path.is_absolute() else (library, library / path)
        return read_now(root, path, limits().size_max_bytes)

    def limits() -> Limits:
        return limits_of(config())

    return Fill(store, in_gallery, read, follow, limits, log, pulses)


def _target(config: Config, wanted: str, log: Log, *, threads: int) -> Target:
    """threads 0: one for each core. Raises ConfigError: there is no such pack."""
    try:
        named = pack_of(with_pack(config, wanted).faces)
    except ConfigError as error:
        raise ConfigError(f"--pack {wanted}: {error.__cause__}") from error
    own = with_pack(config, named.address)
    if threads:
        own = msgspec.structs.replace(own, faces=msgspec.structs.replace(own.faces, threads=threads))

    def eyes() -> Sequence[Eyes]:
        return [cast("Eyes", see) for device in open_devices(own, log) for see in device.workers]

    note_library(models_folder(config.faces), config.library_path, named.address)
    return Target(named.address, named.fingerprint, named.dimension, rules_of(own, named), eyes)


def _objections(config: Config, target: Target) -> list[str]:
    """What in the configuration was meant for the old model."""
    found = []
    if config.faces.pack != AUTO and not _is_asked_for(config, target):
        found.append(f'faces.pack = "{config.faces.pack}" in the configuration names the old model: set it to "{AUTO}"')
    if own := [key for key in OWN_BOUNDS if getattr(config.persons, key) is not None]:
        found.append(f"{' and '.join(own)} in [persons] were chosen for the old model: take them out, or choose anew")
    return found


def _is_asked_for(config: Config, target: Target) -> bool:
    """Does the configuration name the pack? One that is not there is none to move to."""
    try:
        return pack_of(config.faces).fingerprint == target.fingerprint
    except ConfigError:
        return False
