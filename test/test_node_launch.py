"""The launch file: its arguments, and a real start where the launch system is installed."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed (it is not on PyPI)")

from launch.actions import DeclareLaunchArgument, RegisterEventHandler
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


def launch_file():
    """The launch file as a module."""
    spec = importlib.util.spec_from_file_location("tracker_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def configured(file, **given):
    """A context with the arguments' defaults and some that were given."""
    context = LaunchContext(argv=[f"{name}:={value}" for name, value in given.items()])
    context.launch_configurations.update(given)
    for argument in file.ARGUMENTS:
        argument.visit(context)
    return context


def test_arguments_become_parameters_and_others_stay_as_the_file_says():
    file = launch_file()
    assert file.parameters(configured(file)) == {"autostart": True}
    given = {"max_targets": "3", "tracker": "siamrcr", "use_sim_time": "true", "autostart": "false"}
    expected = {"max_targets": 3, "tracker": "siamrcr", "use_sim_time": True, "autostart": False}
    assert file.parameters(configured(file, **given)) == expected
    with pytest.raises(RuntimeError, match="max_targets:=three is not a whole number"):
        file.parameters(configured(file, max_targets="three"))
    with pytest.raises(RuntimeError, match="use_sim_time:=yes is neither"):
        file.parameters(configured(file, use_sim_time="yes"))


def test_unknown_arguments_are_refused_unless_the_file_is_included(monkeypatch):
    file = launch_file()
    context = configured(file, max_target="3")
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "pkg", "tracker.launch.py"])
    with pytest.raises(RuntimeError, match=r"'max_target'; did you mean max_targets:=\?.*image"):
        file.refuse_unknown(context)
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "pkg", "vehicle.launch.py"])
    assert file.refuse_unknown(context) == []


def test_console_and_bridge_end_with_the_tracker_or_all_respawn():
    file = launch_file()
    more = {"console": "true", "mavlink": "udp:127.0.0.1:14560"}
    tracker, *beside = file.nodes(configured(file, **more))
    assert [type(entity) for entity in beside[2:]] == [RegisterEventHandler]
    tracker, *beside = file.nodes(configured(file, respawn="true", **more))
    assert len(beside) == 2
    assert len(file.nodes(configured(file))) == 1


@pytest.mark.skipif(shutil.which("ros2") is None, reason="ros2 launch is not installed")
def test_ros2_launch_finds_the_file_after_any_install():
    command = ["ros2", "launch", "duml_tracker_ros", "tracker.launch.py", "max_target:=3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "did you mean max_targets:=?" in done.stdout + done.stderr


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
        "mavlink",
        "log_level",
        "max_targets",
        "size",
        "tracker",
        "device",
        "image_transport",
        "use_sim_time",
        "name",
        "respawn",
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
    file, context = launch_file(), LaunchContext()
    context.launch_configurations["dds_profile"] = argument
    for action in file.dds_profile(context):
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
