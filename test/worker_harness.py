"""A running worker with the real tracker, and all it published."""

from __future__ import annotations

import functools
import logging
import threading
import time

from node_harness import TARGET, scene

from duml_tracker_ros.messages.image_codec import ImageView
from duml_tracker_ros.node.boxes import pixel_box
from duml_tracker_ros.node.frame_ring import CameraFrame
from duml_tracker_ros.node.worker import TrackerWorker
from duml_tracker_ros.tracker import create_tracker

# Only failures take that long.
WAIT = 120.0
# The network is not trained: these limits make its answers certain, one way or the other.
ALWAYS_LOST = {"localize.lost_below": 2.0, "localize.found_above": 2.0}
ALWAYS_SEEN = {"localize.lost_below": -1.0, "localize.accurate_below": -1.0}

random_tracker = functools.partial(create_tracker, weights="random", device="cpu")


class Box:
    """A running worker and the outcomes it published."""

    def __init__(self, max_targets=1, create=random_tracker, **overrides):
        self.outcomes = []
        self.unreadable = []
        self.seq = 0
        self.hold = threading.Event()
        self.hold.set()
        self.publishing = threading.Event()
        self.worker = TrackerWorker(
            lambda: create(**overrides),
            self._publish,
            logging.getLogger("worker"),
            1,
            max_targets,
            self.unreadable.append,
        )

    def _publish(self, outcome):
        self.publishing.set()
        self.hold.wait(WAIT)
        self.outcomes.append(outcome)

    def frame(self, pixels=None, source="camera"):
        self.seq += 1
        pixels = scene() if pixels is None else pixels
        return CameraFrame(
            seq=self.seq,
            stamp_ns=self.seq * 33_000_000,
            source=source,
            arrival=self.seq / 30,
            nbytes=pixels.nbytes,
            header=None,
            decode=lambda: ImageView(pixels, "bgr"),
        )

    def see_all(self, frame=None):
        """Sightings in one frame, by id."""
        count = len(self.outcomes)
        self.worker.submit(frame or self.frame())
        self.wait(lambda: len(self.outcomes) > count)
        return {sighting.target_id: sighting for sighting in self.outcomes[-1].sightings}

    def see(self, frame=None):
        """The only sighting in one frame."""
        (sighting,) = self.see_all(frame).values()
        return sighting

    def block(self):
        """Hold the worker at a frame until `hold` is set."""
        self.hold.clear()
        self.publishing.clear()
        self.worker.submit(self.frame())
        assert self.publishing.wait(WAIT)

    def wait(self, condition):
        end = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.002)

    def init(self, box=TARGET, frame=None, **arguments):
        frame = frame or self.frame()
        return self.worker.init(frame, pixel_box(*box), **arguments).result(WAIT)
