"""Starts the tracker node with the settings that camera images need.

ros2 launch duml_tracker_ros tracker.launch.py image:=/camera/image_raw autostart:=true
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import (
    LaunchConfiguration,
    NotEqualsSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription

PACKAGE = "duml_tracker_ros"
CONFIG = PathJoinSubstitution([FindPackageShare(PACKAGE), "config"])
DDS_SETTINGS = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS"}

ARGUMENTS = [
    DeclareLaunchArgument(
        "image", default_value="image", description="image topic of the camera (sensor_msgs/Image)"
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="camera_info",
        description="topic of the camera's calibration (sensor_msgs/CameraInfo), for bearings",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="depth",
        description="topic of the aligned depth (sensor_msgs/Image), for positions",
    ),
    DeclareLaunchArgument(
        "imu",
        default_value="imu",
        description="topic of what turns with the camera (sensor_msgs/Imu); parameter imu",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="configure and activate at start; false leaves it to a lifecycle manager",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([CONFIG, "duml_tracker.yaml"]),
        description="parameter file; the default lists every parameter",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="show the annotated image, the heatmap and the markers in RViz",
    ),
    DeclareLaunchArgument(
        "console",
        default_value="false",
        choices=["true", "false"],
        description="serve a page to watch the tracker and select targets; it prints its address",
    ),
    DeclareLaunchArgument(
        "console_host",
        default_value="127.0.0.1",
        description="address the console serves on; 0.0.0.0 is all, browsers need a token then",
    ),
    DeclareLaunchArgument(
        "console_port", default_value="8090", description="port the console serves on"
    ),
    DeclareLaunchArgument(
        "mavlink",
        default_value="",
        description="be a MAVLink camera: udp:ADDRESS:PORT listens, udpout:HOST:PORT and "
        "tcp:HOST:PORT speak to one; empty: no MAVLink. More in params_file, as of duml_mavlink",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="log level of the node",
    ),
    DeclareLaunchArgument(
        "dds_profile",
        default_value="auto",
        description="profile of Fast DDS for all nodes of this launch: a file, none, or auto: "
        "config/fastdds_large_images.xml of this package, as the default of Fast DDS drops camera "
        "images, unless FASTDDS_DEFAULT_PROFILES_FILE or FASTDDS_BUILTIN_TRANSPORTS is set. The "
        "camera's process needs the same setting",
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


def generate_launch_description() -> LaunchDescription:
    """The lifecycle node and, if asked for, RViz and the web console."""
    tracker = LifecycleNode(
        package=PACKAGE,
        executable="tracker_node",
        name="duml_tracker",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        emulate_tty=True,
        parameters=[
            LaunchConfiguration("params_file"),
            {"autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool)},
        ],
        remappings=[
            (name, LaunchConfiguration(name)) for name in ("image", "camera_info", "depth", "imu")
        ],
        arguments=[
            "--ros-args",
            "--log-level",
            ["duml_tracker:=", LaunchConfiguration("log_level")],
        ],
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", PathJoinSubstitution([CONFIG, "duml_tracker.rviz"])],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    console = Node(
        package=PACKAGE,
        executable="console_node",
        name="duml_console",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        emulate_tty=True,
        parameters=[
            {
                "host": ParameterValue(LaunchConfiguration("console_host"), value_type=str),
                "port": ParameterValue(LaunchConfiguration("console_port"), value_type=int),
            },
        ],
        remappings=[("image", LaunchConfiguration("image"))],
        condition=IfCondition(LaunchConfiguration("console")),
    )
    mavlink = Node(
        package=PACKAGE,
        executable="mavlink_node",
        name="duml_mavlink",
        namespace=LaunchConfiguration("namespace"),
        output="both",
        emulate_tty=True,
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "connection": ParameterValue(LaunchConfiguration("mavlink"), value_type=str),
                # The file may have one for all nodes, which means the tracking system.
                "tracker": "duml_tracker",
            },
        ],
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("mavlink"), "")),
    )
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=dds_profile),
            tracker,
            rviz,
            console,
            mavlink,
        ]
    )
