"""Kill what writes files, at each of its steps: in a child process, by SIGKILL or a full disk."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

STEPS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"})
WRITING = os.O_WRONLY | os.O_RDWR


def in_child(action: Callable[[], Any], prepare: Callable[[], Any]) -> tuple[int, str]:
    """Run an action in a copy of this process: the signal that ended it (or 0), and its error."""
    # A copy has none of the threads of this process, which OpenCV would wait for.
    cv2.setNumThreads(0)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        text = ""
        try:
            os.close(reader)
            # Nothing of the parent's is to be flushed by a child.
            signal.alarm(240)
            prepare()
            action()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        finally:
            os.write(writer, text.encode()[:60000])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, said


def kills(action: Callable[[], Any], below: Path) -> Iterator[int]:
    """Run an action again and again, killed before its first change of a file below a folder, then
    before its second, and so on. Ends after the run that was not killed, which must succeed."""
    for step in range(1000):
        signum, said = in_child(action, lambda: _kill_before(step, below))  # noqa: B023
        if not signum:
            assert not said, said
            return
        assert signum == signal.SIGKILL, (step, signum)
        yield step


def _kill_before(step: int, below: Path) -> None:
    left = [step]

    def watch(event: str, args: tuple[Any, ...]) -> None:
        # The mode of a file that is opened; its flags tell more, but are not always given.
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
        if not (writes or event in STEPS) or not str(args[0]).startswith(str(below)):
            return
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    sys.addaudithook(watch)


def killed_within(action: Callable[[], Any], size: int) -> int:
    """Run an action, killed when a file of it grows beyond a size; the signal, 0 without."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return in_child(action, prepare)[0]


def on_full_disk(action: Callable[[], Any], size: int) -> str:
    """Run an action whose files cannot grow beyond a size: what it raised."""

    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    signum, said = in_child(action, prepare)
    assert not signum
    return said


POWERLESS = """
import ctypes, struct, sys
header = struct.pack("<Ii", 0x20080522, 0)
if ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)):
    raise OSError(ctypes.get_errno(), "capset")
from duml_tracker_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def as_anybody(line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command line without the privileges of root, who may write everywhere.

    In a process of its own: a copy of this one would lack the threads that its libraries wait for.
    """
    command = [sys.executable, "-c", POWERLESS, *line]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def tree(folder: Path) -> dict[str, bytes]:
    """Content of all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder hold these files and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
