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

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, RegisterEventHandler
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from node_harness import DOMAIN, NAMESPACE, WAIT, Talker
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python

from launch import LaunchContext

# In a virtual environment the package is installed into the environment's own prefix.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

OWN = f"{NAMESPACE}_launch"
LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "tracker.launch.py"

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
    assert file.parameters(configured(file, reselect_after="30"))["reselect_after"] == 30.0
    with pytest.raises(RuntimeError, match="reselect_after:=soon is not a number"):
        file.parameters(configured(file, reselect_after="soon"))
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


@pytest.fixture(scope="module", params=["links", "copies"])
def installed(request, source_copy, tmp_path_factory):
    """Environment of `ros2` where the package is installed by links, as here, or by copies."""
    if shutil.which("ros2") is None:
        pytest.skip("ros2 launch is not installed (it is not on PyPI)")
    environment = dict(os.environ, ROS_DOMAIN_ID=str(DOMAIN))
    share = Path(get_package_share_directory("duml_tracker_ros"))
    if request.param == "links":
        if not (share / "launch" / LAUNCH_FILE.name).is_symlink():
            pytest.skip("it is installed by copies here")
        return environment
    folder = tmp_path_factory.mktemp("copies")
    prefix = folder / "prefix with space"
    options = [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={sys.prefix}"]
    options += [f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"]
    for command in (
        ["cmake", "-S", source_copy, "-B", folder / "build", *options],
        ["cmake", "--build", folder / "build", "--parallel", "2"],
        ["cmake", "--install", folder / "build"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    (modules,) = prefix.glob("lib/python*/site-packages")
    added = {"AMENT_PREFIX_PATH": prefix, "PYTHONPATH": modules, "LD_LIBRARY_PATH": prefix / "lib"}
    for name, value in added.items():
        parts = str(value), environment.get(name, "")
        environment[name] = os.pathsep.join(filter(None, parts))
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import duml_tracker_ros.node as n; print(n.__file__)"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert found.stdout.startswith(str(prefix)), found.stderr
    return environment


COMMAND = ("ros2", "launch", "duml_tracker_ros", "tracker.launch.py")


def test_ros2_launch_refuses_what_it_does_not_know(installed, tmp_path):
    environment = dict(installed, ROS_LOG_DIR=str(tmp_path))
    done = subprocess.run(
        [*COMMAND, "max_target:=3"], capture_output=True, text=True, env=environment, timeout=WAIT
    )
    assert done.returncode != 0
    assert "did you mean max_targets:=?" in done.stdout + done.stderr
    assert "process started" not in done.stdout + done.stderr


def test_ros2_launch_does_what_the_arguments_say(installed, tmp_path):
    given = {"max_targets": 3, "tracker": "siamrcr", "use_sim_time": True}
    words = [f"{name}:={str(value).lower()}" for name, value in given.items()]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [*COMMAND, *words, f"namespace:={OWN}", "device:=cpu"],
            env=dict(installed, ROS_LOG_DIR=str(tmp_path)),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        talker = Talker(OWN)
        try:
            talker.spin_until(lambda: talker.state() == "active", "an active node")
            talker.add_clients(get_parameters=GetParameters)
            request = GetParameters.Request(names=[*given, "device", "size"])
            values = talker.call("get_parameters", request).values
            told = [parameter_value_to_python(value) for value in values]
            assert told == [*given.values(), "cpu", "auto"]
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT) == 0
        finally:
            talker.close()
            if process.poll() is None:
                process.kill()
        log.seek(0)
        text = log.read()
    assert "siamrcr" in text
    assert "process has finished cleanly" in text


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
            assert process.wait(WAIT) == 0
        finally:
            talker.close()
            if process.poll() is None:
                process.kill()
        log.seek(0)
        assert "process has finished cleanly" in log.read()
