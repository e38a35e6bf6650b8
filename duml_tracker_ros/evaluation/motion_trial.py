"""How well motion is told: the filters on generated scenes, whose truth in space is exact.

Boxes are the true ones with the noise that the filters assume; attitude and height of the ground
are off by the same amount in a whole run, as those of a vehicle are. Prints the table of
docs/motion.md::

    python -m duml_tracker_ros.evaluation.motion_trial
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..estimation.constant_velocity import Array
from ..estimation.image_motion import OFFSET, ImageMotion, Ray, centre, centre_deviation, side
from ..estimation.world_motion import Pose, WorldMotion, from_distance, from_plane
from ..pixels import Box
from ..scene import AerialScene, SceneSettings, SceneSpace

RATE = 20.0
FRAMES = 80
SIZE = 640, 480
SETTLED = 2.0
"""Seconds after which errors count."""
AHEAD = 0.1
"""Seconds that are predicted."""
DRAWS = 5
"""Runs of each scene, each with noise of its own."""
ATTITUDE = 0.002
"""Standard deviation of the camera's attitude, radians,"""
HEIGHT = 0.2
"""and of the height of the plane that the target moves on, metres."""


@dataclass(frozen=True)
class DistanceSource:
    """What tells the distance, and a scene that it is made for.

    deviation: of the distance, as a share of it; 0 for the ground.
    agility: of the target, m/s.
    """

    kind: str
    target_size: float
    speed: float
    deviation: float
    agility: float


SOURCES = {
    "depth": DistanceSource("person", 40.0, 3.0, 0.01, 0.1),
    "range": DistanceSource("car", 100.0, 2.0, 0.001, 0.27),
    "ground": DistanceSource("car", 100.0, 2.0, 0.0, 0.27),
}


@dataclass(frozen=True)
class WorldRun:
    """Errors of one run, one row for each image that counts.

    position: metres [N, 3]. velocity: m/s [N, 3]. distance: of the target, metres [N].
    nees: squared Mahalanobis distance in the last image.
    """

    position: Array
    velocity: Array
    distance: Array
    nees: float


@dataclass(frozen=True)
class ImageRun:
    """The same in the image.

    predicted, held: errors `AHEAD` seconds later with and without prediction, pixels [N].
    velocity: pixels/s [N, 2]. rate: rad/s [N, 3], the camera's turning taken out.
    nees: of the centre and the velocity.
    """

    predicted: Array
    held: Array
    velocity: Array
    rate: Array
    nees: float


def filmed(source: DistanceSource, seed: int, frames: int = FRAMES) -> list[SceneSpace]:
    """A target on a curve under a camera that follows it, frame by frame in space."""
    settings = SceneSettings(
        kind=source.kind,
        target_size=source.target_size,
        speed=source.speed,
        trees=(),
        bridges=(),
        look_alikes=(),
        traffic=0,
        # The ground is not looked at.
        max_pixels=1e4,
    )
    scene = AerialScene(seed, *SIZE, frames, settings)
    return [scene.in_space(index) for index in range(frames)]


def beside(boxes: Sequence[Box], rng: np.random.Generator) -> list[Box]:
    """Boxes that sit beside their target, by the same share of its side all along."""
    dx, dy = rng.normal(0.0, OFFSET, 2).tolist()
    return [
        (x + dx * side((x, y, w, h)), y + dy * side((x, y, w, h)), w, h) for x, y, w, h in boxes
    ]


def jittered(boxes: Sequence[Box], rng: np.random.Generator) -> list[Box]:
    """Boxes that are another in every image."""
    found = []
    for box in boxes:
        dx, dy = rng.normal(0.0, centre_deviation(box), 2).tolist()
        found.append((box[0] + dx, box[1] + dy, box[2], box[3]))
    return found


def ray_of(box: Box, frame: SceneSpace, known: bool) -> Ray:
    """Direction to the middle of a box; `known`: with the attitude of the scene's camera."""
    x, y = (centre(box) - np.array(SIZE) / 2) / frame.focal
    direction = np.array([x, y, 1.0])
    direction /= np.linalg.norm(direction)
    return Ray(direction, frame.focal, frame.rotation if known else None)


def world_run(
    frames: Sequence[SceneSpace], source: DistanceSource, rng: np.random.Generator
) -> WorldRun:
    """One run of the filter in the world."""
    motion = WorldMotion(source.agility)
    targets = np.array([frame.target for frame in frames])
    velocities = np.gradient(targets, axis=0) * RATE
    turned = cv2.Rodrigues(rng.normal(0.0, ATTITUDE, 3))[0]
    raised = rng.normal(0.0, HEIGHT)
    rows, nees = [], 0.0
    boxes = jittered(beside([frame.box for frame in frames], rng), rng)
    for index, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        pose = Pose(frame.camera, frame.rotation @ turned)
        ray, jitter = ray_of(box, frame, False), centre_deviation(box) / frame.focal
        offset = float(np.hypot(ATTITUDE, OFFSET * side(box) / frame.focal))
        distance = float(np.linalg.norm(frame.target - frame.camera))
        if source.deviation:
            spread = source.deviation * distance
            measured = distance + rng.normal(0.0, spread)
            place = from_distance(pose, ray.direction, measured, spread, jitter, offset)
        else:
            height = frame.target[2] + raised
            place = from_plane(pose, ray.direction, height, HEIGHT, jitter, offset)
        mean, covariance = motion.see(index / RATE, place)
        error = mean - np.concatenate([targets[index], velocities[index]])
        # On a plane there is no velocity upwards to be wrong about, nor a height but the bias.
        free = [0, 1, 2, 3, 4, 5] if source.deviation else [0, 1, 3, 4]
        nees = _squared(error[free], covariance[np.ix_(free, free)])
        if SETTLED * RATE <= index < len(frames) - 1:
            rows.append((*error, distance))
    table = np.array(rows)
    return WorldRun(table[:, :3], table[:, 3:6], table[:, 6], nees)


def image_run(frames: Sequence[SceneSpace], rng: np.random.Generator) -> ImageRun:
    """One run of the filters in the image."""
    motion, later = ImageMotion(), round(AHEAD * RATE)
    # What an image tells of is the box, wherever on the target it sits.
    told = beside([frame.box for frame in frames], rng)
    centres = np.array([centre(box) for box in told])
    speeds = np.gradient(centres, axis=0) * RATE
    rays = np.array([frame.target - frame.camera for frame in frames])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turning = np.cross(rays, np.gradient(rays, axis=0) * RATE)
    rows, nees = [], 0.0
    for index, (frame, box) in enumerate(zip(frames, jittered(told, rng), strict=True)):
        sight = motion.see(index / RATE, box, ray_of(box, frame, True))
        if not SETTLED * RATE <= index < len(frames) - later - 1:
            continue
        ahead = motion.ahead(index / RATE + AHEAD)
        assert ahead is not None
        assert sight.rate is not None
        error = sight.mean - np.concatenate([centres[index], speeds[index]])
        nees = _squared(error, sight.covariance)
        predicted = np.linalg.norm(ahead.mean[:2] - centres[index + later])
        held = np.linalg.norm(centre(box) - centres[index + later])
        rate = frame.rotation @ sight.rate - turning[index]
        rows.append((predicted, held, *error[2:], *rate))
    table = np.array(rows)
    return ImageRun(table[:, 0], table[:, 1], table[:, 2:4], table[:, 4:], nees)


@dataclass(frozen=True)
class Figures:
    """What the runs of one source come to.

    distance, speed: means, metres and m/s. position: largest error, as a share of the distance.
    velocity: root mean square of the error, m/s. world_nees: mean over the runs, divided by its
    degrees of freedom: 1 if the covariance is honest; image_nees likewise. predicted, held: root
    mean squares, pixels; rate: rad/s.
    """

    distance: float
    speed: float
    position: float
    velocity: float
    world_nees: float
    predicted: float
    held: float
    rate: float
    image_nees: float


def measure(source: DistanceSource, scenes: int) -> Figures:
    """Run the filters `DRAWS` times on each of some scenes."""
    world, image, speeds = [], [], []
    for seed in range(scenes):
        frames = filmed(source, seed)
        targets = np.array([frame.target for frame in frames])
        speeds.append(_rms(np.diff(targets, axis=0)) * RATE)
        for draw in range(DRAWS):
            rng = np.random.default_rng([seed, draw])
            world.append(world_run(frames, source, rng))
            image.append(image_run(frames, rng))
    freedom = 6 if source.deviation else 4
    return Figures(
        distance=float(np.mean([run.distance.mean() for run in world])),
        speed=float(np.mean(speeds)),
        position=max(
            float((np.linalg.norm(run.position, axis=1) / run.distance).max()) for run in world
        ),
        velocity=_rms(np.concatenate([run.velocity for run in world])),
        world_nees=float(np.mean([run.nees for run in world])) / freedom,
        predicted=_rms(np.concatenate([run.predicted for run in image])[:, None]),
        held=_rms(np.concatenate([run.held for run in image])[:, None]),
        rate=_rms(np.concatenate([run.rate for run in image])),
        image_nees=float(np.mean([run.nees for run in image])) / 4,
    )


def bounds(freedom: int, runs: int) -> tuple[float, float]:
    """Where 95 % of the means of honest runs lie, over the degrees of freedom (chi-square).

    By Wilson and Hilferty's cube root, good to a thousandth here.
    """
    spread = 2 / (9 * freedom * runs)
    low, high = ((1 - spread + z * spread**0.5) ** 3 for z in (-1.96, 1.96))
    return low, high


def table(found: dict[str, Figures], runs: int) -> str:
    """The figures in Markdown."""
    lines = [
        "| source | target | distance | position, at most | velocity, RMS | NEES, of honest |",
        "|---|---|---|---|---|---|",
    ]
    for name, f in found.items():
        low, high = bounds(6 if SOURCES[name].deviation else 4, runs)
        lines.append(
            f"| `{name}` | {SOURCES[name].kind}, {f.speed:.1f} m/s | {f.distance:.0f} m | "
            f"{f.position:.1%} | {f.velocity:.2f} m/s | {f.world_nees:.2f} of {low:.2f} to "
            f"{high:.2f} |"
        )
    lines += [
        "",
        f"| target | centre {AHEAD:g} s later, RMS | without prediction | turning, RMS | "
        "NEES, of honest |",
        "|---|---|---|---|---|",
    ]
    for name, f in found.items():
        if name == "ground":
            continue  # its images are those of range
        low, high = bounds(4, runs)
        lines.append(
            f"| {SOURCES[name].kind} | {f.predicted:.1f} px | {f.held:.1f} px | {f.rate:.3f} rad/s "
            f"| {f.image_nees:.2f} of {low:.2f} to {high:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how far off position, velocity and prediction are, on generated scenes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--scenes", type=int, default=10, help=f"how many, each with {DRAWS} draws of the noise"
    )
    scenes = parser.parse_args(arguments).scenes
    if scenes < 1:
        parser.error(f"--scenes {scenes}: give 1 or more")
    found = {name: measure(source, scenes) for name, source in SOURCES.items()}
    print(table(found, scenes * DRAWS))
    return 0


def _squared(error: Array, covariance: Array) -> float:
    return float(error @ np.linalg.solve(covariance, error))


def _rms(errors: Array) -> float:
    """Root mean square of vectors, one in each row."""
    return float(np.sqrt(np.sum(np.square(errors), axis=-1).mean()))


if __name__ == "__main__":
    raise SystemExit(main())
