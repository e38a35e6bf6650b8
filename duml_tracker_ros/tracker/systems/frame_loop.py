"""The frame loop of all trackers: crop, network, one candidate a target, verdict, learning.

What a target is made of, how it is located and what is learned are left to subclasses.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...pixels import Pixels
from ..checkpoint import Checkpoint
from ..compute.background import BackgroundUpdates, processors_to_spare
from ..compute.timing import StageClock
from ..compute.transfer import numbers, to_device
from ..config import TrackerConfig
from ..diagnostics import FrameDiagnostics
from ..engine import Engine, compile_graph
from ..frame.augment import augment_search
from ..frame.colour import chroma
from ..frame.crop import check_image, crop_array, crop_whole, mean_colour
from ..frame.localize import Finding, TrackState
from ..frame.palette import palette
from ..frame.peak import Peak
from ..frame.voting import Votes
from ..geometry import Box, Window, map_region, overlap, search_window, validate_box
from ..interface import WARM_FRAMES, Tracker, noise_image
from ..motion.egomotion import between, view_of
from ..motion.elsewhere import well_inside
from ..motion.nearby import Look
from ..motion.target import SAME, TargetTrack
from ..network.base import CropNet
from ..network.graphs import Graph
from ..online.policy import NOTHING, Decision
from ..postprocess import best_views
from ..results import ScoreMaps, TrackResult
from .records import FrameImage, L, Observation, Search, T
from .verdict import settle, trusted, verdict

Net = TypeVar("Net", bound=CropNet)
LIKELY = {Look.COARSE: 0.3, Look.FAR_COARSE: 0.4}
"""Share of the target's usual score from which a coarse look says where to look closely."""


class FrameTracker(Tracker[T], Generic[Net, T, L]):
    """Follows targets with one crop batch and one backbone pass a frame.

    Args:
        net: network with its weights, deployed on ``device``.
        checkpoint: where the weights came from (None for random ones).
        engine: what runs the networks instead of torch, and
        plain: the network it compiles: in eval mode, folded, float32.
        quantised: what it runs of a frame instead: the search graph in int8, as ONNX.
    """

    network: ClassVar[type[CropNet]]
    """Kind of network the tracker needs."""

    def __init__(
        self,
        config: TrackerConfig,
        net: Net,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        profile: bool = False,
        engine: Engine | None = None,
        plain: Net | None = None,
        quantised: bytes | None = None,
    ) -> None:
        self.config = config
        self.net = net
        self.device = device
        self.checkpoint = checkpoint
        self.clock = StageClock(device, profile)
        self.background = BackgroundUpdates(self._learns_in_background())
        own = "bf16" if net.dtype is torch.bfloat16 else "fp32"
        self.precision = "int8" if quantised else engine.precision if engine else own
        # Without an engine the network is the plain one, and on the device already.
        self._compile(engine, plain if engine else None, quantised)

    def _learns_in_background(self) -> bool:
        """Is the thread for learning wanted? Stages that overlap could not be told apart."""
        wish = self.config.online.asynchronous
        wanted = wish == "always" or (wish == "auto" and processors_to_spare(self.device))
        return wanted and not self.clock.enabled

    def _compile(self, engine: Engine | None, plain: Net | None, quantised: bytes | None) -> None:
        """Make ``template`` and ``search``, of an engine where there is one."""
        template, search = self.graphs(self.net)
        others = (None, None) if plain is None else self.graphs(plain)
        n, kernels = self.config.network, ()
        if template is not None:
            crop = self._blank(n.template_size)
            self.template = compile_graph(engine, others[0], template, crop)
            if others[0] is not None:
                with torch.no_grad():
                    kernels = others[0](*crop)[: len(search.inputs) - 1]
        example = (*self._blank(n.search_size), *kernels)
        self.search = compile_graph(engine, others[1], search, example, quantised, self.background)

    @staticmethod
    def _blank(size: int) -> tuple[Tensor]:
        return (torch.zeros(1, size, size, 3, dtype=torch.uint8).permute(0, 3, 1, 2),)

    @classmethod
    @abstractmethod
    def graphs(cls, net: Any) -> tuple[Graph | None, Graph]:
        """What is computed once a target, if anything, and what is computed of a frame."""

    def kernels(self, targets: Sequence[T]) -> Sequence[Tensor]:
        """What the search graph takes beside the crops, one batch entry a target."""
        return ()

    def warm_up(self, targets: int = 1) -> None:
        image, box = noise_image()
        target = self.start(image, box)
        for count in range(1, targets + 1):
            for _ in range(WARM_FRAMES):
                self.track(image, [target] * count)
        self.reset()

    def stage_times(self) -> dict[str, float]:
        return self.clock.milliseconds()

    def info(self) -> dict[str, Any]:
        source = self.checkpoint
        return {
            "name": self.name,
            "size": self.config.size,
            "parameters": self.net.learned,
            "weights": str(source.path) if source else "random",
            "sha256": source.sha256 if source else "",
            "notes": source.notes if source else {},
            "device": str(self.device),
            "engine": self.config.engine,
            "precision": self.precision,
            "mask": self.has_mask,
            "config": dataclasses.asdict(self.config),
        }

    @torch.inference_mode()
    def start(self, image: Pixels, box: Box, order: str = "rgb") -> T:
        """Learn a target from its first image. Raises BoxError or ImageError."""
        width, height = check_image(image, order)
        box = validate_box(box, width, height)
        fill = mean_colour(image, order, sparse=self.config.network.crop == "exact")
        track = TargetTrack(box, fill)
        if self.config.motion.active:
            track.view = view_of(image, order, self.attitude)
        frame = FrameImage(image, order)
        if self.config.localize.palette_tolerance:
            track.palette.start(palette(image, order, box))
        rule, samples = self.config.postprocess, self.config.online.init_samples
        if rule.refine:
            # To see how the box lies takes no filter that knows all about the target.
            seen, sure = self._first_look(self.begin(track, frame, 1), frame)
            if sure:
                track.refine(seen, rule.refine)
        target = self.begin(track, frame, samples)
        if rule.first_box:
            track.learn_box_bias(self._first_look(target, frame)[0], rule.first_box)
        return target

    def _first_look(self, target: T, frame: FrameImage) -> tuple[Box, bool]:
        """Find the target where it was selected: the network's box of it, and if that is sure."""
        rule = self.config.localize
        window = target.track.search(self.config.network)
        (seen,) = self.look(frame, [self._search(target, window)])
        peak = seen.peak
        sure = peak.robust >= rule.found_above and peak.accurate >= rule.accurate_found
        return window.box_in_image(*peak.box), sure

    @abstractmethod
    def begin(self, track: TargetTrack, frame: FrameImage, samples: int) -> T:
        """Learn the target at ``track.box``, which is valid, from its first image.

        Args:
            samples: crops of it to learn from, see ``first_samples``.
        """

    @abstractmethod
    def locate(self, searches: Sequence[Search[T]], outputs: Sequence[Tensor]) -> Sequence[L]:
        """Locate each target in its search region.

        Args:
            outputs: of the search graph, one batch entry a region.
        """

    @abstractmethod
    def learn(self, seen: Observation[T, L], finding: Finding, trusted: bool) -> Decision:
        """Learn from a frame. The target's ``track`` has moved already.

        What takes time is left to ``update_later``. Returns what was decided.

        Args:
            trusted: is the frame sure enough?
        """

    def update_later(self, target: T, update: Callable[..., None], *args: Any) -> None:
        """Let a target learn, beside what the caller does next where ``background`` is active.

        Until ``target.finish_update`` nobody else may touch what is learned. ``locate`` comes after
        it.
        """
        target.finish_update()
        target.pending_update = self.background.run(update, *args)

    @torch.inference_mode()
    def track(self, image: Pixels, targets: Sequence[T], order: str = "rgb") -> list[TrackResult]:
        """Locate every target in the next image. Raises ImageError."""
        check_image(image, order)
        frame = FrameImage(image, order)
        self.clock.start()
        self._anticipate(frame, [t.track for t in targets])
        regions = [self._region(frame, t) for t in targets]
        return self._track_batch(frame, regions, targets) if regions else []

    def _anticipate(self, frame: FrameImage, tracks: Sequence[TargetTrack]) -> None:
        """Take every box to where it is expected in the image, if the camera is followed."""
        if not self.config.motion.active:
            return
        view = view_of(*frame, self.attitude)
        # Targets were last looked for in the same image, as a rule; each pair is compared once.
        for former in {id(t.view): t.view for t in tracks}.values():
            members = [t for t in tracks if t.view is former]
            boxes = [t.box for t in members]
            motion = None if former is None else between(former, view, boxes)
            for track in members:
                track.anticipate(motion, view)
        self.clock.lap("motion")

    def _region(self, frame: FrameImage, target: T) -> Search[T]:
        """Where a target is looked for: around where it is expected, or about if it is lost."""
        track, c = target.track, self.config
        if not track.unseen:
            return self._search(target, track.search(c.network))
        return self._search(target, *track.search_lost(frame, c))

    def _search(self, target: T, window: Window, look: Look = Look.CLOSE) -> Search[T]:
        c = self.config
        expected = target.track.expect(window, c.network.stride, c.postprocess, c.localize)
        return Search(target, window, expected, look)

    def _scaled(self, region: Search[T]) -> list[Search[T]]:
        """A region at each of the scales that a tracker without boxes of its own searches."""
        window, scales = region.window, self.config.postprocess.scales
        if scales == (1.0,):
            return [region]
        sides = [dataclasses.replace(window, side=window.side * s) for s in scales]
        return [self._search(region.target, w, region.look) for w in sides]

    def _track_batch(
        self, frame: FrameImage, regions: Sequence[Search[T]], targets: Sequence[T]
    ) -> list[TrackResult]:
        clock, rule = self.clock, self.config.postprocess
        views = self.look(frame, [s for r in regions for s in self._scaled(r)])
        clock.lap("localize")
        results = []
        for chosen in best_views([v.peak.fused for v in views], rule):
            seen = views[chosen]
            target, window = seen.search.target, seen.search.window
            usual, decision = target.track.usual, NOTHING
            if seen.search.look is Look.CLOSE:
                seen, finding = settle(seen, self.config)
                decision = self.learn(seen, finding, trusted(seen, finding, self.config))
            else:
                finding = self._seen_aside(seen, targets)
            memory, pending = target.memory, target.pending_update
            diagnostics = FrameDiagnostics(
                seen.peak, finding, decision, usual, window, memory, pending
            )
            results.append(self.result(seen, diagnostics))
        clock.lap("online")
        return results

    def _seen_aside(self, seen: Observation[T, L], targets: Sequence[T]) -> Finding:
        """What a look at more than the expected place showed of a lost target. It stays lost."""
        target, c, look = seen.search.target, self.config, seen.search.look
        track, finding = target.track, verdict(seen, c)
        found = seen.search.window.box_in_image(*seen.peak.box)
        if look is Look.FAR:
            plain = finding.proof and finding.state is not TrackState.LOST
        else:
            plain = finding.score >= LIKELY[look] * track.usual
        box: Box | None = None
        least, most = min(found[2:]), max(found[2:])
        possible = all(map(math.isfinite, found)) and 1 <= least <= most <= 2 * max(seen.frame.size)
        if plain and possible:
            others = (t.track for t in targets if t is not target)
            others = (o for o in others if o.state is not TrackState.LOST)
            taken = any(overlap(o.box, found) > SAME for o in others)
            box = None if taken or track.look_alikes.is_known(found, SAME) else found
        finding = dataclasses.replace(finding, state=TrackState.LOST)
        track.observe(finding, c.localize, seen.chroma)
        if look is Look.COARSE or (box is not None and well_inside(box, track.search(c.network))):
            # The search around the expected place sees it, too.
            track.nearby.hint, box = box, None
        if look is Look.FAR_COARSE:
            track.elsewhere.hint = box
        elif look is Look.FAR:
            held = track.elsewhere.see(box, c.reacquire)
            if held is not None:
                track.return_to(held, c.localize.proof_far)
        return finding

    def look(self, frame: FrameImage, searches: Sequence[Search[T]]) -> list[Observation[T, L]]:
        """The candidate of each search region."""
        crops = [self.cut(frame, s.window, s.target.track) for s in searches]
        self.clock.lap("crop")
        outputs = self.search(self.upload(crops), *self.kernels([s.target for s in searches]))
        self.clock.lap("network")
        for search in searches:
            search.target.finish_update()
        located = self.locate(searches, outputs)
        # The one copy to the host.
        rows = [one.numbers[None] for one in located]
        rows = [
            row if one.others is None else torch.cat((row, one.others))
            for row, one in zip(rows, located, strict=True)
        ]
        peaks, each = Peak.unpack(torch.cat(rows)), len(rows[0])
        seen = []
        for i, (search, one, crop) in enumerate(zip(searches, located, crops, strict=True)):
            first, *others = ((p, chroma(crop, p.box)) for p in peaks[i * each : (i + 1) * each])
            seen.append(Observation(frame, search, one, *first, tuple(others)))
        return seen

    def cut(self, frame: FrameImage, window: Window, track: TargetTrack) -> np.ndarray:
        """The window as the network wants it, uint8 RGB [S, S, 3]."""
        how = crop_array if self.config.network.crop == "exact" else crop_whole
        return how(frame.image, window, track.fill, frame.order)

    def upload(self, crops: Sequence[np.ndarray]) -> Tensor:
        """Crops uint8 [S, S, 3] -> uint8 [B, 3, S, S] on the device, channels last."""
        batch = crops[0][None] if len(crops) == 1 else np.stack(crops)
        return to_device(torch.from_numpy(batch).permute(0, 3, 1, 2), self.device)

    def first_samples(
        self, track: TargetTrack, frame: FrameImage, count: int
    ) -> tuple[Tensor, Tensor]:
        """Augmented search crops of the first frame, to learn from.

        Returns:
            Crops [count, 3, S, S] on the device and the target's box (cx, cy, w, h) in the pixels
            of each [count, 4], on the host. The first one is the crop itself.
        """
        n, box = self.config.network, track.box
        window = search_window(box, n.template_size, n.search_size)
        crop = self.cut(frame, window, track)
        sides = box[2] * window.scale, box[3] * window.scale
        crops, boxes = augment_search(crop, sides, count)
        return self.upload(list(crops)), torch.from_numpy(boxes)

    def cells_of(self, track: TargetTrack, window: Window, cells: int, stride: int) -> Tensor:
        """The target in the cells of a map of its search region, see ``Window.to_cells`` [4]."""
        return numbers(window.to_cells(track.box, cells, stride), self.device)

    def result(self, seen: Observation[T, L], diagnostics: FrameDiagnostics) -> TrackResult:
        """Make the result of a frame; the target's ``track`` has moved already."""
        track, found = seen.search.target.track, seen.located
        window, finding = diagnostics.window, diagnostics.finding
        region = map_region(window, found.maps["fused"].shape[-1], found.stride)
        return TrackResult(
            track.box,
            finding.confidence,
            finding.state,
            track.unseen,
            window.region,
            ScoreMaps(found.maps, region),
            Votes(found.ballot, window) if found.ballot is not None else None,
            diagnostics=diagnostics,
        )
