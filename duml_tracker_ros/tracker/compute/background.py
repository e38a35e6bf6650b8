"""Updates of what is learned online on a thread of its own: an answer does not wait for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from ...processors import usable_processors


class BackgroundUpdates:
    """Does work of a tracker one after the other while the caller goes on.

    Torch leaves Python's lock while it computes, so that the caller runs meanwhile.

    Args:
        active: False: ``run`` does the work itself before it returns.
    """

    def __init__(self, active: bool) -> None:
        self.active = active
        # The thread starts with the first work and ends with the pool.
        self._pool = ThreadPoolExecutor(1, "learning") if active else None

    def run(self, work: Callable[..., None], *args: Any) -> Future[None] | None:
        """Begin some work; None when it is done already. What it raises comes with the result."""
        if self._pool is None:
            work(*args)
            return None
        return self._pool.submit(_infer, work, args)


def _infer(work: Callable[..., None], args: tuple[Any, ...]) -> None:
    # The mode belongs to a thread.
    with torch.inference_mode():
        work(*args)


def processors_to_spare(device: torch.device) -> bool:
    """Has this process another processor for each of torch's threads?

    Not on a GPU, which computes beside the caller anyway.
    """
    return device.type == "cpu" and usable_processors() >= 2 * torch.get_num_threads()
