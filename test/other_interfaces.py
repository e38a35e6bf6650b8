"""Message packages of others, which are not on PyPI: generated and compiled as our own are.

Fields and names are those of the real packages, so DDS takes them for the same. Where a package is
installed it is used instead.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from duml_tracker_ros.messages.definitions import DEFINITIONS, DETECTIONS, FFMPEG, FOXGLOVE

ROOT = Path(__file__).resolve().parents[1]
TRANSFORMS = "tf2_msgs/msg/TFMessage"
ALL = {**DEFINITIONS, TRANSFORMS: "geometry_msgs/TransformStamped[] transforms"}
PACKAGES = tuple(name.partition("/")[0] for name in (FFMPEG, FOXGLOVE, DETECTIONS, TRANSFORMS))
# What Python and Fast DDS need of all that rosidl can generate.
GENERATORS = (
    *("rosidl_cmake", "rosidl_adapter", "rosidl_generator_type_description"),
    *("rosidl_generator_c", "rosidl_generator_cpp", "rosidl_generator_py", "rosidl_typesupport_c"),
    *("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp"),
)
TOP = """
cmake_minimum_required(VERSION 3.20)
project(other_interfaces)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
set(CMAKE_INSTALL_RPATH "${CMAKE_INSTALL_PREFIX}/lib;@prefix@/lib")
"""
ONE = """
cmake_minimum_required(VERSION 3.20)
project(@name@)
foreach(needed ament_cmake builtin_interfaces geometry_msgs std_msgs @generators@)
  find_package(${needed} REQUIRED)
endforeach()
rosidl_generate_interfaces(@name@ @files@
  DEPENDENCIES builtin_interfaces geometry_msgs std_msgs)
ament_package()
"""
MANIFEST = """<?xml version="1.0"?>
<package format="3">
  <name>@name@</name>
  <version>0.0.0</version>
  <description>The fields of @name@, for tests.</description>
  <maintainer email="tests@example.com">tests</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <depend>builtin_interfaces</depend>
  <depend>geometry_msgs</depend>
  <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
"""


def _filled(text: str, **values: str) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text.lstrip("\n")


def sources() -> dict[str, str]:
    """All files of the build, by their paths."""
    files, top = {}, _filled(TOP, prefix=sys.prefix)
    for package in PACKAGES:
        names = []
        for name, definition in ALL.items():
            if name.startswith(f"{package}/"):
                names.append(f"msg/{name.rpartition('/')[2]}.msg")
                files[f"{package}/{names[-1]}"] = textwrap.dedent(definition).lstrip("\n") + "\n"
        values = {"name": package, "files": " ".join(names), "generators": " ".join(GENERATORS)}
        files[f"{package}/CMakeLists.txt"] = _filled(ONE, **values)
        files[f"{package}/package.xml"] = _filled(MANIFEST, name=package)
        top += f"add_subdirectory({package})\n"
    return {**files, "CMakeLists.txt": top}


def build() -> Path:
    """The prefix they are installed in; made once, and again when what it is made of changes."""
    files = sources()
    made_of = repr((sorted(files.items()), sys.version, sys.prefix)).encode()
    folder = ROOT / "build" / f"other_interfaces_{hashlib.sha256(made_of).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    prefix, done = folder / "prefix", folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return prefix
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        environment = {**os.environ, "AMENT_PREFIX_PATH": sys.prefix}
        configure = ["cmake", "-S", folder, "-B", folder / "build", "-DCMAKE_BUILD_TYPE="]
        configure += [f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DCMAKE_PREFIX_PATH={sys.prefix}"]
        configure += [f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"]
        for command in (
            [*configure, "-DPython3_FIND_VIRTUALENV=ONLY"],
            ["cmake", "--build", folder / "build", "--parallel", "2"],
            ["cmake", "--install", folder / "build"],
        ):
            ran = subprocess.run(command, capture_output=True, text=True, env=environment)
            assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
        done.touch()
    return prefix


@contextlib.contextmanager
def other_interfaces():
    """All of them can be imported within, here and in processes that are started."""
    if all(importlib.util.find_spec(package) is not None for package in PACKAGES):
        yield
        return
    if not (Path(sys.prefix) / "share" / "rosidl_default_generators").is_dir():
        pytest.skip("rosidl is not in this Python's prefix, and a message package is missing")
    prefix = build()
    (modules,) = prefix.glob("lib/python*/site-packages")
    added = {
        "PYTHONPATH": str(modules),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
        "AMENT_PREFIX_PATH": str(prefix),
    }
    before = {name: os.environ.get(name) for name in added}
    for name, value in added.items():
        os.environ[name] = os.pathsep.join(filter(None, (value, before[name])))
    sys.path.insert(0, str(modules))
    # LD_LIBRARY_PATH is read when a process starts; what is loaded already is found by its name.
    for library in sorted(prefix.glob("lib/*__rosidl_typesupport_fastrtps_c.so")):
        ctypes.CDLL(str(library))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        # Tests of what happens without them go on as before.
        sys.path.remove(str(modules))
        for name in tuple(sys.modules):
            if name.partition(".")[0] in PACKAGES:
                del sys.modules[name]
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
