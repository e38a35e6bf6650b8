"""What was lost and found again is on trial before it counts as the target."""

from __future__ import annotations

from duml_tracker_ros.tracker import TrackState
from duml_tracker_ros.tracker.config import LocalizeConfig
from duml_tracker_ros.tracker.frame.localize import judge
from duml_tracker_ros.tracker.motion.target import TargetTrack


def follow(
    scores: list[tuple[float, float]], frames: int, after: int = 1
) -> list[tuple[TrackState, bool]]:
    """State and weakness of a target whose online and offline scores are these."""
    rule = LocalizeConfig(proof_frames=frames, proof_after=after, colour_tolerance=0.0)
    track = TargetTrack((0.0, 0.0, 20.0, 20.0), (0.0, 0.0, 0.0))
    out = []
    for robust, accurate in scores:
        usual = track.usual, False, track.trial, track.usual_accurate
        found = judge(robust, accurate, 0.0, track.state, usual[0], rule, *usual[1:])
        track.observe(found, rule, (0.0, 0.0))
        out.append((found.state, found.weak))
    return out


def test_what_is_found_again_is_on_trial_until_it_is_plain() -> None:
    plain, poor, gone = (0.9, 0.7), (0.9, 0.3), (0.0, 0.0)
    told = follow([plain] * 5 + [gone] * 2 + [plain] * 2 + [poor] + [plain] * 4, 3)
    states = [state for state, _ in told]
    seen, doubt, lost = TrackState.TRACKING, TrackState.UNCERTAIN, TrackState.LOST
    assert states == [seen] * 5 + [lost] * 2 + [doubt] * 5 + [seen] * 2
    assert all(weak for _, weak in told[7:12]), "nothing is learned of it meanwhile"
    without = follow([plain] * 5 + [gone] * 2 + [plain], 0)
    assert without[-1] == (seen, False)


def test_no_more_is_asked_of_a_target_that_never_was_plain() -> None:
    faint, gone = (0.8, 0.3), (0.0, 0.0)
    told = follow([faint] * 10 + [gone] + [faint] * 4, 3)
    assert [state for state, _ in told[-2:]] == [TrackState.TRACKING] * 2


def test_what_was_gone_for_a_moment_needs_no_trial() -> None:
    plain, gone, seen = (0.9, 0.7), (0.0, 0.0), TrackState.TRACKING
    told = follow([plain] * 5 + [gone] * 7 + [plain], 3, after=8)
    assert told[-1] == (seen, False)
    told = follow([plain] * 5 + [gone] * 8 + [plain] * 4, 3, after=8)
    assert [state for state, _ in told[-4:]] == [TrackState.UNCERTAIN] * 2 + [seen] * 2
