"""The tracker node with a real tracker that fails on marked images, as a broken device would.

The first pixel of an image marks it: (1, 2, kind), kind of FAULTS.
"""

import sys

import torch

from duml_tracker_ros.node import tracker_node
from duml_tracker_ros.node.main import main
from duml_tracker_ros.tracker import Tracker, create_tracker

FAULTS = {
    3: lambda: ValueError("simulated fault of the tracker"),
    4: lambda: torch.OutOfMemoryError("CUDA out of memory, simulated"),
    5: lambda: RuntimeError("CUDA error: device-side assert triggered, simulated"),
}
STICKY = 5


class FaultyTracker(Tracker):
    """Delegates to the tracker that `create_tracker` makes."""

    def __init__(self, *arguments, **options):
        self._inner = create_tracker(*arguments, **options)
        self._broken = 0

    def _check(self, image):
        if tuple(image[0, 0, :2]) == (1, 2):
            self._broken = int(image[0, 0, 2])
        fault = self._broken
        if fault != STICKY:
            self._broken = 0
        if fault in FAULTS:
            raise FAULTS[fault]()

    def start(self, image, box, order="rgb"):
        self._check(image)
        return self._inner.start(image, box, order)

    def track(self, image, targets, order="rgb"):
        self._check(image)
        return self._inner.track(image, targets, order)

    def warm_up(self, targets=1):
        self._inner.warm_up(targets)

    def stage_times(self):
        return self._inner.stage_times()

    def info(self):
        return self._inner.info()


if __name__ == "__main__":
    tracker_node.create_tracker = FaultyTracker
    sys.exit(main())
