"""OpenCV's own single-object trackers, to be run beside this package's in the same evaluation.

CSRT, KCF and the legacy ones need a build with the contrib modules (``opencv-contrib-python`` or
its ``-headless`` twin); MIL is in every build; Nano, Vit and DaSiamRPN need model files, which
OpenCV does not ship and which the user gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arguments import NOT_FOR_OPENCV, for_opencv
from ..pixels import Box


class BaselineError(Exception):
    """A baseline cannot be made here; the text says what to install or which file to give."""


@dataclass(frozen=True)
class FrameAnswer:
    """What a tracker says about one frame, in the package's box convention.

    ``confidence`` is NaN where the tracker gives none; ``state`` is ``tracking``, ``uncertain``
    or ``lost``; ``region`` is the rectangle that was searched, where the tracker tells.
    """

    box: Box
    confidence: float
    state: str
    region: Box | None = None


@dataclass(frozen=True)
class _Baseline:
    """How to make one OpenCV tracker: constructor names to try, and the model files it wants."""

    constructors: tuple[str, ...]
    files: tuple[str, ...] = ()
    contrib: bool = True


_BASELINES: dict[str, _Baseline] = {
    "opencv_csrt": _Baseline(("TrackerCSRT_create", "legacy.TrackerCSRT_create")),
    "opencv_kcf": _Baseline(("TrackerKCF_create", "legacy.TrackerKCF_create")),
    "opencv_mil": _Baseline(("TrackerMIL_create", "legacy.TrackerMIL_create"), contrib=False),
    "opencv_mosse": _Baseline(("legacy.TrackerMOSSE_create",)),
    "opencv_medianflow": _Baseline(("legacy.TrackerMedianFlow_create",)),
    "opencv_nano": _Baseline(("TrackerNano_create",), ("backbone", "neckhead"), contrib=False),
    "opencv_vit": _Baseline(("TrackerVit_create",), ("net",), contrib=False),
    "opencv_dasiamrpn": _Baseline(
        ("TrackerDaSiamRPN_create",), ("model", "kernel_cls1", "kernel_r1"), contrib=False
    ),
}
BASELINES: tuple[str, ...] = tuple(_BASELINES)
"""Names `create_baseline` takes."""


def baseline_files(name: str) -> tuple[str, ...]:
    """The model files a baseline wants, in the order in which they are given."""
    return _BASELINES[name].files


def _constructor(name: str) -> tuple[Callable[..., Any], bool]:
    """The first constructor this build has, and whether it is of the legacy API (float boxes)."""
    for path in _BASELINES[name].constructors:
        found: Any = cv2
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found, path.startswith("legacy.")
    remedy = (
        "install opencv-contrib-python-headless in place of opencv-python-headless"
        if _BASELINES[name].contrib
        else "install a newer OpenCV"
    )
    raise BaselineError(f"{name}: this OpenCV ({cv2.__version__}) does not have it; {remedy}")


class OpenCvTracker:
    """One OpenCV tracker behind the runner's interface.

    OpenCV says only whether it found the target: on a miss the last box is repeated with the
    state ``lost``. Its main API takes and gives whole pixels, so boxes are rounded on the way in.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], legacy: bool = False, scored: bool = False
    ) -> None:
        self.name = name
        self._make = make
        self._legacy = legacy
        self._scored = scored
        self._tracker: Any = None
        self._last: Box = (0.0, 0.0, 0.0, 0.0)

    def init(self, image: NDArray[np.uint8], box: Box) -> None:
        """Start on a BGR image with a box in pixels."""
        height, width = image.shape[:2]
        x0, y0 = max(0.0, box[0]), max(0.0, box[1])
        x1, y1 = min(float(width), box[0] + box[2]), min(float(height), box[1] + box[3])
        if x1 - x0 < 1 or y1 - y0 < 1:
            raise BaselineError(f"{self.name}: the box {box} is outside the {width}x{height} image")
        cv2.setRNGSeed(0)  # MIL draws its samples at random
        self._tracker = self._make()
        self._last = box
        if self._legacy:
            self._tracker.init(image, (x0, y0, x1 - x0, y1 - y0))
        else:
            # Rounded, a box at the border may lie outside.
            left, top = min(round(x0), width - 1), min(round(y0), height - 1)
            size = (max(1, round(x1) - left), max(1, round(y1) - top))
            try:
                self._tracker.init(image, (left, top, *size))
            except cv2.error as error:
                raise BaselineError(
                    f"{self.name}: OpenCV cannot start on the box {box} in the {width}x{height} "
                    f"image ({error.err}); take a larger one inside it"
                ) from None

    def update(self, image: NDArray[np.uint8]) -> FrameAnswer:
        """Follow the target into the next BGR image."""
        if self._tracker is None:
            raise BaselineError(f"{self.name}: update before init")
        try:
            found, box = self._tracker.update(image)
        except cv2.error:
            # As where it says so: a target that has left the image ends in a failed assertion.
            return FrameAnswer(self._last, float("nan"), "lost")
        # The trackers without a network answer -1.
        score = self._tracker.getTrackingScore() if self._scored else float("nan")
        confidence = float(score)
        if not found:
            return FrameAnswer(self._last, confidence, "lost")
        self._last = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        return FrameAnswer(self._last, confidence, "tracking")

    def describe(self) -> dict[str, Any]:
        """Return what identifies this tracker in results."""
        return {"name": self.name, "opencv": cv2.__version__, "legacy": self._legacy}


def create_baseline(name: str, models: Sequence[str | Path] = ()) -> OpenCvTracker:
    """Make an OpenCV tracker by name.

    Args:
        name: one of `BASELINES`.
        models: the model files of `baseline_files`, in that order.

    Raises:
        BaselineError: unknown name, missing contrib modules, missing or unreadable model files.
    """
    if name not in _BASELINES:
        raise BaselineError(f"unknown baseline {name!r}; known: {', '.join(BASELINES)}")
    make, legacy = _constructor(name)
    wanted = _BASELINES[name].files
    if len(models) != len(wanted):
        raise BaselineError(
            f"{name} needs {len(wanted)} model files ({', '.join(wanted) or 'none'}), got "
            f"{len(models)}; give them as --model {name}="
            + ",".join(f"{w.upper()}.onnx" for w in wanted)
        )
    if not wanted:
        return OpenCvTracker(name, make, legacy)
    paths = [Path(m).expanduser() for m in models]
    for path in paths:
        if not path.is_file():
            raise BaselineError(f"{name}: model file {path} does not exist")
        if not for_opencv(path):
            raise BaselineError(f"{name}: model file {path}: {NOT_FOR_OPENCV}")
    params = getattr(cv2, make.__name__.replace("_create", "_Params"))()
    for field, path in zip(wanted, paths, strict=True):
        setattr(params, field, str(path))

    def build() -> Any:
        try:
            return make(params)
        except cv2.error as error:
            files, reason = ", ".join(map(str, paths)), error.err
            for path in paths:
                reason = reason.removesuffix(f": {path}")
            raise BaselineError(f"{name}: OpenCV cannot load {files}: {reason}") from None

    return OpenCvTracker(name, build, scored=True)


def baseline_models(pairs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Parse ``NAME=FILE[,FILE...]`` arguments; raises BaselineError on a malformed one."""
    models: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, sign, files = pair.partition("=")
        if not sign or name not in _BASELINES or not files:
            raise BaselineError(
                f"--model {pair!r} is not NAME=FILE[,FILE] with a NAME of {BASELINES}"
            )
        models[name] = tuple(files.split(","))
    return models
