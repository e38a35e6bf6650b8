"""How much memory a process may still take."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that are free or can be freed, of the machine and of the container; 0 where unknown."""
    free = [value for value in (_of_machine(), _of_container()) if value is not None]
    return max(0, min(free)) if free else 0


def _of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _of_container() -> int | None:
    try:
        most = int((CGROUP / "memory.max").read_text())
        return most - int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):
        # No container, or no limit ("max").
        return None
