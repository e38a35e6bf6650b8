"""Every tracker on a CUDA device, beside the same one on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generated_sequence import render

from duml_tracker_ros.tracker import TRACKERS, TrackState, create_tracker
from duml_tracker_ros.tracker.geometry import overlap

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("precision", ["fp32", "auto"])
@pytest.mark.parametrize("name", TRACKERS)
def test_every_tracker_tracks_on_a_device_as_on_the_cpu(name: str, precision: str) -> None:
    images, boxes = render(40, size=(320, 240), seed=2)
    # Gone for a while: coarse looks, and the way back.
    images[18:24] = [np.full_like(images[0], 90)] * 6
    here = create_tracker(name, device="cpu", engine="torch")
    there = create_tracker(name, device="cuda", precision=precision)
    for tracker in (here, there):
        tracker.init(images[0], tuple(boxes[0]), "bgr")
    for image in images[1:]:
        a, b = here.update(image, "bgr"), there.update(image, "bgr")
        if TrackState.LOST not in (a.state, b.state):
            assert overlap(a.box, b.box) > 0.7
    assert a.state is b.state
