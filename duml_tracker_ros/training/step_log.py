"""What a training tells of its steps: a table on disk and a bar on the terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..progress import progress
from .kept import Log

EVERY = 20
"""Steps between two rows."""


class StepLog:
    """Running means of the parts of a loss, in ``log.csv`` and on a bar: a context manager.

    Args:
        path: the table; None where another process writes it, then the bar is silent, too.
        names: parts of the loss that are shown.
        start, steps: first step of this run, number of all of them.

    Raises:
        ConfigError: the table cannot be written.
    """

    def __init__(self, path: Path | None, names: Sequence[str], start: int, steps: int) -> None:
        self._names, self._steps = names, steps
        self._table = Log(path, ("step", "lr", *names, "seconds"), start) if path else None
        self._bar = progress(total=steps, initial=start, unit="step", show=path is not None)
        self._mean: dict[str, float] = {}
        self._began = time.monotonic()

    def __enter__(self) -> StepLog:
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.close()
        if self._table is not None:
            self._table.__exit__(*error)

    def step(self, step: int, rate: float, parts: Mapping[str, Tensor]) -> None:
        """Tell of a step. The device is waited for only where a row is due."""
        if self._table is not None and (step % EVERY == 0 or step + 1 == self._steps):
            self._row(self._table, step, rate, parts)
        self._bar.update()

    def say(self, text: str) -> None:
        self._bar.write(text)

    def _row(self, table: Log, step: int, rate: float, parts: Mapping[str, Tensor]) -> None:
        mean = self._mean
        for key in self._names:
            # A uni-modal network has no such part.
            value = float(parts[key].detach()) if key in parts else math.nan
            mean[key] = value if key not in mean else 0.9 * mean[key] + 0.1 * value
        shown = {key: f"{value:.3f}" for key, value in mean.items() if key in parts}
        self._bar.set_postfix(shown, refresh=False)
        seconds = f"{time.monotonic() - self._began:.0f}"
        table.row(step, f"{rate:.2e}", *(f"{mean[key]:.4f}" for key in self._names), seconds)
