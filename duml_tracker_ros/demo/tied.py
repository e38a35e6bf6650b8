"""Run a module, or a script, for as long as the process that started it lives.

``python -m duml_tracker_ros.demo.tied MODULE [ARGUMENT ...]`` with a pipe as standard input, whose
other end the starter holds and never writes to: the system closes it however the starter ends, by
SIGKILL or for want of memory, too. Then the whole process group is asked to end, and made to.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

PATIENCE = 12.0  # seconds; the node takes up to eight for its middleware


def _end_with_starter(lifeline: int) -> None:
    while os.read(lifeline, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(PATIENCE)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Watch the pipe and become the module that the first argument names, without input."""
    lifeline = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with_starter, args=(lifeline,), daemon=True).start()
    target = sys.argv.pop(1)
    if target.endswith(".py"):
        sys.argv[0], sys.path[0] = target, str(Path(target).resolve().parent)
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
