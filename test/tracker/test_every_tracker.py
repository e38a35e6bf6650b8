"""What holds for every tracker there is, with its shipped weights."""

from __future__ import annotations

import numpy as np
import pytest
from generated_sequence import render

from duml_tracker_ros.tracker import BoxError, create_tracker
from duml_tracker_ros.tracker.registry import REGISTRY

# Pixels; what is fitted from frame to frame carries rounding on.
APART = {"fcot": 0.05, "tlpg": 0.05}
# Random weights find nothing; that they always "see" lets every part run.
SEEN = {
    f"localize.{name}": -9.0
    for name in ("lost_below", "accurate_below", "found_above", "unsure_share", "lost_share")
}


@pytest.mark.parametrize("name", list(REGISTRY))
def test_targets_tracked_together_are_those_tracked_alone(name: str) -> None:
    """The target and random boxes in one image: one batch gives what each gives alone."""
    images, boxes = render(5, size=(320, 240), seed=2)
    tracker = create_tracker(name, device="cpu")
    assert tracker.info()["name"] == name
    with pytest.raises(BoxError, match="finite"):
        tracker.init(images[0], (float("nan"), 0, 5, 5))
    rng = np.random.default_rng(3)
    chosen = [tuple(boxes[0])]
    for _ in range(2):
        w, h = rng.uniform(18, 50, 2)
        chosen.append((rng.uniform(0, 320 - w), rng.uniform(0, 240 - h), w, h))
    targets = [tracker.start(images[0], box) for box in chosen]
    together = [tracker.track(image, targets) for image in images[1:4]]
    for i, box in enumerate(chosen):
        tracker.init(images[0], box)
        for frame, image in enumerate(images[1:4]):
            alone, other = tracker.update(image), together[frame][i]
            assert other.box == pytest.approx(alone.box, abs=APART.get(name, 0.02))
            assert other.state is alone.state
            assert other.score_maps["fused"].shape == alone.score_maps["accurate"].shape
            assert (other.mask is None) == (alone.mask is None)
            if alone.mask is not None:
                alike = np.abs(alone.mask.probability - other.mask.probability)
                assert alike.max() < 0.02
    assert tracker.track(images[4], []) == []


@pytest.mark.parametrize(
    ("name", "rule", "used"),
    [
        ("fcot", "paper", 16),
        ("fcot", "every_frame", 18),
        ("fcot", "never", 15),
        ("tlpg", "every_frame", 18),
        ("tlpg", "never", 15),
    ],
)
def test_the_rule_says_what_is_remembered(name: str, rule: str, used: int) -> None:
    images, boxes = render(4, size=(320, 240), seed=2)
    options = {"online.update": rule, "online.learn_above": -9.0, "online.interval": 2, **SEEN}
    tracker = create_tracker(name, weights="random", device="cpu", **options)
    target = tracker.start(images[0], tuple(boxes[0]))
    for image in images[1:]:
        tracker.track(image, [target])
    target.finish_update()
    model = target.fine if name == "fcot" else target.stages[0]
    assert model.memory.used == used
