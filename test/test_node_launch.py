"""The launch file: its arguments, and a real start where the launch system is installed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed (it is not on PyPI)")

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from node_harness import DOMAIN, NAMESPACE, Talker

from launch import LaunchContext

# In a virtual environment the package is installed into the environment's own prefix.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

OWN = f"{NAMESPACE}_launch"
LAUNCH_FILE = Path(__file__).resolve().parents[1] / "launch" / "tracker.launch.py"

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(text.split(":=", 1)) for text in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""


def test_every_argument_is_described():
    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    arguments = [e for e in description.entities if isinstance(e, DeclareLaunchArgument)]
    names = {argument.name for argument in arguments}
    assert {
        "autostart",
        "params_file",
        "image",
        "namespace",
        "rviz",
        "console",
        "log_level",
    } <= names
    assert all(len(argument.description) > 10 for argument in arguments)


@pytest.mark.parametrize(
    ("environment", "argument", "expected"),
    [
        ({}, "auto", "fastdds_large_images.xml"),
        ({}, "own.xml", "own.xml"),
        ({}, "none", None),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, "auto", None),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "theirs.xml"}, "auto", "theirs.xml"),
    ],
)
def test_dds_settings_of_the_user_are_kept(environment, argument, expected, monkeypatch):
    for name in ("FASTDDS_BUILTIN_TRANSPORTS", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    description = get_launch_description_from_python_launch_file(str(LAUNCH_FILE))
    context = LaunchContext()
    context.launch_configurations["dds_profile"] = argument
    for entity in description.entities:
        if isinstance(entity, (DeclareLaunchArgument, OpaqueFunction)):
            for action in entity.visit(context) or []:
                action.visit(context)
    profile = context.environment.get("FASTDDS_DEFAULT_PROFILES_FILE")
    assert profile is None if expected is None else profile.endswith(expected)


def test_launched_node_is_active_in_its_namespace(tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "/**:\n  ros__parameters:\n    weights: random\n    device: cpu\n    num_threads: 1\n"
    )
    environment = dict(os.environ, ROS_DOMAIN_ID=str(DOMAIN), ROS_LOG_DIR=str(tmp_path))
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-c", RUN, str(LAUNCH_FILE), f"image:={OWN}/image"),
                *("autostart:=true", f"params_file:={settings}", f"namespace:={OWN}"),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        talker = Talker(OWN)
        try:
            assert talker.fresh_target().header.frame_id == "camera"
            assert talker.state() == "active"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            talker.close()
            if process.poll() is None:
                process.kill()
        log.seek(0)
        assert "process has finished cleanly" in log.read()
