"""The parameters of the node, declared once.

`Settings` is the table: a field is a parameter; its type and default are the field's, the rest
(range, unit, when a change applies, text) is its metadata. Descriptors, validation,
``config/duml_tracker.yaml`` and the table of the documentation are made from it::

    python -m duml_tracker_ros.node.parameters --yaml
    python -m duml_tracker_ros.node.parameters --markdown

One file above 400 lines: it is a table, which is read and searched as one.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..media.claims import MOST_PIXELS
from ..messages.scaling import MODES, ScalingRule
from .turning import AXES

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor

START = "start"
CONFIGURE = "configure"
ACTIVATE = "activate"
ANY_TIME = "any time"


@dataclasses.dataclass(frozen=True)
class Spec:
    """What the table says about one parameter besides its default."""

    when: str
    text: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    remedy: str = ""


def _parameter(default: Any, when: str, text: str, **details: Any) -> Any:
    return dataclasses.field(default=default, metadata={"spec": Spec(when, text, **details)})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Values of all parameters of the node, valid as a whole."""

    autostart: bool = _parameter(
        False, START, "configure and activate at start, without a lifecycle manager"
    )
    state_folder: str = _parameter(
        "",
        START,
        "folder for what outlives the process: which ids were used, and with reselect_after where "
        "targets were seen last; empty = duml_tracker in $ROS_HOME, else in ~/.ros",
    )
    tracker: str = _parameter(
        "duml",
        CONFIGURE,
        "tracking system",
        pattern=r"[a-z][a-z0-9_]*",
        remedy="use the name of a tracking system, for example 'duml'",
    )
    size: str = _parameter(
        "auto",
        CONFIGURE,
        "network size; auto: the one that the weights were made for, of the package's weights the "
        "best; not every tracker comes in all",
        choices=("auto", "lite", "compact", "r50", "alexnet", "pysot"),
    )
    weights: str = _parameter(
        "default",
        CONFIGURE,
        "'default' = the weights in the package, 'permissive' = those of them trained on data of "
        "permissive licence alone, or the path of a .safetensors file; 'random' is for tests",
        pattern=r".+",
        remedy="use 'default' or a path",
    )
    device: str = _parameter(
        "auto",
        CONFIGURE,
        "auto, cpu, cuda or cuda:N; auto takes CUDA where there is any",
        pattern=r"auto|cpu|cuda(:\d+)?",
        remedy="use auto, cpu, cuda or cuda:N",
    )
    num_threads: int = _parameter(
        0,
        CONFIGURE,
        "CPU threads of the tracker; 0 = half of the processors, at most 4",
        low=0,
        high=256,
    )
    max_targets: int = _parameter(
        1,
        CONFIGURE,
        "how many targets are followed at a time; with 1 a selection replaces the target, "
        "with more it adds one",
        low=1,
        high=32,
    )
    update: str = _parameter(
        "default",
        CONFIGURE,
        "when the online model learns; default = as the tracker is configured",
        choices=("default", "paper", "every_frame", "never"),
    )
    camera_motion: str = _parameter(
        "default",
        CONFIGURE,
        "take the camera's motion out of the search, on or off; default = as the tracker is "
        "configured",
        choices=("default", "on", "off"),
    )
    overrides: str = _parameter(
        "",
        CONFIGURE,
        "further tracker settings with dotted keys, separated by spaces, for "
        "example 'online.memory=30 localize.lost_below=0.3'",
        pattern=r"\s*([A-Za-z_][\w.]*=\S*\s*)*",
        remedy="write 'key=value' pairs separated by spaces",
    )
    profile: bool = _parameter(
        False,
        CONFIGURE,
        "measure the stages of the tracker for diagnostics; on CUDA this costs some speed",
    )
    configure_timeout: float = _parameter(
        60.0,
        CONFIGURE,
        "longest time to load and warm up the tracker",
        low=1.0,
        high=3600.0,
        unit="s",
    )
    image_transport: str = _parameter(
        "raw",
        ACTIVATE,
        "raw subscribes to image, compressed to image/compressed, ffmpeg and foxglove to video "
        "(H.264, H.265) on image/ffmpeg and image/foxglove",
        choices=("raw", "compressed", "ffmpeg", "foxglove"),
    )
    max_pixels: int = _parameter(
        MOST_PIXELS,
        ACTIVATE,
        "compressed images that claim more pixels than this are refused before they are decoded",
        low=1,
        high=1073741824,
    )
    scaling: str = _parameter(
        "percentile",
        ACTIVATE,
        "how images of more than 8 bits, thermal ones say, become brightness: between percentiles, "
        "clahe = equalised locally besides, or fixed = between scaling_black and scaling_white",
        choices=MODES,
    )
    scaling_percent: float = _parameter(
        1.0,
        ACTIVATE,
        "share of the pixels that may be all black, and as many all white",
        low=0.0,
        high=45.0,
        unit="%",
    )
    scaling_time: float = _parameter(
        2.0,
        ACTIVATE,
        "time in which black and white follow a change by two thirds, so that nothing flickers; "
        "0 = at once",
        low=0.0,
        high=3600.0,
        unit="s",
    )
    scaling_black: float = _parameter(
        0.0, ACTIVATE, "number shown as black with scaling fixed", low=-1e9, high=1e9
    )
    scaling_white: float = _parameter(
        65535.0,
        ACTIVATE,
        "number shown as white with scaling fixed; below scaling_black for white cold",
        low=-1e9,
        high=1e9,
    )
    imu: str = _parameter(
        "off",
        ACTIVATE,
        "what of the messages on imu tells how the camera turns, with camera_info; off = its "
        "motion is seen in the images",
        choices=("off", "angular_velocity", "orientation"),
    )
    imu_axes: str = _parameter(
        "x,y,z",
        ACTIVATE,
        "which axes of the imu point right, down and forward in the image",
        pattern="|".join(AXES),
        remedy="name three of x, y, z, -x, -y, -z that are not mirrored: '-y,-z,x' where the imu's "
        "x points forward, y left and z up",
    )
    ring_seconds: float = _parameter(
        2.0,
        ACTIVATE,
        "age up to which frames are kept for ~/init with a stamp",
        low=0.0,
        high=60.0,
        unit="s",
    )
    ring_bytes: int = _parameter(
        -1,
        ACTIVATE,
        "memory for these frames; -1 = what ring_seconds needs, up to a quarter of the memory "
        "that is free on activate; the newest frame is always kept",
        low=-1,
        high=8589934592,
        unit="B",
    )
    catch_up: float = _parameter(
        1.0,
        ANY_TIME,
        "longest time to follow the target through the kept frames after an "
        "~/init on an old one; frames are skipped to meet it",
        low=0.0,
        high=10.0,
        unit="s",
    )
    point_size: float = _parameter(
        0.08,
        ANY_TIME,
        "side of the square that ~/init_point and ~/click take around a point, as a share of "
        "the image's shorter side",
        low=0.005,
        high=1.0,
    )
    mouse_left: bool = _parameter(
        False,
        ANY_TIME,
        "clicks in rqt_image_view select, too: on <image>_mouse_left and ~/annotated_mouse_left. "
        "Off by default: a stray click would replace the target",
    )
    init_timeout: float = _parameter(
        5.0,
        ANY_TIME,
        "longest wait for the tracker before ~/init and ~/stop are refused",
        low=0.1,
        high=60.0,
        unit="s",
    )
    max_image_age: float = _parameter(
        2.0,
        ANY_TIME,
        "time since the last image after which the stream counts as missing and "
        "~/init on the newest frame is refused",
        low=0.05,
        high=60.0,
        unit="s",
    )
    lost_timeout: float = _parameter(
        30.0,
        ANY_TIME,
        "time after which a lost target is given up (IDLE); 0 = never",
        low=0.0,
        high=86400.0,
        unit="s",
    )
    reselect_after: float = _parameter(
        0.0,
        START,
        "a target that was seen within this time before the node was killed is selected again when "
        "the next one is active; 0 = never",
        low=0.0,
        high=600.0,
        unit="s",
    )
    rectified: bool = _parameter(
        False,
        ANY_TIME,
        "the images are rectified: bearings come from P of camera_info, not from K and D",
    )
    max_camera_info_age: float = _parameter(
        5.0,
        ANY_TIME,
        "time since the last camera_info after which there is no bearing; 0 = never",
        low=0.0,
        high=86400.0,
        unit="s",
    )
    camera_latency: float = _parameter(
        0.0,
        ANY_TIME,
        "time from the exposure of an image to its arrival at the node, which ~/motion predicts "
        "beside what passes in the node",
        low=0.0,
        high=5.0,
        unit="s",
    )
    world_source: str = _parameter(
        "off",
        ANY_TIME,
        "what tells how far a target is, for ~/odometry, beside camera_info and camera_pose: an "
        "aligned depth image, a range finder that looks where the camera looks, or the ground",
        choices=("off", "depth", "range", "ground"),
    )
    world_frame: str = _parameter(
        "map",
        ANY_TIME,
        "frame of camera_pose and ~/odometry, z up",
        pattern=r"[A-Za-z_][\w/.-]*",
        remedy="use a frame's name, for example 'map' or 'odom'",
    )
    ground_height: float = _parameter(
        0.0,
        ANY_TIME,
        "height in world_frame at which the middle of the target moves, with world_source ground",
        low=-10000.0,
        high=10000.0,
        unit="m",
    )
    ground_deviation: float = _parameter(
        0.2, ANY_TIME, "standard deviation of that height", low=0.0, high=1000.0, unit="m"
    )
    distance_deviation: float = _parameter(
        0.01,
        ANY_TIME,
        "standard deviation of depth and of a range that tells no variance, as a share of it",
        low=0.0001,
        high=1.0,
    )
    attitude_deviation: float = _parameter(
        0.002,
        ANY_TIME,
        "standard deviation of the attitude in camera_pose",
        low=0.0,
        high=1.0,
        unit="rad",
    )
    target_agility: float = _parameter(
        0.5,
        ANY_TIME,
        "by how much the velocity of a new target changes in 1 s, for ~/odometry: 0.1 for who "
        "walks, some m/s for who races",
        low=0.01,
        high=100.0,
        unit="m/s",
    )
    publish_tf: bool = _parameter(
        False,
        ANY_TIME,
        "send each target's place in world_frame to /tf, too, as target_ID, where tf2_msgs is "
        "installed",
    )
    depth_tolerance: float = _parameter(
        0.02,
        ANY_TIME,
        "largest difference of the stamps of an image and its depth",
        low=0.0,
        high=1.0,
        unit="s",
    )
    heatmap: str = _parameter(
        "fused",
        ANY_TIME,
        "score map that ~/heatmap and ~/scores show",
        choices=("fused", "robust", "accurate"),
    )
    debug_rate: float = _parameter(
        5.0,
        ANY_TIME,
        "highest rate of ~/heatmap, ~/scores, ~/annotated and ~/annotated/compressed, each only "
        "while subscribed; 0 = off",
        low=0.0,
        high=120.0,
        unit="Hz",
    )
    jpeg_quality: int = _parameter(
        80, ANY_TIME, "JPEG quality of ~/annotated/compressed", low=1, high=100
    )
    marker_length: float = _parameter(
        10.0,
        ANY_TIME,
        "length of the rays that ~/markers shows; how far the target is they do not tell",
        low=0.01,
        high=100000.0,
        unit="m",
    )
    record_debug: str = _parameter(
        "",
        ANY_TIME,
        "folder in which a trace of every target is written, for duml-tracker explain; empty = "
        "none, at no cost",
    )
    record_debug_limit: int = _parameter(
        512,
        ANY_TIME,
        "disk space for the traces of one run; the oldest parts go first",
        low=1,
        high=1048576,
        unit="MiB",
    )
    diagnostics_period: float = _parameter(
        1.0, START, "time between two messages on /diagnostics", low=0.1, high=60.0, unit="s"
    )


SPECS: Mapping[str, Spec] = {
    field.name: field.metadata["spec"] for field in dataclasses.fields(Settings)
}
DEFAULTS = Settings()


def check(name: str, value: Any) -> str:
    """Reason why `value` is no value of the parameter `name`; empty when it is one."""
    reason = check_value(name, value, getattr(DEFAULTS, name), SPECS[name])
    return reason or (_check_overrides(value) if name == "overrides" else "")


def _check_overrides(text: str) -> str:
    """Reason why a setting of the tracker among the overrides is none; empty when all are."""
    # The console, which has no torch, takes the rest of this module.
    from ..tracker.config import TrackerConfig
    from ..tracker.errors import ConfigError
    from ..tracker.settings import check_setting

    for pair in text.split():
        key, _, value = pair.partition("=")
        try:
            check_setting(TrackerConfig, key, value)
        except ConfigError as error:
            return f"overrides: {error}"
    return ""


def check_value(name: str, value: Any, default: Any, spec: Spec) -> str:
    """Reason why `value` does not fit the spec and the default's type; empty when it does."""
    kind = type(default)
    if type(value) is not kind:
        return f"{name} = {value!r}: must be of type {kind.__name__}"
    if spec.choices and value not in spec.choices:
        return f"{name} = {value!r}: use one of {', '.join(spec.choices)}"
    if kind is str and any(ord(letter) < 32 for letter in value):
        return f"{name} = {value!r}: leave out control characters"
    if spec.pattern and re.fullmatch(spec.pattern, value) is None:
        return f"{name} = {value!r}: {spec.remedy}"
    if spec.low is not None and spec.high is not None and not spec.low <= value <= spec.high:
        return f"{name} = {value!r}: must be from {_range_text(spec)} {spec.unit}".rstrip()
    return ""


def check_change(name: str, value: Any, lifecycle_state: str) -> str:
    """Reason to reject a change of a parameter in a lifecycle state; empty when it may be made."""
    reason = check(name, value)
    if reason:
        return reason
    when = SPECS[name].when
    if lifecycle_state == "active" and when in (CONFIGURE, ACTIVATE):
        remedy = "deactivate, cleanup, set it, configure, activate"
        if when == ACTIVATE:
            remedy = "deactivate, set it, activate"
        return f"{name} is read on {when} and the node is active: {remedy}"
    return ""


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings from ROS values.

    Raises:
        ValueError: a value is not valid; the message names it and the remedy.
    """
    reasons = [reason for name, value in values.items() if (reason := check(name, value))]
    if reasons:
        raise ValueError("; ".join(reasons))
    return Settings(**values)


def tracker_overrides(settings: Settings) -> dict[str, str]:
    """Overrides for `create_tracker` that the settings ask for."""
    # The tracker's configuration turns the texts into numbers and names what it does not know.
    pairs = (text.partition("=") for text in settings.overrides.split())
    overrides = {key: value for key, _, value in pairs}
    if settings.update != "default":
        overrides["online.update"] = settings.update
    if settings.camera_motion != "default":
        overrides["motion.active"] = str(settings.camera_motion == "on").lower()
    return overrides


def scaling(settings: Settings) -> ScalingRule:
    """How images of more than 8 bits become brightness. Raises ValueError."""
    return ScalingRule(
        settings.scaling,
        settings.scaling_percent,
        settings.scaling_time,
        settings.scaling_black,
        settings.scaling_white,
    )


def descriptor(name: str) -> ParameterDescriptor:
    """ROS descriptor of a parameter."""
    return make_descriptor(name, getattr(DEFAULTS, name), SPECS[name])


def make_descriptor(name: str, default: Any, spec: Spec) -> ParameterDescriptor:
    """ROS descriptor from a spec and the default's type."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    message = ParameterDescriptor(name=name, read_only=spec.when == START)
    unit = f" [{spec.unit}]" if spec.unit else ""
    message.description = f"{spec.text}{unit}"
    message.additional_constraints = f"applies on: {spec.when}"
    if spec.choices:
        message.additional_constraints += f"; one of: {', '.join(spec.choices)}"
    elif spec.remedy:
        message.additional_constraints += f"; {spec.remedy}"
    if spec.low is not None and spec.high is not None:
        if isinstance(default, float):
            message.floating_point_range = [
                FloatingPointRange(from_value=spec.low, to_value=spec.high)
            ]
        else:
            message.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high))
            ]
    return message


def _yaml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def _range_text(spec: Spec) -> str:
    if spec.choices:
        return ", ".join(spec.choices)
    if spec.low is not None and spec.high is not None:
        return f"{_number(spec.low)} to {_number(spec.high)}"
    return ""


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def to_yaml() -> str:
    """Text of config/duml_tracker.yaml: every parameter with its default."""
    lines = [
        "# Parameters of duml_tracker with their defaults.",
        "# Written by: python -m duml_tracker_ros.node.parameters --yaml",
        "/**:",
        "  ros__parameters:",
    ]
    for name, spec in SPECS.items():
        details = [spec.text]
        allowed = _range_text(spec)
        if allowed:
            details.append(f"{allowed}{' ' + spec.unit if spec.unit else ''}")
        details.append("read at any time" if spec.when == ANY_TIME else f"read on {spec.when}")
        prefix = "    # "
        lines += textwrap.wrap(
            "; ".join(details), 100, initial_indent=prefix, subsequent_indent=prefix
        )
        lines.append(f"    {name}: {_yaml_value(getattr(DEFAULTS, name))}")
    return "\n".join(lines) + "\n"


def to_markdown() -> str:
    """Table of the parameters for the documentation."""
    lines = [
        "| parameter | default | range | unit | applies on | text |",
        "|---|---|---|---|---|---|",
    ]
    for name, spec in SPECS.items():
        default = _yaml_value(getattr(DEFAULTS, name))
        lines.append(
            f"| `{name}` | `{default}` | {_range_text(spec)} | {spec.unit} | {spec.when} "
            f"| {spec.text} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the parameters as YAML or as a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="text of config/duml_tracker.yaml")
    form.add_argument("--markdown", action="store_true", help="table for the documentation")
    options = parser.parse_args(arguments)
    print(to_yaml() if options.yaml else to_markdown(), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
