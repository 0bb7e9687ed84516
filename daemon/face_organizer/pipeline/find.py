"""Where the faces of a batch of images are, whichever way up they lie.

Room:    pipeline (moves)
Imports: types, traits, ports, vision, pulse, stdlib

Nearly every face is upright and found at the first look. Only where its score or its landmarks raise a doubt is it
looked at from eight angles, small, and once more, large, at the angle where the detector is surest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Session
from face_organizer.traits import DetectorTraits
from face_organizer.types import Detection, UInt8
from face_organizer.vision import detect, geometry

Key = TypeVar("Key", bound=Hashable)

DETECTION_BATCH_PX = 640 * 640
"""Canvas pixels sent to the detector at once: it needs 85 MB for so many, and a larger batch is no faster on a CPU."""

DOUBTS_MAX = 16
"""So many doubtful faces of a photo are looked at from all sides, best score first: foliage must not stop the flow."""

RESTING_DEGREES = 10.0
"""A face that peaks nearer to upright stays as it was found: the peak is no surer than that."""


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking at a square: it becomes fill * side_px on a canvas of side_px."""

    side_px: int
    fill: float = 1.0


LARGER_CROP_LOOKS = (Look(320), Look(320, fill=0.5))
"""A face that the first look at a crop misses may be small, or fill the crop (padded)."""

TURNED_FILL = 2**-0.5
"""From each angle: the whole square fits on the canvas however it is turned."""


def recurring_shapes(traits: DetectorTraits) -> tuple[tuple[int, int, int, int], ...]:
    """Of what the detector is sent while square crops stream by: first looks, looks at one, and all turns of one."""
    first, turned = traits.crop_side_px, traits.turned_side_px
    return (8, 3, first, first), (1, 3, first, first), (len(geometry.TURNS_DEGREES), 3, turned, turned)


FINE_STEP_DEGREES = 25.0
"""Between the three larger looks that make a turned face's angle exact."""

FAINT_SCORE_MIN = 0.1
"""What counts where only the angle is wanted: away from its peak a face scores little."""

REACH = 1.1
"""Around a doubtful face of a photo, in sides of its box: the box of a turned face is off, and it may be false."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A face in an image. detection: in px of the image's pixels. width_px: of the face, however it is turned, there.

    plausibility: of its landmarks, 0..1. turn_degrees: what makes it upright, anticlockwise, -180..180. earlier: found
    in a look of before, and not in this one.
    """

    detection: Detection
    width_px: float
    plausibility: float
    turn_degrees: float
    earlier: bool = False

    @property
    def worth(self) -> float:
        """What decides between two looks at one face: the detection score, if the landmarks are those of a face at all.

        The misfit says nothing more here: a face turned by 30 degrees is answered with landmarks as regular as any.
        """
        return self.detection.detection_score if self.plausibility > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Square:
    """A square of an image: its row in the batch, its middle and half its side in px, and its face as seen so far."""

    image: int
    centre: tuple[float, float]
    reach_px: float
    face: Found | None


class Find:
    """Finds the faces of a batch of images. One instance per thread."""

    def __init__(self, detector: Session, traits: DetectorTraits, *, photo_side_px: int) -> None:
        self._detector = detector
        self._traits = traits
        self._crop_looks = (Look(traits.crop_side_px), *LARGER_CROP_LOOKS)
        self._turned_look = Look(traits.turned_side_px, TURNED_FILL)
        self._photo_looks = (Look(photo_side_px), Look(320))

    def __call__(self, images: Sequence[UInt8], crops: Sequence[bool]) -> list[list[Found]]:
        """The faces of each image, uint8 (h, w, 3) RGB: at most one, the main one, where it is a crop."""
        found: list[list[Found]] = [[] for _ in images]
        for row, face in self._crops({row: images[row] for row, crop in enumerate(crops) if crop}).items():
            found[row] = [face]
        found_in_photos = self._photos({row: images[row] for row, crop in enumerate(crops) if not crop})
        for row, faces in found_in_photos.items():
            found[row] = faces
        return found

    def _crops(self, images: dict[int, UInt8]) -> dict[int, Found]:
        """The main face of each crop that shows one."""
        canvases = {row: detect.letterbox(pixels, self._crop_looks[0].side_px) for row, pixels in images.items()}
        faces: dict[int, Found] = {}
        doubts: list[_Square] = []
        for row, detections in self._detect(canvases).items():
            main = _main(detections, canvases[row])
            if main is not None:
                faces[row] = _found(main, canvases[row])
            if main is None or not geometry.is_sure(main, self._traits):
                doubts.append(_whole(row, images[row], faces.get(row)))
        turned = list(zip(doubts, self._turns(images, doubts), strict=True))
        for look in self._crop_looks:
            pending = [
                (square, turn) for square, turn in turned if square.image not in faces or look is self._crop_looks[0]
            ]
            self._look_again(images, faces, [(square, turn) for square, turn in pending if turn != 0], look)
        for look in self._crop_looks[1:]:
            self._look_again(images, faces, [(square, 0.0) for square in doubts if square.image not in faces], look)
        return faces

    def _look_again(
        self, images: dict[int, UInt8], faces: dict[int, Found], turned: list[tuple[_Square, float]], look: Look
    ) -> None:
        """Looks at some crops at an angle each, and keeps in `faces` what is better than was known."""
        for (square, _), face in zip(turned, self._look(images, turned, look), strict=True):
            if (better := _better(faces.get(square.image), face)) is not None:
                faces[square.image] = better

    def _photos(self, images: dict[int, UInt8]) -> dict[int, list[Found]]:
        """All faces of each photo, best first: those of the first look that shows any, then the turned ones."""
        found: dict[int, list[Found]] = {row: [] for row in images}
        for look in self._photo_looks:
            empty = [row for row in images if not found[row]]
            found |= self._photo_look(images, dict.fromkeys(empty, (0.0,)), look)
        empty = [row for row in images if not found[row]]
        for turns in (geometry.TURNS_DEGREES[2::2], geometry.TURNS_DEGREES[1::2]):
            rows = [row for row in empty if not found[row]]
            found |= self._photo_look(images, dict.fromkeys(rows, turns), self._photo_looks[-1])
        lying = {row: _quarters(faces) for row, faces in found.items()}
        again = self._photo_look(images, {row: turns for row, turns in lying.items() if turns}, self._photo_looks[0])
        return found | {row: self._distinct([*found[row], *faces]) for row, faces in again.items()}

    def _photo_look(
        self, images: dict[int, UInt8], turns: dict[int, Sequence[float]], look: Look
    ) -> dict[int, list[Found]]:
        """The faces of whole photos seen at some angles each, the doubtful ones looked at closely."""
        canvases = {
            (row, turn): _photo_canvas(images[row], turn, look) for row, wanted in turns.items() for turn in wanted
        }
        sure: dict[int, list[Found]] = {row: [] for row in turns}
        doubtful: dict[int, list[Found]] = {row: [] for row in turns}
        for key, detections in self._detect(canvases, self._traits.hint_score_min).items():
            row, turn = key
            for detection in detections:
                is_sure = geometry.is_sure(detection, self._traits, self._traits.sure_score_in_photo)
                (sure if is_sure else doubtful)[row].append(_found(detection, canvases[key], turn))
        squares = [_around(row, face) for row, faces in doubtful.items() for face in self._distinct(faces)[:DOUBTS_MAX]]
        for square, closer in zip(squares, self._closer(images, squares), strict=True):
            if closer is not None and closer.worth >= (
                self._traits.turned_score_min if closer.turn_degrees else self._traits.detection_score_min
            ):
                sure[square.image].append(closer)
        return {row: self._distinct(faces) for row, faces in sure.items()}

    def _closer(self, images: dict[int, UInt8], squares: list[_Square]) -> list[Found | None]:
        """The face of each square from the best of several angles."""
        turned = list(zip(squares, self._turns(images, squares), strict=True))
        looked = self._look(images, turned, self._crop_looks[0])
        return [
            square.face if face is None or not _is_same(square.face, face) else _better(square.face, face)
            for square, face in zip(squares, looked, strict=True)
        ]

    def _turns(self, images: dict[int, UInt8], squares: Sequence[_Square]) -> list[float]:
        """The angle at which the face of each square looks most like one; 0 where that is about upright."""
        canvases = {
            (number, turn): canvas
            for number, square in enumerate(squares)
            for turn, canvas in zip(
                geometry.TURNS_DEGREES,
                _seen_at(images[square.image], square, geometry.TURNS_DEGREES, self._turned_look),
                strict=True,
            )
        }
        scores: dict[int, list[float]] = defaultdict(list)
        for (number, turn), detections in sorted(self._detect(canvases, FAINT_SCORE_MIN).items()):
            main = _main(detections, canvases[number, turn])
            plausible = main is not None and geometry.plausibility(main) > 0
            scores[number].append(main.detection_score if main is not None and plausible else 0.0)
        peaks = [geometry.peak_degrees(scores[number]) for number in range(len(squares))]
        turns = [0.0 if abs(peak) < RESTING_DEGREES else peak for peak in peaks]
        return self._sharpened(images, squares, turns)

    def _sharpened(self, images: dict[int, UInt8], squares: Sequence[_Square], turns: list[float]) -> list[float]:
        """The same angles, those that are not 0 made more exact by three larger looks around each."""
        turned = [number for number, turn in enumerate(turns) if turn != 0]
        offs = (-FINE_STEP_DEGREES, 0.0, FINE_STEP_DEGREES)
        wanted = [(squares[number], turns[number] + off) for number in turned for off in offs]
        worths = [
            face.worth if face else 0.0 for face in self._look(images, wanted, self._crop_looks[0], FAINT_SCORE_MIN)
        ]
        for place, number in enumerate(turned):
            off = FINE_STEP_DEGREES * geometry.vertex(*worths[3 * place : 3 * place + 3])
            turns[number] = geometry.wrapped_degrees(turns[number] + off)
        return turns

    def _look(
        self,
        images: dict[int, UInt8],
        turned: Sequence[tuple[_Square, float]],
        look: Look,
        detection_score_min: float | None = None,
    ) -> list[Found | None]:
        """The main face of each square, turned by so many degrees."""
        canvases = {
            number: _seen_at(images[square.image], square, (turn,), look)[0]
            for number, (square, turn) in enumerate(turned)
        }
        found: list[Found | None] = [None] * len(turned)
        for number, detections in self._detect(canvases, detection_score_min).items():
            main = _main(detections, canvases[number])
            if main is not None:
                found[number] = _found(main, canvases[number], turned[number][1])
        return found

    def _distinct(self, faces: Sequence[Found]) -> list[Found]:
        return _distinct(faces, self._traits.overlap_max)

    def _detect(
        self, canvases: dict[Key, detect.Canvas], detection_score_min: float | None = None
    ) -> dict[Key, list[Detection]]:
        """The detections on each canvas, in canvas px; canvases of one shape go through the network together."""
        by_shape: dict[tuple[int, int], list[Key]] = defaultdict(list)
        for key, canvas in canvases.items():
            by_shape[canvas.pixels.shape[0], canvas.pixels.shape[1]].append(key)
        found: dict[Key, list[Detection]] = {}
        for (height, width), keys in by_shape.items():
            batch_max = max(1, min(self._detector.batch_max, DETECTION_BATCH_PX // (height * width)))
            for start in range(0, len(keys), batch_max):
                piece = keys[start : start + batch_max]
                beat()
                outputs = self._detector.run(detect.network_input([canvases[key] for key in piece], self._traits.kind))
                found.update(
                    zip(piece, detect.decode(outputs, height, width, self._traits, detection_score_min), strict=True)
                )
        return found


def _found(detection: Detection, canvas: detect.Canvas, turn_degrees: float = 0.0) -> Found:
    """A detection on a canvas, carried back to the image."""
    width_px = float(detection.box[2] - detection.box[0]) / canvas.scale
    return Found(detect.to_image(detection, canvas), width_px, geometry.plausibility(detection), turn_degrees)


def _main(detections: Sequence[Detection], canvas: detect.Canvas) -> Detection | None:
    return detect.main_face(detections, *canvas.pixels.shape[:2]) if detections else None


def _better(seen: Found | None, again: Found | None) -> Found | None:
    """Of two looks at one face the one worth more; the later one where they are worth the same."""
    if seen is None or again is None:
        return seen or again
    return again if again.worth >= seen.worth else seen


def _is_same(seen: Found | None, again: Found) -> bool:
    """May a closer look have shown the face it was meant for? The box of a turned face is off, but not elsewhere."""
    return seen is None or detect.overlap(seen.detection, again.detection) > 0.1


def _whole(image: int, pixels: UInt8, face: Found | None) -> _Square:
    height, width = pixels.shape[:2]
    return _Square(image, (width / 2, height / 2), max(height, width) / 2, face)


def _around(image: int, face: Found) -> _Square:
    """What lies around a face that leaves the image by no more than half."""
    x1, y1, x2, y2 = face.detection.box.tolist()
    return _Square(image, (max(0.0, (x1 + x2) / 2), max(0.0, (y1 + y2) / 2)), REACH * max(x2 - x1, y2 - y1), face)


def _seen_at(pixels: UInt8, square: _Square, turns_degrees: Sequence[float], look: Look) -> list[detect.Canvas]:
    patch = detect.cut(pixels, square.centre, square.reach_px, round(look.fill * look.side_px))
    return [detect.turned(patch, look.side_px, turn) for turn in turns_degrees]


def _photo_canvas(pixels: UInt8, turn_degrees: float, look: Look) -> detect.Canvas:
    """A whole photo at an angle. Upright it has no room around it; turned by less than a quarter, it needs some."""
    if turn_degrees == 0:
        return detect.letterbox(pixels, look.side_px, look.fill)
    fill = look.fill if turn_degrees % 90 == 0 else look.fill * 2**-0.5
    return _seen_at(pixels, _whole(0, pixels, None), (turn_degrees,), Look(look.side_px, fill))[0]


def _distinct(faces: Sequence[Found], overlap_max: float) -> list[Found]:
    """The faces, most worthy first, less those that overlap a more worthy one."""
    kept: list[Found] = []
    for face in sorted(faces, key=lambda face: -face.worth):
        if all(detect.overlap(face.detection, other.detection) <= overlap_max for other in kept):
            kept.append(face)
    return kept


def _quarters(faces: Sequence[Found]) -> list[float]:
    """The quarter turns that make some of these faces stand more upright than they lie, but for none at all."""
    quarters = {round(face.turn_degrees / 90) % 4 for face in faces}
    return [90.0 * quarter for quarter in sorted(quarters - {0})]
