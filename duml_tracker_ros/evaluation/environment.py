"""What a measurement was made on."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

from ..processors import usable_processors
from ..vector_units import vector_units


def processor_name() -> str:
    """The processor's model name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def package_version() -> str:
    """Version of this package, or ``unknown`` when it runs from a plain source folder."""
    from importlib.metadata import PackageNotFoundError, version

    for name in ("duml-tracker-ros", "duml_tracker_ros"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def describe_environment(device: str | None = None) -> dict[str, Any]:
    """Versions, processor, device and threads as plain data for reports and JSON."""
    import cv2
    import numpy
    import torch

    found: dict[str, Any] = {
        "package": package_version(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "vector_units": vector_units(),
        "processors": usable_processors(),
        "torch_threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }
    if device is not None:
        found["device"] = device
    return found
