"""Training samples of all kinds, mixed by weight: a template and search crops of one target.

All crops follow `tracker.geometry`: the template shows the square of side `context_side` about the
box, the search crop is search_size / template_size times larger, at a jittered centre and scale.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from .bank import Bank
from .compositor import Compositor
from .cutouts import Cutout
from .errors import DataError
from .natural import PatchMaker, StillMaker, VideoMaker
from .paste import PasteMaker
from .pools import Pool, still_targets, tracks
from .samples import SampleKind, Shape, TrainingSample, degrade, flip

log = logging.getLogger(__name__)

DEFAULT_MIX: Mapping[str, float] = {
    "paste": 0.42,
    "still": 0.22,
    "video": 0.18,
    "patch": 0.10,
    "scene": 0.08,
}


class Maker(Protocol):
    """Draws samples of one kind; false when its data are missing."""

    def __bool__(self) -> bool: ...

    def make(self, rng: random.Random) -> TrainingSample: ...


class Synthesis:
    """Draws samples from a bank of pictures, cut-outs and (optionally) rendered scene clips.

    mix: weight per kind, keys as in DEFAULT_MIX; kinds without data are dropped.
    distractors: the greatest number of look-alikes pasted around a pasted target.
    outlined: draw only targets whose outline is known, so that every search crop has a mask.
    shares: weight per data set instead of `mix` and the weights by size; of a data set with videos
        these are drawn, of others their stills, and nothing of those without a weight.
    Raises DataError for an unknown key, a negative weight, or when nothing is left to draw from.
    """

    def __init__(
        self,
        bank: Bank,
        cutouts: Sequence[Cutout] = (),
        shape: Shape | None = None,
        mix: Mapping[str, float] | None = None,
        scenes: Bank | None = None,
        distractors: int = 4,
        outlined: bool = False,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        self.shape = shape or Shape()
        compositor = Compositor(bank, cutouts, self.shape)
        stills, videos = still_targets(bank, outlined), tracks(bank, outlined)
        if shares:
            videos = {name: videos[name] for name in shares if name in videos}
            others = [name for name in shares if name in stills and name not in videos]
            stills = {name: stills[name] for name in others}
            absent = sorted(set(shares) - set(videos) - set(stills))
            if absent:
                raise DataError(
                    f"shares: nothing to draw from {', '.join(absent)}; add them to the layouts or "
                    "leave their shares out"
                )
            mix = mix or {
                "video": math.fsum(shares[name] for name in videos),
                "still": math.fsum(shares[name] for name in stills),
            }
        scene_tracks = Pool.of(tracks(scenes, outlined)) if scenes is not None else Pool()
        self._makers: dict[SampleKind, Maker] = {
            SampleKind.PASTE: PasteMaker(compositor, distractors),
            SampleKind.STILL: StillMaker(compositor, Pool.of(stills, shares)),
            SampleKind.VIDEO: VideoMaker(
                compositor, bank, Pool.of(videos, shares), SampleKind.VIDEO
            ),
            SampleKind.PATCH: PatchMaker(compositor, outlined),
            SampleKind.SCENE: VideoMaker(
                compositor, scenes or bank, scene_tracks, SampleKind.SCENE
            ),
        }
        usable = self._usable(DEFAULT_MIX if mix is None else mix)
        self._kinds, self._weights = list(usable), list(usable.values())

    def _usable(self, mix: Mapping[str, float]) -> dict[SampleKind, float]:
        for name, weight in mix.items():
            if name not in DEFAULT_MIX:
                raise DataError(f"mix: unknown kind {name!r}; choose from {', '.join(DEFAULT_MIX)}")
            if not (weight >= 0 and math.isfinite(weight)):
                raise DataError(f"mix[{name!r}] = {weight}: weights must be finite and >= 0")
        wanted = {SampleKind[name.upper()]: weight for name, weight in mix.items() if weight > 0}
        usable = {kind: weight for kind, weight in wanted.items() if self._makers[kind]}
        if not usable:
            raise DataError(f"mix {dict(mix)}: the data hold nothing for any of these kinds")
        return usable

    def sample(self, rng: random.Random) -> TrainingSample:
        """One sample of a random kind; what cannot be decoded is reported and replaced."""
        for _ in range(20):
            try:
                return self.make(rng.choices(self._kinds, self._weights)[0], rng)
            except DataError as error:
                log.warning("sample dropped: %s", error)
        raise DataError("20 samples in a row hit unreadable pictures; check the data root")

    def make(self, kind: SampleKind, rng: random.Random) -> TrainingSample:
        """One sample of the given kind."""
        return degrade(flip(self._makers[kind].make(rng), rng), rng)
