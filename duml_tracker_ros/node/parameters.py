"""The parameters of the node, declared once.

`NodeSettings` is the table; ``config/duml_tracker.yaml`` and the table of the documentation are
made from it::

    python -m duml_tracker_ros.node.parameters --yaml
    python -m duml_tracker_ros.node.parameters --markdown
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..media.claims import MOST_PIXELS
from ..messages.scaling import MODES, ScalingRule
from ..tracker.config import TrackerConfig
from ..tracker.errors import ConfigError
from ..tracker.settings import check_setting
from .parameter_table import ACTIVATE, ANY_TIME, CONFIGURE, Span, Table, parameter
from .turning import AXES

at_start = parameter
on_configure = partial(parameter, when=CONFIGURE)
on_activate = partial(parameter, when=ACTIVATE)
any_time = partial(parameter, when=ANY_TIME)


@dataclasses.dataclass(frozen=True)
class NodeSettings:
    """Values of all parameters of the node, valid as a whole."""

    autostart: bool = at_start(
        False, "configure and activate at start, without a lifecycle manager"
    )
    state_folder: str = at_start(
        "",
        "folder for what outlives the process: which ids were used, and with reselect_after "
        "where targets were seen last; empty = duml_tracker in $ROS_HOME, else in ~/.ros",
    )
    tracker: str = on_configure(
        "duml",
        "tracking system",
        pattern=r"[a-z][a-z0-9_]*",
        remedy="use the name of a tracking system, for example 'duml'",
    )
    size: str = on_configure(
        "auto",
        "network size; auto: the one that the weights were made for, of the package's weights "
        "the best; not every tracker comes in all",
        choices=("auto", "lite", "compact", "r50", "alexnet", "pysot"),
    )
    weights: str = on_configure(
        "default",
        "'default' = the weights in the package, 'permissive' = those of them trained on data of "
        "permissive licence alone, or the path of a .safetensors file; 'random' is for tests",
        pattern=r".+",
        remedy="use 'default' or a path",
    )
    device: str = on_configure(
        "auto",
        "auto, cpu, cuda or cuda:N; auto takes CUDA where there is any",
        pattern=r"auto|cpu|cuda(:\d+)?",
        remedy="use auto, cpu, cuda or cuda:N",
    )
    num_threads: int = on_configure(
        0, "CPU threads of the tracker; 0 = half of the processors, at most 4", Span(0, 256)
    )
    max_targets: int = on_configure(
        1,
        "how many targets are followed at a time; with 1 a selection replaces the target, with "
        "more it adds one",
        Span(1, 32),
    )
    update: str = on_configure(
        "default",
        "when the online model learns; default = as the tracker is configured",
        choices=("default", "paper", "every_frame", "never"),
    )
    camera_motion: str = on_configure(
        "default",
        "take the camera's motion out of the search, on or off; default = as the tracker is "
        "configured",
        choices=("default", "on", "off"),
    )
    overrides: str = on_configure(
        "",
        "further tracker settings with dotted keys, separated by spaces, for example "
        "'online.memory=30 localize.lost_below=0.3'",
        pattern=r"\s*([A-Za-z_][\w.]*=\S*\s*)*",
        remedy="write 'key=value' pairs separated by spaces",
    )
    profile: bool = on_configure(
        False, "measure the stages of the tracker for diagnostics; on CUDA this costs some speed"
    )
    configure_timeout: float = on_configure(
        60.0, "longest time to load and warm up the tracker", Span(1.0, 3600.0, "s")
    )
    image_transport: str = on_activate(
        "raw",
        "raw subscribes to image, compressed to image/compressed, ffmpeg and foxglove to video "
        "(H.264, H.265) on image/ffmpeg and image/foxglove",
        choices=("raw", "compressed", "ffmpeg", "foxglove"),
    )
    max_pixels: int = on_activate(
        MOST_PIXELS,
        "compressed images that claim more pixels than this are refused before they are decoded",
        Span(1, 1073741824),
    )
    scaling: str = on_activate(
        "percentile",
        "how images of more than 8 bits, thermal ones say, become brightness: between "
        "percentiles, clahe = equalised locally besides, or fixed = between scaling_black and "
        "scaling_white",
        choices=MODES,
    )
    scaling_percent: float = on_activate(
        1.0,
        "share of the pixels that may be all black, and as many all white",
        Span(0.0, 45.0, "%"),
    )
    scaling_time: float = on_activate(
        2.0,
        "time in which black and white follow a change by two thirds, so that nothing flickers; "
        "0 = at once",
        Span(0.0, 3600.0, "s"),
    )
    scaling_black: float = on_activate(
        0.0, "number shown as black with scaling fixed", Span(-1e9, 1e9)
    )
    scaling_white: float = on_activate(
        65535.0,
        "number shown as white with scaling fixed; below scaling_black for white cold",
        Span(-1e9, 1e9),
    )
    imu: str = on_activate(
        "off",
        "what of the messages on imu tells how the camera turns, with camera_info; off = its "
        "motion is seen in the images",
        choices=("off", "angular_velocity", "orientation"),
    )
    imu_axes: str = on_activate(
        "x,y,z",
        "which axes of the imu point right, down and forward in the image",
        pattern="|".join(AXES),
        remedy="name three of x, y, z, -x, -y, -z that are not mirrored: '-y,-z,x' where the imu's "
        "x points forward, y left and z up",
    )
    ring_seconds: float = on_activate(
        2.0, "age up to which frames are kept for ~/init with a stamp", Span(0.0, 60.0, "s")
    )
    ring_bytes: int = on_activate(
        -1,
        "memory for these frames; -1 = what ring_seconds needs, up to a quarter of the memory "
        "that is free on activate; the newest frame is always kept",
        Span(-1, 8589934592, "B"),
    )
    catch_up: float = any_time(
        1.0,
        "longest time to follow the target through the kept frames after an ~/init on an old "
        "one; frames are skipped to meet it",
        Span(0.0, 10.0, "s"),
    )
    point_size: float = any_time(
        0.08,
        "side of the square that ~/init_point and ~/click take around a point, as a share of the "
        "image's shorter side",
        Span(0.005, 1.0),
    )
    mouse_left: bool = any_time(
        False,
        "clicks in rqt_image_view select, too: on <image>_mouse_left and ~/annotated_mouse_left. "
        "Off by default: a stray click would replace the target",
    )
    init_timeout: float = any_time(
        5.0,
        "longest wait for the tracker before ~/init and ~/stop are refused",
        Span(0.1, 60.0, "s"),
    )
    max_image_age: float = any_time(
        2.0,
        "time since the last image after which the stream counts as missing and ~/init on the "
        "newest frame is refused",
        Span(0.05, 60.0, "s"),
    )
    lost_timeout: float = any_time(
        30.0,
        "time after which a lost target is given up (IDLE); 0 = never",
        Span(0.0, 86400.0, "s"),
    )
    reselect_after: float = at_start(
        0.0,
        "a target that was seen within this time before the node was killed is selected again "
        "when the next one is active; 0 = never",
        Span(0.0, 600.0, "s"),
    )
    rectified: bool = any_time(
        False, "the images are rectified: bearings come from P of camera_info, not from K and D"
    )
    max_camera_info_age: float = any_time(
        5.0,
        "time since the last camera_info after which there is no bearing; 0 = never",
        Span(0.0, 86400.0, "s"),
    )
    camera_latency: float = any_time(
        0.0,
        "time from the exposure of an image to its arrival at the node, which ~/motion predicts "
        "beside what passes in the node",
        Span(0.0, 5.0, "s"),
    )
    world_source: str = any_time(
        "off",
        "what tells how far a target is, for ~/odometry, beside camera_info and camera_pose: an "
        "aligned depth image, a range finder that looks where the camera looks, or the ground",
        choices=("off", "depth", "range", "ground"),
    )
    world_frame: str = any_time(
        "map",
        "frame of camera_pose and ~/odometry, z up",
        pattern=r"[A-Za-z_][\w/.-]*",
        remedy="use a frame's name, for example 'map' or 'odom'",
    )
    ground_height: float = any_time(
        0.0,
        "height in world_frame at which the middle of the target moves, with world_source ground",
        Span(-10000.0, 10000.0, "m"),
    )
    ground_deviation: float = any_time(
        0.2, "standard deviation of that height", Span(0.0, 1000.0, "m")
    )
    distance_deviation: float = any_time(
        0.01,
        "standard deviation of depth and of a range that tells no variance, as a share of it",
        Span(0.0001, 1.0),
    )
    attitude_deviation: float = any_time(
        0.002, "standard deviation of the attitude in camera_pose", Span(0.0, 1.0, "rad")
    )
    target_agility: float = any_time(
        0.5,
        "by how much the velocity of a new target changes in 1 s, for ~/odometry: 0.1 for who "
        "walks, some m/s for who races",
        Span(0.01, 100.0, "m/s"),
    )
    publish_tf: bool = any_time(
        False,
        "send each target's place in world_frame to /tf, too, as target_ID, where tf2_msgs is "
        "installed",
    )
    depth_tolerance: float = any_time(
        0.02, "largest difference of the stamps of an image and its depth", Span(0.0, 1.0, "s")
    )
    heatmap: str = any_time(
        "fused",
        "score map that ~/heatmap and ~/scores show",
        choices=("fused", "robust", "accurate"),
    )
    debug_rate: float = any_time(
        5.0,
        "highest rate of ~/heatmap, ~/scores, ~/annotated and ~/annotated/compressed, each only "
        "while subscribed; 0 = off",
        Span(0.0, 120.0, "Hz"),
    )
    jpeg_quality: int = any_time(80, "JPEG quality of ~/annotated/compressed", Span(1, 100))
    marker_length: float = any_time(
        10.0,
        "length of the rays that ~/markers shows; how far the target is they do not tell",
        Span(0.01, 100000.0, "m"),
    )
    record_debug: str = any_time(
        "",
        "folder in which a trace of every target is written, for duml-tracker explain; empty = "
        "none, at no cost",
    )
    record_debug_limit: int = any_time(
        512,
        "disk space for the traces of one run; the oldest parts go first",
        Span(1, 1048576, "MiB"),
    )
    diagnostics_period: float = at_start(
        1.0, "time between two messages on /diagnostics", Span(0.1, 60.0, "s")
    )


class NodeTable(Table[NodeSettings]):
    """The table, with the tracker's own settings checked, too."""

    def check(self, name: str, value: Any) -> str:
        reason = super().check(name, value)
        return reason or (_check_overrides(value) if name == "overrides" else "")

    def check_change(self, name: str, value: Any, lifecycle_state: str) -> str:
        """Reason to reject a change in a lifecycle state; empty when it may be made."""
        if reason := self.check(name, value):
            return reason
        when = self.specs[name].when
        if lifecycle_state == "active" and when in (CONFIGURE, ACTIVATE):
            remedy = "deactivate, cleanup, set it, configure, activate"
            if when == ACTIVATE:
                remedy = "deactivate, set it, activate"
            return f"{name} is read on {when} and the node is active: {remedy}"
        return ""


TABLE = NodeTable(NodeSettings)


def _check_overrides(text: str) -> str:
    """Reason why a setting of the tracker among the overrides is none; empty when all are."""
    for pair in text.split():
        key, _, value = pair.partition("=")
        try:
            check_setting(TrackerConfig, key, value)
        except ConfigError as error:
            return f"overrides: {error}"
    return ""


def tracker_overrides(settings: NodeSettings) -> dict[str, str]:
    """Overrides for `create_tracker` that the settings ask for."""
    # The tracker's configuration turns the texts into numbers and names what it does not know.
    pairs = (text.partition("=") for text in settings.overrides.split())
    overrides = {key: value for key, _, value in pairs}
    if settings.update != "default":
        overrides["online.update"] = settings.update
    if settings.camera_motion != "default":
        overrides["motion.active"] = str(settings.camera_motion == "on").lower()
    return overrides


def scaling(settings: NodeSettings) -> ScalingRule:
    """How images of more than 8 bits become brightness. Raises ValueError."""
    return ScalingRule(
        settings.scaling,
        settings.scaling_percent,
        settings.scaling_time,
        settings.scaling_black,
        settings.scaling_white,
    )


def to_yaml() -> str:
    """Text of config/duml_tracker.yaml: every parameter with its default."""
    head = (
        "# Parameters of duml_tracker with their defaults.",
        "# Written by: python -m duml_tracker_ros.node.parameters --yaml",
        "/**:",
        "  ros__parameters:",
    )
    return "\n".join([*head, *TABLE.to_yaml()]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the parameters as YAML or as a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="text of config/duml_tracker.yaml")
    form.add_argument("--markdown", action="store_true", help="table for the documentation")
    options = parser.parse_args(arguments)
    print(to_yaml() if options.yaml else TABLE.to_markdown(), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
