"""Makes the parts of an organizer from its configuration.

Room:    app (wires)
Imports: everything but cli and app
"""

from __future__ import annotations

from pathlib import Path

from face_organizer.adapters.disk import same_disk
from face_organizer.adapters.models import Pack, list_packs, load_pack
from face_organizer.adapters.private import make_private_folder
from face_organizer.adapters.session import Device, choose_device, open_sessions
from face_organizer.config import Config, FacesConfig
from face_organizer.errors import DISK_FULL, ConfigError, DecodeError, NoRoomError
from face_organizer.identity.diff import Margin
from face_organizer.pipeline.find import RECURRING_SHAPES
from face_organizer.pipeline.hands import Attentive
from face_organizer.pipeline.ingest import Patience
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.recluster import When
from face_organizer.pipeline.see import See
from face_organizer.ports import Log, Session
from face_organizer.types import STATE_FOLDER, DecodedImage, ImageRef, Signature, Whitening
from face_organizer.vision.decode import content_digest, decode


def open_eyes(config: Config, log: Log, *, workers: int) -> tuple[str, list[See]]:
    """The networks on the device that was asked for: its name, and one See for questions, then one for every worker."""
    faces = config.faces
    pack = load_pack(faces.pack, Path(faces.models_dir).expanduser() if faces.models_dir else None)
    choice = choose_device(faces.devices, pack.recogniser_path)
    workers = min(workers, 1) if choice.device == "cuda" else workers
    detectors = open_detectors(pack, choice.device, count=workers + 1, batch_max=config.flow.batch_max)
    recognisers = open_sessions(pack.recogniser_path, choice.device, count=workers + 1, batch_max=config.flow.batch_max)
    log.info("networks_ready", pack=pack.name, device=choice.device, reason=choice.reason, workers=workers)
    return choice.device, make_eyes(detectors, recognisers, faces, pack.whitening)


def open_detectors(pack: Pack, device: Device, *, count: int, batch_max: int) -> list[Session]:
    """Sessions of the pack's detector, quick at what Find asks of it most."""
    return open_sessions(pack.detector_path, device, count=count, batch_max=batch_max, recurring=RECURRING_SHAPES)


def make_eyes(
    detectors: list[Session], recognisers: list[Session], faces: FacesConfig, whitening: Whitening | None
) -> list[See]:
    """A See for each pair of sessions."""
    return [
        See(
            detector,
            recogniser,
            pre_cropped=faces.pre_cropped,
            crop_side_max_px=faces.crop_side_max_px,
            detection_side_px=faces.detection_side_px,
            face_side_min_px=faces.face_side_min_px,
            founder_quality_min=faces.founder_quality_min,
            whitening=whitening,
        )
        for detector, recogniser in zip(detectors, recognisers, strict=True)
    ]


def make_folder(path: Path, what: str) -> None:
    """Raises ConfigError where it cannot be made, NoRoomError on a full disk."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise NoRoomError(f"no room to make the {what} folder {path}: {error.strerror}") from error
        raise ConfigError(f"cannot make the {what} folder {path}: {error.strerror}") from error


def decode_photo(name: str, data: bytes, config: Config) -> DecodedImage:
    """A reference photo as an image that came from nowhere. Raises DecodeError naming it."""
    try:
        image = decode(data, pixels_max=config.watch.pixels_max, side_max_px=config.faces.decode_side_max_px)
    except DecodeError as error:
        raise DecodeError(f"{name}: {error}") from error
    ref = ImageRef(Path(), Signature(len(data), 0, 0))
    return DecodedImage(ref, content_digest(data), image.pixels, image.width_px, image.height_px)


def pack_named(name: str) -> Pack:
    """What is known of a pack, without making its files. Raises ConfigError."""
    packs = {pack.name: pack for pack in list_packs()}
    if name not in packs:
        raise ConfigError(f"faces.pack = {name!r}: there is no such model pack; known: {', '.join(sorted(packs))}")
    return packs[name]


def rules_of(config: Config, pack: Pack) -> Rules:
    """The bounds of identity: the pack's, unless the configuration has its own."""
    persons = config.persons

    def bound(own: float | None, calibrated: float) -> float:
        return calibrated if own is None else own

    return Rules(
        people=config.people,
        placement=config.placement,
        faces_min=persons.faces_min,
        similarity_join_min=bound(persons.similarity_join_min, pack.similarity_join_min),
        similarity_link_min=bound(persons.similarity_link_min, pack.similarity_link_min),
        similarity_member_min=bound(persons.similarity_member_min, pack.similarity_member_min),
        neighbours=config.index.neighbours,
        one_face_per_image=persons.one_face_per_image,
        impostors=pack.impostors if persons.similarity_link_min is persons.similarity_join_min is None else None,
        false_merge_max=persons.false_merge_max,
        learn_member_min=persons.similarity_member_min is None,
        elbow_min=persons.elbow_min,
        elbow_max=persons.elbow_max,
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


def attentive_of(config: Config, *, once: bool) -> Attentive:
    """With `once` whoever rearranged the folders has done so."""
    watch = config.watch
    return Attentive(0.0 if once else config.folders.settle_s, watch.rescan_s, watch.poll_s, config.folders.watch)


def placing_copies(config: Config) -> bool:
    """Does an image that is placed take its room once more?"""
    mode = config.placement
    return mode == "copy" or (mode != "symlink" and not same_disk(config.inbox_path, config.library_path))


def state_folder(config: Config) -> Path:
    """Where truth and views lie. A state_dir elsewhere is linked from the library, so that commands find it."""
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
    return usual
