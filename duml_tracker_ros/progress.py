"""Bars that tell how far long work is: on a terminal only, as they fill files with lines else."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(*args: Any, show: bool = True, **options: Any) -> tqdm[Any]:
    """A `tqdm` bar with its arguments; silent unless standard error is a terminal.

    What is said with its ``write`` goes to standard error in any case.
    """
    shown = show and sys.stderr is not None and sys.stderr.isatty()
    given = {"disable": not shown, "dynamic_ncols": True, **options}
    return _Bar(*args, **given)


class _Bar(tqdm):
    @classmethod
    def write(cls, s: str, file: Any = None, end: str = "\n", nolock: bool = False) -> None:
        super().write(s, file=file or sys.stderr, end=end, nolock=nolock)
