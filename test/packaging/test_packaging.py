"""The package as installed: interfaces, metadata, scripts, data files and the ways to build it."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import venv_setup
import yaml
from catkin_pkg.package import parse_package
from generated_sequence import write_sequence
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "duml_tracker_ros"


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options
    )


def source_files() -> set[str]:
    """Python sources and package data, relative to the package."""
    files = (path for path in SOURCES.rglob("*") if "__pycache__" not in path.parts)
    return {str(path.relative_to(SOURCES)) for path in files if path.is_file()}


def test_manifest_is_valid():
    package = parse_package(str(ROOT / "package.xml"))  # raises what rosdep and colcon would
    assert package.name == "duml_tracker_ros"
    assert package.get_build_type() == "ament_cmake"
    assert "rosidl_interface_packages" in [group.name for group in package.member_of_groups]
    needed = {dependency.name for dependency in package.exec_depends}
    assert needed >= {
        *("rclpy", "geometry_msgs", "sensor_msgs", "launch_ros", "vision_msgs"),
        *("python3-numpy", "python3-opencv", "python3-torch"),
    }


def test_installed_version_is_that_of_the_manifest():
    version = parse_package(str(ROOT / "package.xml")).version
    assert importlib.metadata.version("duml_tracker_ros") == version


def test_version_and_requirements_are_those_of_the_project_file():
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == parse_package(str(ROOT / "package.xml")).version
    assert f"## [{project['version']}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    # What make setup reads of it, which has to work without a reader of TOML.
    assert venv_setup.python_requirements() == project["dependencies"]
    for extra, requirements in project["optional-dependencies"].items():
        assert venv_setup.python_requirements(extra) == requirements


def test_tools_of_the_commit_hooks_are_in_the_environment():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    tools = {entry.split()[0].removeprefix(".venv/bin/") for entry in entries}
    assert tools >= {"ruff", "mypy", "oxlint", "codespell"}
    assert all((Path(sys.prefix) / "bin" / tool).is_file() for tool in tools), tools


def test_every_runtime_requirement_is_installed():
    requirements = [Requirement(text) for text in venv_setup.python_requirements()]
    assert len(requirements) >= 6
    for requirement in requirements:
        if requirement.name.startswith("opencv"):  # another distribution may stand in for it
            import cv2

            assert requirement.specifier.contains(cv2.__version__)
        else:
            installed = importlib.metadata.version(requirement.name)
            assert requirement.specifier.contains(installed, prereleases=True), requirement


def test_interfaces_have_their_fields():
    from duml_tracker_ros.msg import Target
    from duml_tracker_ros.srv import Init, Stop

    states = ("IDLE", "TRACKING", "UNCERTAIN", "LOST", "ERROR")
    assert [getattr(Target, f"STATE_{state}") for state in states] == [0, 1, 2, 3, 4]
    target = Target.get_fields_and_field_types()
    assert target["header"] == "std_msgs/Header"
    assert {target[name] for name in ("x", "y", "width", "height", "confidence")} == {"float"}
    assert {target[name] for name in ("target_id", "frames_since_seen", "frames_dropped")} == {
        "uint32"
    }
    request = Init.Request.get_fields_and_field_types()
    assert {request[name] for name in "xywh"} == {"double"}
    assert request["stamp"] == "builtin_interfaces/Time"
    for response in (Init.Response, Stop.Response):
        fields = response.get_fields_and_field_types()
        assert (fields["success"], fields["message"]) == ("boolean", "string")


def test_interfaces_survive_serialization():
    from rclpy.serialization import deserialize_message, serialize_message

    from duml_tracker_ros.msg import Target

    sent = Target(state=Target.STATE_TRACKING, target_id=7, x=1.5, width=20.25, latency=0.5)
    sent.header.frame_id = "camera"
    assert deserialize_message(serialize_message(sent), Target) == sent


@pytest.mark.parametrize("folder", [ROOT, Path("/")])
def test_sources_and_interfaces_are_found_from_any_folder(folder):
    """A Python started in the source tree must not lose the generated modules."""
    done = python(
        "import duml_tracker_ros.msg, duml_tracker_ros.srv, duml_tracker_ros.tracker", cwd=folder
    )
    assert done.returncode == 0, done.stderr


def test_every_source_is_installed():
    spec = importlib.util.find_spec("duml_tracker_ros")
    installed = Path(spec.origin).parent
    assert installed != SOURCES, "the source tree shadows the installed package"
    missing = {name for name in source_files() if not (installed / name).is_file()}
    assert not missing


def test_command_line_script_runs():
    script = Path(sys.prefix) / "bin" / "duml-tracker"
    done = subprocess.run([script, "--help"], capture_output=True, text=True, cwd="/", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "duml-tracker" in done.stdout


def test_node_script_is_where_ros2_run_looks():
    from ament_index_python.packages import get_package_prefix, get_package_share_directory

    script = Path(get_package_prefix("duml_tracker_ros")) / "lib/duml_tracker_ros/tracker_node"
    assert script.stat().st_mode & 0o111
    share = Path(get_package_share_directory("duml_tracker_ros"))
    assert (share / "launch" / "tracker.launch.py").is_file()
    assert (share / "config" / "duml_tracker.yaml").is_file()


def test_wheel_holds_the_ros_free_part(source_copy, tmp_path):
    """`pip install .`: sources and data of all but the folders that need ROS."""
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run(
        [*pip_wheel, "--no-build-isolation", "--wheel-dir", tmp_path, source_copy],
        check=True,
        timeout=240,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        scripts = archive.read(entry_points).decode()
        archive.extractall(tmp_path / "site")
    assert "duml-tracker = duml_tracker_ros.cli.main:main" in scripts
    packed = {name.split("/", 1)[1] for name in names if name.startswith("duml_tracker_ros/")}
    ros = ("node/", "console/", "mavlink/", "demo/")
    assert packed == {name for name in source_files() if not name.startswith(ros)}
    # What is there needs nothing that is not: a clip is followed, and a box mostly outside refused.
    clip = write_sequence(tmp_path / "clip") / "img"
    alone = "import sys, duml_tracker_ros; del duml_tracker_ros.__path__[1:]; "
    run = alone + "from duml_tracker_ros.cli.main import main; sys.exit(main())"
    track = [sys.executable, "-c", run, "track", clip, "--device", "cpu"]
    for box, status in (("36,42,30,24", 0), ("-26,42,30,24", 2)):
        done = subprocess.run(
            [*track, f"--box={box}", "--csv", tmp_path / "boxes.csv"],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == status, done.stderr
    assert "of the box (x=-26, y=42, width=30, height=24) only" in done.stderr


@pytest.mark.slow
def test_copying_install_is_complete(source_copy, tmp_path):
    """As `colcon build` does it: copies, in a prefix of its own."""
    if not (Path(sys.prefix) / "share" / "rosidl_default_generators").is_dir():
        pytest.skip("the ROS packages are not in this Python's prefix")
    prefix = tmp_path / "prefix with space"
    environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
    cmake = ["cmake", "-S", source_copy, "-B", tmp_path / "build"]
    options = [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={sys.prefix}"]
    options += [f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"]
    for command in (
        [*cmake, *options],
        ["cmake", "--build", tmp_path / "build", "--parallel", "2"],
        ["cmake", "--install", tmp_path / "build"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    (installed,) = prefix.glob("lib/python*/site-packages/duml_tracker_ros")
    assert not any(path.is_symlink() for path in installed.iterdir())
    copied = {str(path.relative_to(installed)) for path in installed.rglob("*")}
    assert source_files() <= copied
    assert {"msg/_target.py", "srv/_init.py", "srv/_stop.py"} <= copied
    found = python(
        "import duml_tracker_ros.msg; print(duml_tracker_ros.__file__)",
        cwd="/",
        env={"PYTHONPATH": str(installed.parent), "LD_LIBRARY_PATH": str(prefix / "lib")},
    )
    assert found.stdout.strip() == str(installed / "__init__.py"), found.stderr
    assert (prefix / "lib/duml_tracker_ros/tracker_node").is_file()
