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


@pytest.mark.parametrize("module", ["torch", "safetensors"])
@pytest.mark.parametrize(
    ("program", "arguments"), [("cli", ["track", "x.mp4", "--box", "1,2,30,40"]), ("node", [])]
)
def test_missing_module_is_one_line(program, arguments, module):
    if program == "node":
        pytest.importorskip("rclpy", reason="needs ROS 2")
    code = WITHOUT.format(module=module, program=program, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"the Python module {module} is missing: pip install {module}" in line


def test_torch_that_is_too_old_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.3.1+cpu"))
    assert needs.old_torch().startswith("torch 2.3.1+cpu is older than 2.4")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.10.0"))
    assert needs.old_torch() == ""


def test_torch_is_the_one_that_the_project_asks_for():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert re.search(r'"torch>=([\d.]+)"', project)[1] == ".".join(map(str, needs.LEAST_TORCH))
