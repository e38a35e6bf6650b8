"""What decided a frame, for those who want to know why a track went as it did."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from .frame.localize import Finding
from .frame.peak import Peak
from .geometry import Box, Window
from .online.memory import SampleMemory
from .online.policy import Decision


@dataclass(frozen=True)
class FrameDiagnostics:
    """References to what the frame loop had at hand; nothing is computed before it is looked at.

    Attributes:
        peak: scores at the chosen place and at the second highest one.
        finding: the verdict on the frame.
        decision: what was learned from it.
        usual: score that the target usually reached before this frame.
        window: the search region.
        remembered, pending: see ``memory``, and what it waits for.
    """

    peak: Peak
    finding: Finding
    decision: Decision
    usual: float
    window: Window
    remembered: SampleMemory | None
    pending: Future[None] | None

    @property
    def memory(self) -> SampleMemory | None:
        """What the online model learns from, once it has learned this frame; None without one.

        It lives on: look at it before the next frame.
        """
        if self.pending is not None:
            self.pending.result()
        return self.remembered

    @property
    def candidate(self) -> Box:
        """The box at the peak (x, y, w, h) in image pixels, before size smoothing and verdict."""
        return self.window.box_in_image(*self.peak.box)
