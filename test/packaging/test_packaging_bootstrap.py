"""`make setup`: refuses in one line what cannot work, mends the wheels, keeps links fresh."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_setup(folder: Path, path: str, prelude: str = "") -> subprocess.CompletedProcess:
    """Runs a copy of the bootstrap with only `path` to find programs in."""
    script = folder / "tools" / "bootstrap.py"
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(script.parent)!r}); {prelude}\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        env={"PATH": path, "HOME": str(folder)},
    )


def assert_one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_missing_compiler_is_one_line_with_the_remedy(source_copy, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run_setup(source_copy, str(empty))
    assert_one_line(done, "compiler", "apt-get install build-essential")
    assert not (source_copy / ".venv" / "bin").exists(), "nothing may be installed before the check"


@pytest.mark.parametrize("version", [(3, 8, 10), (3, 15, 0)])
def test_unfit_python_is_one_line_with_the_remedy(source_copy, version):
    done = run_setup(source_copy, os.defpath, f"sys.version_info = {version}")
    assert_one_line(done, "Python {}.{}".format(*version), "3.10 to 3.14", "PYTHON=")


def test_other_machine_is_one_line_with_the_remedy(source_copy):
    done = run_setup(source_copy, os.defpath, "import platform; platform.machine = lambda: 'riscv'")
    assert_one_line(done, "riscv", "colcon build")


def test_wheels_are_mended():
    share = Path(sys.prefix) / "share"
    files = list(share.glob("*/cmake/*.cmake"))
    if not (share / "rclpy").is_dir():
        pytest.skip("ROS does not come from wheels here")
    assert len(files) > 100
    broken = [file for file in files if "/opt/python/" in file.read_text(encoding="utf-8")]
    assert not broken


def test_links_follow_the_sub_packages(tmp_path):
    """New sub-packages appear, gone ones vanish, copies of an older install give way."""
    source, python_dir, share = tmp_path / "source", tmp_path / "site", tmp_path / "share"
    for folder in ("package/old", "package/kept", "config"):
        (source / folder).mkdir(parents=True)
    (source / "config" / "a.yaml").touch()
    share.mkdir()
    # As an older install linked it.
    (share / "config").symlink_to(source / "config")
    (python_dir / "msg").mkdir(parents=True)
    (python_dir / "kept").mkdir()
    (python_dir / "kept" / "stale.py").touch()
    (python_dir / "generated.so").symlink_to("/somewhere/else")

    def install(entries: str) -> None:
        subprocess.run(
            [
                *("cmake", f"-Dsource_dir={source}", f"-Dpython_dir={python_dir}"),
                *(f"-Dshare_dir={share}", f"-Dpython_entries={entries}", "-Dshare_entries=config"),
                *("-Dpackage_name=package", "-P", ROOT / "cmake" / "install_links.cmake"),
            ],
            check=True,
            capture_output=True,
        )

    install("old;kept")
    assert (python_dir / "kept").readlink() == source / "package" / "kept"
    (source / "package" / "old").rmdir()
    (source / "package" / "new").mkdir()
    install("new;kept")
    assert {path.name for path in python_dir.iterdir()} == {"new", "kept", "msg", "generated.so"}
    assert not (python_dir / "msg").is_symlink()
    # ros2 launch walks into folders, not into links to them.
    assert not (share / "config").is_symlink()
    assert (share / "config" / "a.yaml").readlink() == source / "config" / "a.yaml"
    assert (source / "config" / "a.yaml").is_file()
    assert (source / "package" / "kept").is_dir(), "the sources themselves must stay"
