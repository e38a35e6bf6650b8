"""Ranges that settings of several losses share."""

from __future__ import annotations

from typing import Annotated

from ..tracker.settings import Range

Weight = Annotated[float, Range(0, 1e6)]
Radius = Annotated[float, Range(0.01, 100)]
"""In cells."""
Unrolled = Annotated[int, Range(1, 100)]
"""Iterations of an online learner that training goes back through."""
