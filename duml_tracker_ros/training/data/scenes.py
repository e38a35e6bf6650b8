"""Clips of the generated aerial scene as a bank of video records."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np

from duml_tracker_ros import progress as bars
from duml_tracker_ros.digest import code_digest, value_digest
from duml_tracker_ros.scene import AerialScene

from ...datasets.annotated import Annotation, Record
from ...outputs import OutputError, whole
from .bank import Bank
from .cutouts import default_cache
from .warp import Image

log = logging.getLogger(__name__)

FIRST_SEED = 100_000
"""Far from the seeds of the demo and the evaluation, which training must not see."""
MIN_VISIBILITY = 0.4
_CODE = ("scene", "training/data/scenes.py")
_LENGTH = 60
"""Frames of a clip before it is thinned."""
_FIELDS = ("pixels", "sizes", "boxes", "visibility", "times")


def load_scenes(
    clips: int = 150,
    frames: int = 8,
    *,
    width: int = 320,
    height: int = 240,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> Bank:
    """`clips` random scenes of `frames` frames each, rendered once and kept under `cache_dir`.

    Frames in which less than MIN_VISIBILITY of the target is seen carry no box.
    """
    folder = default_cache() if cache_dir is None else Path(cache_dir)
    key = value_digest(clips, frames, width, height, cv2.__version__, code_digest(*_CODE))
    path = folder / f"scenes-{key[:16]}.npz"
    if path.is_file():
        try:
            return _read(path)
        except (OSError, ValueError, KeyError, cv2.error) as error:
            log.warning("scene cache %s is unreadable (%s): making it anew", path, error)
    packed: list[np.ndarray] = []
    boxes = np.full((clips, frames, 4), np.nan, np.float32)
    visibility = np.zeros((clips, frames), np.float32)
    times = np.linspace(0, _LENGTH - 1, frames).round().astype(int)
    for clip in bars.progress(range(clips), "scenes", show=progress, leave=False):
        scene = AerialScene.random(FIRST_SEED + clip, width, height, _LENGTH)
        for k, t in enumerate(times.tolist()):
            frame = scene.render(t)
            bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
            packed.append(cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, 95))[1].reshape(-1))
            if frame.box is not None and frame.visibility >= MIN_VISIBILITY:
                boxes[clip, k] = frame.box
            visibility[clip, k] = frame.visibility
    data = {
        "pixels": np.concatenate([np.zeros(0, np.uint8), *packed]),
        "sizes": np.array([len(p) for p in packed], np.int64),
        "boxes": boxes,
        "visibility": visibility,
        "times": times,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            np.savez(partial, **data)
    except (OSError, OutputError) as error:
        log.warning("scenes not cached in %s (%s); choose another cache_dir", folder, error)
    return _bank(data)


def _read(path: Path) -> Bank:
    with np.load(path, allow_pickle=False) as data:
        return _bank({name: data[name] for name in _FIELDS})


def _bank(data: dict[str, np.ndarray]) -> Bank:
    ends = np.cumsum(data["sizes"])
    records: list[Record] = []
    images: list[Image | None] = []
    clips, frames, _ = data["boxes"].shape
    for k, end in enumerate(ends.tolist()):
        raw = data["pixels"][end - int(data["sizes"][k]) : end]
        image = cv2.cvtColor(np.asarray(cv2.imdecode(raw, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
        clip, frame = divmod(k, frames)
        x, y, w, h = data["boxes"][clip, frame].tolist()
        seen = float(data["visibility"][clip, frame])
        targets = () if np.isnan(x) else (Annotation((x, y, w, h), "scene", 0, (), seen),)
        height, width = image.shape[:2]
        name, time = f"scene{clip}", int(data["times"][frame])
        records.append(Record(f"{name}/{time}", "scene", width, height, name, time, targets))
        images.append(image)
    return Bank(records, images)
