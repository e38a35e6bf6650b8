"""A package that is missing or too old is one line with the remedy, not a traceback."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from duml_tracker_ros import needs

WITHOUT = """
import sys
sys.modules[{module!r}] = None
from duml_tracker_ros.{program}.main import main
sys.exit(main({arguments!r}))
"""
TRACK = ("cli", ["track", "x.mp4", "--box", "1,2,30,40"])
TORCH = ("torch", "safetensors")
IS_MISSING = "the Python module {0} is missing: pip install {0}"


def python(code):
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("program", "module", "words"),
    [
        *((program, module, IS_MISSING) for program in (TRACK, ("node", [])) for module in TORCH),
        (("cli", ["console"]), "rclpy", "the console needs ROS 2 .* or run make setup"),
        (("console", []), "aiohttp", "the console needs aiohttp: apt-get install python3-aiohttp"),
        (("mavlink", []), "pymavlink", "the MAVLink bridge needs pymavlink: pip install pymavlink"),
    ],
)
def test_missing_module_is_one_line(program, module, words):
    if program is not TRACK and module != "rclpy":
        pytest.importorskip("rclpy", reason="needs ROS 2")
    name, arguments = program
    done = python(WITHOUT.format(module=module, program=name, arguments=arguments))
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.search(words.format(module), line), line


@pytest.mark.parametrize(
    "modules",
    [
        ("console.bridge", "console.server", "console.picture"),
        ("mavlink.bridge", "mavlink.camera", "mavlink.transport"),
    ],
)
def test_processes_beside_the_node_do_without_torch(modules):
    pytest.importorskip("rclpy", reason="needs ROS 2")
    imports = ", ".join(f"duml_tracker_ros.{module}" for module in modules)
    done = python(f"import sys, {imports}; sys.exit('torch' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_torch_that_is_too_old_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.3.1+cpu"))
    assert needs.old_torch().startswith("torch 2.3.1+cpu is older than 2.4")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.10.0"))
    assert needs.old_torch() == ""


def test_torch_is_the_one_that_the_project_asks_for():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert re.search(r'"torch>=([\d.]+)"', project)[1] == ".".join(map(str, needs.LEAST_TORCH))
