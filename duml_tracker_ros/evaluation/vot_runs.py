"""VOT's protocols: runs that start again after a failure, and runs from anchors.

Results lie under ``<out>/<tracker>/baseline/<sequence>/`` as the vot-toolkit writes them: one
trajectory file per repetition (``NAME_001.txt``) or anchor (``NAME_00000042.txt``), with
``_time.value`` and ``_confidence.value`` beside it, in VOT's own coordinates. ``run.json`` is
written last; a sequence without it is run again.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, SequenceError
from ..datasets import Sequence as Video
from ..datasets.region import UNKNOWN, Region, parse_region, rectangle, special
from ..datasets.vot import EAO_RANGES
from ..pixels import Box
from ..whole_set import whole_set
from . import vot
from .one_pass import FORMAT, base_name, check_size, describe
from .participants import Participant, TrackerSpec
from .tasks import run_all, run_or_resume
from .workers import seed_all

ORIGIN = 1.0
"""Coordinate of the first pixel in VOT's files."""


@dataclass(frozen=True)
class Trajectory:
    """One trajectory: regions, seconds and confidence per frame of the run.

    Attributes:
        name: of its files.
        start, backward: where it began, and its direction (anchor runs).
    """

    name: str
    regions: tuple[Region, ...]
    seconds: tuple[float, ...]
    confidence: tuple[float, ...]
    start: int = 0
    backward: bool = False

    def frames(self, length: int) -> list[int]:
        """Indices of the video's frames in the order of the run."""
        if self.backward:
            return list(range(self.start, -1, -1))
        return list(range(self.start, length))


@dataclass(frozen=True)
class VotRun:
    """One tracker on one sequence."""

    trajectories: tuple[Trajectory, ...]
    image_size: tuple[int, int]
    description: dict[str, Any]
    resumed: bool = False

    def update_ms(self) -> list[float]:
        """Milliseconds of all updates; starts are not counted."""
        return [
            s * 1e3
            for t in self.trajectories
            for r, s in zip(t.regions, t.seconds, strict=True)
            if not (r.kind == "special" and r.code != vot.FAILED)
        ]


def to_region(box: Box) -> Region:
    """A box of ours in VOT's coordinates, rounded as the files round it."""
    values = np.round([box[0] + ORIGIN, box[1] + ORIGIN, box[2], box[3]], 4)
    return rectangle(values)


def start_box(region: Region) -> Box:
    """The box to start a tracker with: the region's bounding box in our coordinates.

    Raises ValueError when the region is empty.
    """
    x, y, w, h = (float(v) for v in region.bounding_box())
    if not np.isfinite([x, y, w, h]).all():
        raise ValueError("the truth is empty where the tracker has to start")
    return (x - ORIGIN, y - ORIGIN, w, h)


def run_supervised(tracker: Participant, video: Video) -> VotRun:
    """VOT2018 / VOT2019: a new start 5 frames after every overlap of 0.

    One repetition: the trackers here give the same boxes every time.
    """
    truth = _truth(video)
    count = len(video)
    regions = [special(UNKNOWN)] * count
    seconds, confidence = np.zeros(count), np.full(count, np.nan)
    size = video.size
    seed_all()
    frame = 0
    while frame < count:
        seconds[frame] = _start(tracker, video, frame)
        regions[frame] = special(vot.INITIALIZED)
        frame += 1
        while frame < count:
            regions[frame], seconds[frame], confidence[frame] = _follow(tracker, video, frame)
            if vot.raster_overlap(regions[frame], truth[frame], size) <= 0:
                regions[frame] = special(vot.FAILED)
                frame += vot.SKIP_AFTER_FAILURE
                break
            frame += 1
    name = f"{base_name(video)}_001"
    done = Trajectory(name, tuple(regions), tuple(seconds), tuple(confidence))
    return VotRun((done,), size, describe(tracker, video))


def run_anchors(tracker: Participant, video: Video) -> VotRun:
    """VOT2020 to VOT2022: from each anchor to the end, or back to the beginning."""
    if video.anchors is None or not video.anchors.any():
        raise SequenceError(video.name, "the sequence has no anchors")
    found = []
    for start in np.flatnonzero(video.anchors):
        backward = bool(video.anchors[start] < 0)
        name = f"{base_name(video)}_{start:08d}"
        run = Trajectory(name, (), (), (), int(start), backward)
        seed_all()
        first, *others = run.frames(len(video))
        steps = [(special(vot.INITIALIZED), _start(tracker, video, first), float("nan"))]
        steps += [_follow(tracker, video, frame) for frame in others]
        regions, seconds, confidence = zip(*steps, strict=True)
        found.append(Trajectory(name, regions, seconds, confidence, run.start, backward))
    return VotRun(tuple(found), video.size, describe(tracker, video))


def _truth(video: Video) -> tuple[Region, ...]:
    if video.regions is None:
        raise SequenceError(video.name, "the sequence has no VOT regions")
    return video.regions


def _image(video: Video, frame: int) -> NDArray[np.uint8]:
    image = video.image(frame)
    check_size(video, frame, image, video.size)
    return image


def _start(tracker: Participant, video: Video, frame: int) -> float:
    try:
        box = start_box(_truth(video)[frame])
    except ValueError as error:
        raise SequenceError(video.name, f"frame {frame}: {error}") from None
    image = _image(video, frame)
    begin = time.perf_counter()
    tracker.init(image, box)
    return time.perf_counter() - begin


def _follow(tracker: Participant, video: Video, frame: int) -> tuple[Region, float, float]:
    image = _image(video, frame)
    begin = time.perf_counter()
    seen = tracker.update(image)
    elapsed = time.perf_counter() - begin
    return to_region(seen.box), elapsed, seen.confidence


def save_vot_run(folder: Path, video: Video, run: VotRun, key: str) -> None:
    """Write the toolkit's files, which count with their ``run.json``."""
    document = {
        "format": FORMAT,
        "key": key,
        "sequence": video.name,
        "image_size": run.image_size,
        "tracker": run.description,
        "trajectories": [[p.name, p.start, p.backward] for p in run.trajectories],
    }
    with whole_set(folder, "run.json") as draft:
        for part in run.trajectories:
            regions = "\n".join(r.text() for r in part.regions)
            (draft / f"{part.name}.txt").write_text(regions + "\n")
            _write_values(draft / f"{part.name}_time.value", part.seconds)
            _write_values(draft / f"{part.name}_confidence.value", part.confidence)
        (draft / "run.json").write_text(json.dumps(document, indent=1, default=str) + "\n")


def _write_values(path: Path, values: Sequence[float]) -> None:
    # The toolkit leaves a line empty where there is no value.
    path.write_text("\n".join("" if v != v else f"{v:.6f}" for v in values) + "\n")


def _read_values(path: Path) -> tuple[float, ...]:
    lines = path.read_text().split("\n")[:-1]
    return tuple(float(v) if v.strip() else float("nan") for v in lines)


def load_vot_run(folder: Path, video: Video, key: str) -> VotRun | None:
    """Read results back, or None when there are none, they are damaged, or of another key."""
    try:
        document = json.loads((folder / "run.json").read_text())
        if document["format"] != FORMAT or document["key"] != key:
            return None
        found = []
        for name, start, backward in document["trajectories"]:
            lines = (folder / f"{name}.txt").read_text().split()
            part = Trajectory(
                name,
                tuple(parse_region(line) for line in lines),
                _read_values(folder / f"{name}_time.value"),
                _read_values(folder / f"{name}_confidence.value"),
                int(start),
                bool(backward),
            )
            expected = len(part.frames(len(video)))
            if {len(part.regions), len(part.seconds), len(part.confidence)} != {expected}:
                return None
            found.append(part)
        size = (int(document["image_size"][0]), int(document["image_size"][1]))
        return VotRun(tuple(found), size, dict(document["tracker"]), resumed=True)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _by_protocol(
    protocol: str,
    spec: TrackerSpec,
    video: Video,
    out: Path | None,
    fresh: bool,
    on_frame: Callable[[int], object] = lambda _: None,
) -> VotRun | str:
    folder = out / spec.name / "baseline" / video.name if out is not None else None
    run = run_supervised if protocol == "supervised" else run_anchors
    kept = load_vot_run, save_vot_run
    found = run_or_resume(spec, video, folder, fresh, run, *kept, protocol=protocol)
    on_frame(len(video))
    return found


@dataclass(frozen=True)
class VotTracker:
    """One tracker on a VOT data set; ``score`` is None when no sequence was finished."""

    name: str
    score: vot.VotScore | None
    sequences: dict[str, vot.VotScore]
    runs: dict[str, VotRun]

    def ms_median(self) -> float:
        """Median milliseconds over all updates."""
        times = [ms for run in self.runs.values() for ms in run.update_ms()]
        return float(np.median(times)) if times else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without the curve."""
        mean = {} if self.score is None else self.score.as_dict()
        sequences = {name: score.as_dict() for name, score in self.sequences.items()}
        return {"mean": {**mean, "ms_median": self.ms_median()}, "sequences": sequences}


@dataclass
class VotEvaluation:
    """All trackers on a VOT data set, and what went wrong, by name."""

    dataset: Dataset
    trackers: dict[str, VotTracker] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def evaluate_vot(specs: list[TrackerSpec], dataset: Dataset, **options: Any) -> VotEvaluation:
    """Run a VOT protocol for every tracker; ``options`` are those of `tasks.run_all`."""
    result = VotEvaluation(dataset, problems={p.name: p.reason for p in dataset.problems})
    task = functools.partial(_by_protocol, dataset.protocol)
    done = run_all(task, specs, dataset, result.problems, **options)
    for spec in specs:
        videos = [v for v in dataset if (spec.name, v.name) in done]
        runs = {v.name: done[spec.name, v.name] for v in videos}
        result.trackers[spec.name] = VotTracker(
            spec.name,
            score_vot(dataset, videos, runs) if videos else None,
            {v.name: score_vot(dataset, [v], runs) for v in videos},
            runs,
        )
    return result


def score_vot(dataset: Dataset, videos: list[Video], runs: dict[str, VotRun]) -> vot.VotScore:
    """VOT's scores of some sequences together."""
    eao_range = dataset.eao_range or EAO_RANGES["vot2018"]
    if dataset.protocol == "supervised":
        return vot.supervised_score(
            [
                [
                    vot.supervised_run(t.regions, _truth(v), runs[v.name].image_size)
                    for t in runs[v.name].trajectories
                ]
                for v in videos
            ],
            eao_range,
        )
    groups = []
    for video in videos:
        truth, run = _truth(video), runs[video.name]
        parts = []
        for trajectory in run.trajectories:
            real = [truth[i] for i in trajectory.frames(len(video))]
            overlaps = vot.raster_overlaps(trajectory.regions, real, run.image_size)
            parts.append(vot.AnchorRun(overlaps, np.array([not r.empty for r in real])))
        groups.append((len(video), parts))
    return vot.anchor_score(groups, eao_range)
