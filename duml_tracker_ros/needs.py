"""What this package needs of other packages, in words for whoever misses it."""

from __future__ import annotations

import re
import sys

# As pyproject.toml asks for, which a workspace built by colcon does not look at.
LEAST_TORCH = (2, 4)
# Modules whose package has another name.
PACKAGES = {"cv2": "opencv-contrib-python-headless", "yaml": "PyYAML"}


def missing(error: ImportError) -> str:
    """One line for a module that cannot be imported, with the remedy."""
    module = (error.name or "").partition(".")[0]
    if not module or not isinstance(error, ModuleNotFoundError):
        return f"a module cannot be imported: {' '.join(str(error).split())}"
    package = PACKAGES.get(module, module)
    return f"the Python module {module} is missing: pip install {package}, or run make setup"


def old_torch() -> str:
    """One line when torch is older than this package asks for; empty when it is not."""
    version = str(getattr(sys.modules.get("torch"), "__version__", ""))
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None or tuple(map(int, found.groups())) >= LEAST_TORCH:
        return ""
    least = ".".join(map(str, LEAST_TORCH))
    return (
        f"torch {version} is older than {least}, which this package asks for: pip install -U torch"
    )
