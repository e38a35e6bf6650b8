"""DuML as recorded graphs: one launch to look at a frame, one to learn from it.

What is decided on the host (`localize.judge`, `policy.decide`) is decided between the two, from the
twelve numbers that come back. So the cases of a frame are a few graphs: how finely the crop is
resampled, and a number of steps of the online filter.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cuda_graphs.device_crop import COARSE, FINE, NUMBERS, crop_on_device, patch_under
from ..cuda_graphs.recording import Recording
from ..cuda_graphs.staging import DownloadBuffer, UploadBuffer
from ..errors import ConfigError
from ..frame.colour import chroma_on_device
from ..frame.localize import Finding
from ..frame.peak import Peak
from ..frame.voting import Ballot
from ..motion.target import Expectation
from ..online.localizer import OnlineLocalizer
from ..online.policy import Decision, decide
from .duml import DumlTracker
from .records import PEAKS, FrameImage, Observation, Search
from .siamese import SiameseLocated, SiameseTarget

ROOM = 4 * 3840 * 2160
"""Bytes for the pixels under a search region: a 4K image of four channels."""


class Seen(NamedTuple):
    """What a recorded frame leaves on the device, until the next one.

    Attributes:
        told: ``Peak`` and chroma of the candidate and of each further peak [1 or 1 + `PEAKS`, 12].
        sight: score maps and ballot, one after the other.
        cells: of the score maps along each side.
    """

    told: Tensor
    sight: Tensor
    cells: int


class CudaGraphDuml(DumlTracker):
    """The dual-modal tracker for ``engine: cuda_graph``.

    The same arithmetic as ``DumlTracker``; the crop alone is resampled on the device. One target at
    a time owns the recorded addresses. Where several are followed together, they are looked at in
    one batch as usual.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.config.network.crop != "exact" or self.net.online is None:
            raise ConfigError(
                "engine = 'cuda_graph' needs network.crop = 'exact' and an online branch; "
                "take engine=torch"
            )
        # Tests record on a CPU; there, too, nothing may need the host.
        self.on_host = False
        with torch.inference_mode():
            self._prepare()

    def _prepare(self) -> None:
        """Take fixed addresses and record everything, so that nothing is recorded in flight."""
        n, rule, device = self.config.network, self.config.online, self.device
        template = np.zeros((n.template_size, n.template_size, 3), np.uint8)
        self._held, start = self.look_at_template(template)
        crop = self.upload([np.zeros((n.search_size, n.search_size, 3), np.uint8)])
        features = self._graph.features(self.net.extract(crop))[0]
        middle = torch.tensor([[features.shape[-1] / 2] * 2 + [4.0, 4.0]], device=device)
        self._online = self.make_online(features, middle, start)
        self._features = features[0].clone()
        self._scores = self._online.scores(features)[0].clone()
        self._owner: weakref.ref[SiameseTarget] | None = None
        count = 1 + PEAKS if self.config.lookalikes.active else 1
        self._download = DownloadBuffer(count * (len(Peak._fields) + 2), device)
        self._sample = UploadBuffer(8 + rule.memory, 0, device)
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        steps = {0, rule.iterations, rule.distractor_iterations, 1}
        self._updates = {k: self._record(lambda k=k: self._step(k)) for k in sorted(steps)}
        self._make_room(ROOM)

    def _record(self, function: Any) -> Recording[Any]:
        return Recording(function, self.device, self._pool)

    def _make_room(self, room: int) -> None:
        """Bytes for pixels. The frames, which read them, are recorded anew."""
        self._upload = UploadBuffer(NUMBERS + 8, room, self.device)
        self._frames = {k: self._record(lambda k=k: self._frame(k)) for k in (FINE, COARSE)}

    def _learns_in_background(self) -> bool:
        # The second launch comes after the answer as it is.
        return False

    # -- recorded work ------------------------------------------------------------------------

    def _frame(self, samples: int) -> Seen:
        """All that is computed of a search region."""
        numbers, size = self._upload.numbers, self.config.network.search_size
        crop = crop_on_device(self._upload.bytes, numbers[:NUMBERS], size, samples)
        out, features = self._graph.unpack(self.search(crop, *self._held))
        scores = self._online.scores(features[0])
        last, near, influence = numbers[NUMBERS:].split((2, 2, 4))
        found = self._locate(out.of(0), scores, Expectation(last, influence[0], near), size)
        self._features.copy_(features[0][0])
        self._scores.copy_(scores[0])
        parts = [found.maps[name].float() for name in ("fused", "robust", "accurate")]
        if found.ballot is not None:
            ballot = found.ballot
            parts += [ballot.boxes.T, ballot.scores, ballot.quality, ballot.start]
        rows = [found.numbers] if found.others is None else [found.numbers, *found.others]
        told = torch.cat([torch.cat((r, chroma_on_device(crop[0], r[:4]))) for r in rows])
        return Seen(told, torch.cat([p.flatten() for p in parts]), parts[0].shape[-1])

    def _step(self, iterations: int) -> None:
        """Remember the last frame and improve the filter."""
        numbers = self._sample.numbers
        self._online.write(numbers[:1].long(), self._features, numbers[4:8], self._scores)
        if iterations:
            self._online.descend(numbers[8:][None], iterations)

    # -- the frame loop -----------------------------------------------------------------------

    def look(
        self, frame: FrameImage, searches: Sequence[Search[SiameseTarget]]
    ) -> list[Observation[SiameseTarget, SiameseLocated]]:
        (search, *others), target = searches, searches[0].target
        if others or not self._adopt(target):
            return super().look(frame, searches)
        window = search.window
        patch = patch_under(frame.image, window, target.track.fill, frame.order)
        if patch.pixels.size > self._upload.capacity:
            self._make_room(frame.image.size)
        last, influence, near = search.expected
        expected = *map(float, last), *map(float, near), float(influence), 0.0, 0.0, 0.0
        numbers = (*patch.numbers, *expected)
        self._upload.send(numbers, patch.pixels)
        self.clock.lap("crop")
        seen: Seen = self._frames[patch.samples]()
        self._download.fetch(seen.told)
        # Somebody may look at these long after the next frame.
        located = self._located(seen.told, seen.sight.clone(), seen.cells)
        told = self._download.wait()
        self.clock.lap("network")
        width = len(Peak._fields) + 2
        rows = (told[i : i + width] for i in range(0, len(told), width))
        first, *rest = ((Peak(*row[:-2]), (row[-2], row[-1])) for row in rows)
        return [Observation(frame, search, located, *first, tuple(rest))]

    def _located(self, told: Tensor, sight: Tensor, cells: int) -> SiameseLocated:
        """The candidate; what is learned from it lies at fixed addresses."""
        area, rule = cells * cells, self.config.postprocess
        fused, robust, accurate = sight[: 3 * area].view(3, cells, cells)
        ballot, rest = None, sight[3 * area :]
        if len(rest):
            boxes, scores, quality = rest[:-4].view(6, -1).split((4, 1, 1))
            limits = rule.voting_epsilon, rule.voting_sigma
            ballot = Ballot(boxes.T, scores[0], quality[0], rest[-4:], *limits)
        maps = {"fused": fused, "robust": robust, "accurate": accurate}
        return SiameseLocated(told, maps, self.config.network.stride, ballot=ballot)

    def _adopt(self, target: SiameseTarget) -> bool:
        """Move what is known of a target to the recorded addresses, if they are free."""
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            return owner is target
        assert isinstance(target.online, OnlineLocalizer)
        self._online.load(target.online)
        for held, kernel in zip(self._held, target.kernels, strict=True):
            held.copy_(kernel)
        target.online, target.kernels = self._online, self._held
        self._owner = weakref.ref(target)
        return True

    def learn(
        self, seen: Observation[SiameseTarget, SiameseLocated], finding: Finding, trusted: bool
    ) -> Decision:
        if seen.located.features is not None:  # of several targets at a time
            return super().learn(seen, finding, trusted)
        track, window = seen.search.target.track, seen.search.window
        decision = decide(finding, trusted, track.frame, self.config.online)
        if not decision.insert:
            return decision
        memory = self._online.memory
        self._online.map_samples()
        slot = memory.reserve(decision.rate)
        if slot is None:
            # All samples are of the first frame: nothing is remembered.
            if decision.iterations:
                self._online.optimise(decision.iterations)
            return decision
        side, stride = self._features.shape[-1], self.config.network.stride
        cells = window.to_cells(track.box, side, stride)
        self._sample.send((slot, 0.0, 0.0, 0.0, *cells, *memory.all_shares()))
        self._updates[decision.iterations]()
        return decision
