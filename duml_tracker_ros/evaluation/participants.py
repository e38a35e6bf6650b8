"""Any tracker by name behind one interface: this package's and OpenCV's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..digest import code_digest
from ..pixels import Box
from .baselines import BASELINES, FrameAnswer, create_baseline


class Participant(Protocol):
    """What a run needs of a tracker; images are uint8 ``[H, W, 3]`` BGR."""

    name: str

    def init(self, image: NDArray[np.uint8], box: Box) -> None: ...

    def update(self, image: NDArray[np.uint8]) -> FrameAnswer: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class TrackerSpec:
    """How to make a participant; plain data, so that it travels to worker processes.

    Attributes:
        name: a tracker of this package (``duml``) or of `baselines.BASELINES`.
        device, size, weights, overrides: arguments of ``create_tracker``; baselines ignore them.
        models: model files of a baseline that needs them.
    """

    name: str
    device: str = "auto"
    size: str | None = None
    weights: str = "default"
    overrides: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()


class OwnTracker:
    """One of this package's trackers as a participant."""

    def __init__(self, spec: TrackerSpec, *, profile: bool = False) -> None:
        from ..tracker import create_tracker

        options: dict[str, Any] = dict(spec.overrides)
        if spec.size is not None:
            options["size"] = spec.size
        if profile:
            options["profile"] = True
        self.name = spec.name
        self._maps: Any = None
        self._mask: Any = None
        self.tracker = create_tracker(
            spec.name, weights=spec.weights, device=spec.device, **options
        )

    def init(self, image: NDArray[np.uint8], box: Box) -> None:
        self.tracker.init(image, box, order="bgr")

    def update(self, image: NDArray[np.uint8]) -> FrameAnswer:
        return self._told(self.tracker.update(image, order="bgr"))

    def _told(self, result: Any) -> FrameAnswer:
        self._maps, self._mask = result.score_maps, result.mask
        return FrameAnswer(result.box, result.confidence, result.state.value, result.search_region)

    def score_map(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The fused score map of the last update over ``image``: float32 ``[H, W]``."""
        if self._maps is None:
            raise RuntimeError("score_map before update")
        return np.asarray(self._maps.to_image("fused", image.shape[1], image.shape[0]))

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """The target's pixels in ``image``, that of the last update: bool ``[H, W]``; None of a
        tracker without masks and where there is none to believe."""
        if self._mask is None:
            return None
        return np.asarray(self._mask.to_image(image.shape[1], image.shape[0]))

    def describe(self) -> dict[str, Any]:
        return {**self.tracker.info(), "code": source_digest()}


class OwnTrackers(OwnTracker):
    """Several targets that start at one place and are followed together, as one participant.

    What it tells of an update is that of the first target.
    """

    def __init__(self, spec: TrackerSpec, count: int, *, profile: bool = False) -> None:
        super().__init__(spec, profile=profile)
        self._count = count
        self._targets: list[Any] = []

    def init(self, image: NDArray[np.uint8], box: Box) -> None:
        self._targets = [self.tracker.start(image, box, "bgr") for _ in range(self._count)]

    def update(self, image: NDArray[np.uint8]) -> FrameAnswer:
        return self._told(self.tracker.track(image, self._targets, "bgr")[0])


def known_trackers() -> tuple[str, ...]:
    """Every name `create_participant` takes."""
    from ..tracker import TRACKERS

    return (*TRACKERS, *BASELINES)


def create_participant(spec: TrackerSpec) -> Participant:
    """Make the tracker of a spec.

    Raises:
        BaselineError, TrackerError: the tracker cannot be made; the text names the remedy.
    """
    if spec.name in BASELINES:
        return create_baseline(spec.name, spec.models)
    return OwnTracker(spec)


def source_digest() -> str:
    """Digest of the tracker library's source: results of other code are not taken for its own."""
    return code_digest("tracker", "processors.py")[:16]
