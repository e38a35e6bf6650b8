"""Files for the servers that keep their truth: GOT-10k and TrackingNet."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from ..outputs import whole
from .runner import Evaluation


def write_submission(result: Evaluation, tracker: str, path: Path) -> Path:
    """Write the zip file that the data set's server wants and return its path.

    GOT-10k: ``<Seq>/<Seq>_001.txt`` with a box per frame and ``<Seq>_time.txt`` with seconds.
    TrackingNet: ``<Seq>.txt`` with a box per frame.

    Raises ValueError when a sequence is missing (the servers refuse parts), or for a data set
    without a server.
    """
    kind = result.dataset.submission
    if kind not in ("got10k", "trackingnet"):
        raise ValueError(f"{result.dataset.name} has no server to submit to")
    runs = result.trackers[tracker].runs
    missing = [s.name for s in result.dataset if s.name not in runs]
    if missing or result.dataset.problems:
        names = ", ".join([*missing, *(p.name for p in result.dataset.problems)][:5])
        raise ValueError(f"a submission needs every sequence; missing: {names}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, run in runs.items():
            if kind == "trackingnet":
                archive.writestr(f"{name}.txt", _lines(run.boxes, "%.3f"))
            else:
                archive.writestr(f"{name}/{name}_001.txt", _lines(run.boxes, "%.3f"))
                archive.writestr(f"{name}/{name}_time.txt", _lines(run.seconds, "%.8f"))
    return path


def entry_doubts(result: Evaluation, tracker: str) -> str:
    """Why a file for GOT-10k's server may be no valid entry: what its weights were trained on.

    Empty where the weights say that it was the training part alone, and of baselines.
    """
    runs = list(result.trackers[tracker].runs.values())
    if result.dataset.submission != "got10k" or not runs or "notes" not in runs[0].description:
        return ""
    data = runs[0].description["notes"].get("data", "data that they do not name")
    if data == "got10k":
        return ""
    return (
        f"the weights of {tracker} were trained on {data}, an entry must be on GOT-10k's training "
        "part alone: train with --set data.protocol=got10k"
    )


def _lines(values: np.ndarray, form: str) -> str:
    text = io.StringIO()
    np.savetxt(text, values, fmt=form, delimiter=",")
    return text.getvalue()
