"""Makes the parts of an organizer from its configuration.

Room:    app (wires)
Imports: everything but cli and organizer
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import msgspec

from face_organizer.adapters.disk import same_disk
from face_organizer.adapters.models import WITH_ATTRIBUTES, Pack, describe_pack, list_packs
from face_organizer.adapters.private import make_private_folder
from face_organizer.adapters.reading import read_settled
from face_organizer.adapters.runtime import Device, detector_device, kind_of
from face_organizer.adapters.session import How, open_sessions
from face_organizer.config import PEOPLE, STATE_FOLDER, Config, FacesConfig
from face_organizer.errors import DISK_FULL, ConfigError, DecodeError, ModelError, NoRoomError, why_not_written
from face_organizer.identity.diff import Margin
from face_organizer.pipeline.find import recurring_shapes
from face_organizer.pipeline.hands import Attentive
from face_organizer.pipeline.ingest import Patience
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.recluster import When
from face_organizer.pipeline.see import See
from face_organizer.ports import Session
from face_organizer.traits import Traits
from face_organizer.types import DecodedImage, ImageRef, Impostors, Limits, Signature
from face_organizer.vision.decode import content_digest, decode
from face_organizer.vision.decode import refuse_stranger as refuse_stranger

AUTO, DEFAULT_PACK = "auto", "opencv-zoo"


def open_detectors(pack: Pack, device: Device, *, count: int, batch_max: int, **how: Unpack[How]) -> list[Session]:
    """Sessions of the pack's detector, quick at what Find asks of it most. For these three, and how, see
    open_sessions."""
    shapes = recurring_shapes(pack.traits.detector) if pack.detector_batches else ()
    batch_max = batch_max if pack.detector_batches else 1
    return open_sessions(
        pack.detector_path,
        detector_device(device),
        count=count,
        batch_max=batch_max,
        recurring=shapes,
        **how,
    )


def open_recognisers(pack: Pack, device: Device, *, count: int, batch_max: int, **how: Unpack[How]) -> list[Session]:
    """Sessions of the pack's recogniser."""
    batch_max = batch_max if pack.recogniser_batches else 1
    path = pack.recogniser_cpu_path if kind_of(device) == "cpu" else pack.recogniser_path
    return open_sessions(path, device, count=count, batch_max=batch_max, **how)


def open_attributes(
    pack: Pack, device: Device, *, count: int, batch_max: int, **how: Unpack[How]
) -> list[Session | None]:
    """Sessions of the pack's network that tells gender and age; None where it has none."""
    if pack.attributes_path is None:
        return [None] * count
    batch_max = batch_max if pack.attributes_batches else 1
    device = detector_device(device)
    return [*open_sessions(pack.attributes_path, device, count=count, batch_max=batch_max, **how)]


def make_eyes(
    detectors: list[Session],
    recognisers: list[Session],
    faces: FacesConfig,
    traits: Traits,
    attributes: Sequence[Session | None] = (),
) -> list[See]:
    """A See for each pair of sessions, with a third where gender and age are to be told."""
    return [
        See(
            detector,
            recogniser,
            third,
            pre_cropped=faces.pre_cropped,
            crop_side_max_px=faces.crop_side_max_px,
            detection_side_px=faces.detection_side_px,
            face_side_min_px=faces.face_side_min_px,
            founder_quality_min=faces.founder_quality_min,
            traits=traits,
        )
        for detector, recogniser, third in zip(
            detectors, recognisers, attributes or [None] * len(detectors), strict=True
        )
    ]


class Reader:
    """The port ImageReader over the inbox, and over what people laid into the library themselves. Any thread.
    config(): as it is now."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config

    def read(self, ref: ImageRef) -> bytes:
        """See read_settled."""
        config = self._config()
        root = config.library_path if ref.laid_in else config.inbox_path
        return read_settled(root, ref, limits_of(config).size_max_bytes)


def make_folder(path: Path, what: str) -> bool:
    """Was there none? Raises ConfigError where it cannot be made, NoRoomError on a full disk."""
    try:
        there = path.is_dir()
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise NoRoomError(f"no room to make the {what} folder {path}: {error.strerror}") from error
        raise ConfigError(f"cannot make the {what} folder {path}: {why_not_written(error)}") from error
    return not there


def limits_of(config: Config) -> Limits:
    return Limits(config.watch.size_max_bytes, config.watch.pixels_max, config.faces.decode_side_max_px)


def decode_photo(name: str, data: bytes, config: Config) -> DecodedImage:
    """A reference photo as an image that came from nowhere. Raises DecodeError naming it."""
    limits = limits_of(config)
    try:
        image = decode(data, pixels_max=limits.pixels_max, side_max_px=limits.side_max_px)
    except DecodeError as error:
        raise DecodeError(f"{name}: {error}") from error
    ref = ImageRef(Path(), Signature(len(data), 0, 0))
    return DecodedImage(ref, content_digest(data), image.pixels, image.width_px, image.height_px)


def models_folder(faces: FacesConfig) -> Path | None:
    """Where made and pulled packs lie; None: at the usual place."""
    return Path(faces.models_dir).expanduser() if faces.models_dir else None


def with_pack(config: Config, pack: str) -> Config:
    return msgspec.structs.replace(config, faces=msgspec.structs.replace(config.faces, pack=pack))


def pack_of(faces: FacesConfig) -> Pack:
    """What is known of the pack that was asked for, without making its files. Raises ConfigError."""
    try:
        return describe_pack(DEFAULT_PACK if faces.pack == AUTO else faces.pack, models_folder(faces))
    except ModelError as error:
        raise ConfigError(f"faces.pack = {faces.pack!r}: {error}") from error


def attributes_lack(faces: FacesConfig) -> str:
    """Why nothing is told of the gender and age of faces, and what would; "" where it is told. Raises ConfigError."""
    if pack_of(faces).traits.attributes is None:
        here = [pack.address for pack in list_packs(models_folder(faces)) if pack.traits.attributes is not None]
        return (
            f"the model pack {faces.pack} has no network that tells gender and age. Those that have one: "
            f"{', '.join(here) or 'none that is here'}; `face-organizer models pull NAME` fetches "
            f"{', '.join(sorted(WITH_ATTRIBUTES))}"
        )
    return "" if faces.attributes else "faces.attributes = false in the configuration"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the rules take from a pack; see Pack."""

    fingerprint: str
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    impostors: Impostors


def bounds_of(pack: Pack) -> Bounds:
    return Bounds(
        pack.fingerprint,
        pack.similarity_join_min,
        pack.similarity_link_min,
        pack.similarity_member_min,
        pack.impostors,
    )


def rules_of(config: Config, pack: Pack | Bounds) -> Rules:
    """The bounds of identity: the pack's, unless the configuration has its own."""
    persons = config.persons

    def bound(own: float | None, calibrated: float) -> float:
        return calibrated if own is None else own

    own_bounds = {persons.similarity_join_min, persons.similarity_link_min}
    return Rules(
        people=config.people or PEOPLE,
        placement=config.placement_mode,
        faces_min=persons.faces_min,
        similarity_join_min=bound(persons.similarity_join_min, pack.similarity_join_min),
        similarity_link_min=bound(persons.similarity_link_min, pack.similarity_link_min),
        similarity_member_min=bound(persons.similarity_member_min, pack.similarity_member_min),
        neighbours=config.index.neighbours,
        one_face_per_image=persons.one_face_per_image,
        impostors=pack.impostors if own_bounds == {None} else None,
        false_merge_max=persons.false_merge_max,
        learn_member_min=persons.similarity_member_min is None,
        elbow_min=persons.elbow_min,
        elbow_max=persons.elbow_max,
        seed=config.recluster.seed,
    )


def when_of(config: Config) -> When:
    values = config.recluster
    margin = Margin(values.moved_share_max, values.moved_faces_min, values.named_loss_share_max)
    return When(values.every_s, values.growth_factor, values.growth_faces_min, margin)


def patience_of(config: Config, *, once: bool) -> Patience:
    """With `once` nothing gets a second look: what is in the inbox now is what there is."""
    watch = config.watch
    grace_s, prune_s = (0.0, 0.0) if once else (watch.unfinished_grace_s, watch.prune_empty_s)
    return Patience(watch.settle_s, watch.rescan_s, watch.poll_s, grace_s, prune_s)


def attentive_of(config: Config, *, once: bool, takes_in: bool = True) -> Attentive:
    """With `once` whoever rearranged the folders has done so."""
    watch, folders = config.watch, config.folders
    return Attentive(0.0 if once else folders.settle_s, watch.rescan_s, watch.poll_s, folders.watch, takes_in)


def placing_copies(config: Config) -> bool:
    """Does an image that is placed take its room once more?"""
    mode = config.placement_mode
    return mode == "copy" or (mode != "symlink" and not same_disk(config.inbox_path, config.library_path))


def state_folder(config: Config) -> Path:
    """Where truth and views lie. A state_dir elsewhere is linked from the library, so that commands find it; we go
    straight there, for the library may be away for a while."""
    usual, state = config.library_path / STATE_FOLDER, config.state_path
    if state != usual:
        try:
            make_private_folder(state)
            if not usual.is_symlink() and not usual.exists():
                usual.symlink_to(state)
            if usual.resolve() != state.resolve():
                raise ConfigError(
                    f"{usual} is not a link to state_dir {state}: this library keeps its state there already"
                )
        except OSError as error:
            raise ConfigError(f"cannot use state_dir {state}: {error.strerror}") from error
    return state
