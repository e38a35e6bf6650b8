"""Starts the tracker node with the settings that camera images need.

ros2 launch duml_tracker_ros tracker.launch.py image:=/camera/image_raw max_targets:=3

An argument that it does not know is an error where the file is launched by itself.
"""

import difflib
import sys
from pathlib import Path

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

PACKAGE = "duml_tracker_ros"
CONFIG = PathJoinSubstitution([FindPackageShare(PACKAGE), "config"])
RESPAWN_DELAY = 2.0  # seconds
# Arguments that are parameters of the tracker; empty: as params_file says.
PARAMETERS = {
    "tracker": (str, "tracking system, such as duml or siamrcr"),
    "size": (str, "size of the network"),
    "weights": (str, "'default', or the path of a .safetensors file"),
    "device": (str, "auto, cpu, cuda or cuda:N"),
    "max_targets": (int, "how many targets are followed at a time"),
    "image_transport": (str, "raw, compressed, or another one that the node knows"),
    "reselect_after": (float, "seconds after which a killed node's target is not taken up again"),
    "use_sim_time": (bool, "true where /clock is published, by a simulator or a bag"),
}
DDS_SETTINGS = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"}

SWITCH = ("true", "false")


def argument(
    name: str, default: str | PathJoinSubstitution, text: str, choices: tuple[str, ...] = ()
) -> DeclareLaunchArgument:
    """An argument of this file."""
    allowed = {"choices": list(choices)} if choices else {}
    return DeclareLaunchArgument(name, default_value=default, description=text, **allowed)


ARGUMENTS = [
    argument("image", "image", "image topic of the camera (sensor_msgs/Image)"),
    argument(
        "camera_info",
        "camera_info",
        "topic of the camera's calibration (sensor_msgs/CameraInfo), for bearings",
    ),
    argument("depth", "depth", "topic of the aligned depth (sensor_msgs/Image), for positions"),
    argument("imu", "imu", "topic of what turns with the camera (sensor_msgs/Imu); parameter imu"),
    argument(
        "camera_pose",
        "camera_pose",
        "topic of the optical frame's pose (geometry_msgs/PoseStamped); parameter world_source",
    ),
    argument(
        "range", "range", "topic of a range finder (sensor_msgs/Range); parameter world_source"
    ),
    argument(
        "autostart",
        "true",
        "configure and activate at start; false leaves it to a lifecycle manager",
        SWITCH,
    ),
    argument(
        "params_file",
        PathJoinSubstitution([CONFIG, "duml_tracker.yaml"]),
        "parameter file; the default lists every parameter",
    ),
    argument("namespace", "", "namespace of the node"),
    argument("name", "duml_tracker", "name of the node"),
    *(
        argument(name, "", f"{text}; empty: as params_file says")
        for name, (_, text) in PARAMETERS.items()
    ),
    argument(
        "respawn",
        "false",
        "start the node again when it ends, and console and bridge; the target must be selected "
        "again, or see reselect_after. Without it console and bridge end with the node",
        SWITCH,
    ),
    argument(
        "rviz", "false", "show the annotated image, the heatmap and the markers in RViz", SWITCH
    ),
    argument(
        "console",
        "false",
        "serve a page to watch the tracker and select targets; it prints its address",
        SWITCH,
    ),
    argument(
        "console_host",
        "127.0.0.1",
        "address the console serves on; 0.0.0.0 is all, browsers need a token then",
    ),
    argument("console_port", "8090", "port the console serves on"),
    argument(
        "mavlink",
        "",
        "be a MAVLink camera: udp:ADDRESS:PORT listens, udpout:HOST:PORT and tcp:HOST:PORT speak "
        "to one; empty: no MAVLink. More in params_file, as of duml_mavlink",
    ),
    argument(
        "log_level", "info", "log level of the node", ("debug", "info", "warn", "error", "fatal")
    ),
    argument(
        "dds_profile",
        "auto",
        "profile of Fast DDS for all nodes of this launch: a file, none, or auto: "
        "config/fastdds_large_images.xml of this package, as the default of Fast DDS drops "
        "camera images, unless FASTDDS_DEFAULT_PROFILES_FILE or FASTDDS_BUILTIN_TRANSPORTS is "
        "set. The camera's process needs the same setting",
    ),
]


def dds_profile(context: LaunchContext) -> list[SetEnvironmentVariable]:
    """The setting of Fast DDS; nothing where the user has one already."""
    profile = LaunchConfiguration("dds_profile").perform(context)
    if profile == "none" or (profile == "auto" and DDS_SETTINGS & set(context.environment)):
        return []
    if profile == "auto":
        folder = PathJoinSubstitution([CONFIG, "fastdds_large_images.xml"])
        profile = folder.perform(context)
    return [SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", profile)]


def refuse_unknown(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Raise for arguments that nobody declares: ros2 launch takes any name without a word."""
    name = Path(__file__).name
    if not any(Path(word).name == name for word in sys.argv):
        return []  # another launch file includes this one, and has arguments of its own
    known = [argument.name for argument in ARGUMENTS]
    given = [word.partition(":=")[0] for word in context.argv if ":=" in word]
    for word in given:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            meant = f"; did you mean {near[0]}:=?" if near else ""
            raise RuntimeError(
                f"there is no launch argument {word!r}{meant} They are: {', '.join(known)}"
            )
    return []


def parameters(context: LaunchContext) -> dict[str, str | int | float | bool]:
    """The tracker's parameters that arguments set. Raises RuntimeError for what is none."""
    made: dict[str, str | int | float | bool] = {
        "autostart": LaunchConfiguration("autostart").perform(context) == "true"
    }
    for name, (kind, _) in PARAMETERS.items():
        text = LaunchConfiguration(name).perform(context).strip()
        if not text:
            continue
        if kind is int and not text.isdecimal():
            raise RuntimeError(f"{name}:={text} is not a whole number, for example {name}:=3")
        if kind is bool and text.lower() not in ("true", "false"):
            raise RuntimeError(f"{name}:={text} is neither true nor false")
        try:
            made[name] = text.lower() == "true" if kind is bool else kind(text)
        except ValueError:
            raise RuntimeError(f"{name}:={text} is not a number, for example {name}:=30") from None
    return made


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The tracker; console and bridge if they are asked for, which end with it."""
    name, namespace, mavlink = (
        LaunchConfiguration(argument).perform(context)
        for argument in ("name", "namespace", "mavlink")
    )
    respawn = LaunchConfiguration("respawn").perform(context) == "true"
    file = LaunchConfiguration("params_file")
    common = {
        "package": PACKAGE,
        "namespace": namespace,
        "output": "both",
        "emulate_tty": True,
        "respawn": respawn,
        "respawn_delay": RESPAWN_DELAY,
    }
    tracker = LifecycleNode(
        executable="tracker_node",
        name=name,
        parameters=[file, parameters(context)],
        remappings=[
            (topic, LaunchConfiguration(topic))
            for topic in ("image", "camera_info", "depth", "imu", "camera_pose", "range")
        ],
        arguments=["--ros-args", "--log-level", [f"{name}:=", LaunchConfiguration("log_level")]],
        **common,
    )
    # The file may say for all nodes what is meant for the tracker alone; these come after it.
    shared = {"tracker": ParameterValue(name, value_type=str)}
    if "use_sim_time" in (set_here := parameters(context)):
        shared["use_sim_time"] = set_here["use_sim_time"]
    beside = []
    if LaunchConfiguration("console").perform(context) == "true":
        settings = {
            "host": ParameterValue(LaunchConfiguration("console_host"), value_type=str),
            "port": ParameterValue(LaunchConfiguration("console_port"), value_type=int),
        }
        beside.append(
            Node(
                executable="console_node",
                name="duml_console",
                parameters=[{**settings, **shared}],
                remappings=[("image", LaunchConfiguration("image"))],
                **common,
            )
        )
    if mavlink:
        connection = {"connection": ParameterValue(mavlink, value_type=str)}
        beside.append(
            Node(
                executable="mavlink_node",
                name="duml_mavlink",
                parameters=[file, {**connection, **shared}],
                **common,
            )
        )
    ends = [
        RegisterEventHandler(
            OnProcessExit(
                target_action=tracker,
                on_exit=[
                    EmitEvent(event=ShutdownProcess(process_matcher=matches_action(node)))
                    for node in beside
                ],
            )
        )
    ]
    return [tracker, *beside, *(ends if beside and not respawn else [])]


def generate_launch_description() -> LaunchDescription:
    """The lifecycle node and, if asked for, RViz, the web console and the MAVLink bridge."""
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", PathJoinSubstitution([CONFIG, "duml_tracker.rviz"])],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=refuse_unknown),
            OpaqueFunction(function=dds_profile),
            OpaqueFunction(function=nodes),
            rviz,
        ]
    )
