"""Public data sets as records: paths and boxes, as their pictures are too many for memory."""

from __future__ import annotations

from pathlib import Path

from ... import progress as bars
from ...datasets import TRAINING, DatasetError, Record, SequenceError
from .errors import DataError

STRIDE = 5
"""Of a video every STRIDE-th frame is kept: neighbours teach little and records cost memory."""


def read_layout(
    name: str, root: str | Path, *, stride: int = STRIDE, progress: bool = True
) -> list[Record]:
    """Records of the data set `name` (a key of ``datasets.TRAINING``) under `root`.

    stride: keep every stride-th frame of a video. Raises DataError for an unknown name, a folder
    that lacks the layout's files, or annotations that cannot be read.
    """
    if name not in TRAINING:
        raise DataError(f"layout {name!r}: unknown; choose from {', '.join(TRAINING)}")
    if stride < 1:
        raise DataError(f"stride {stride}: need 1 or more")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{name} root {root}: no such folder; give the data set's top folder")
    found = TRAINING[name](root, stride)
    bar = bars.progress(found, name, unit="img", show=progress, leave=False)
    try:
        records = list(bar)
    except SequenceError as error:
        raise DataError(f"{name} video {error}; complete or remove it") from error
    except (DatasetError, OSError) as error:
        raise DataError(f"{name} root {root}: {error}") from error
    if not records:
        raise DataError(f"{name} root {root}: no annotated picture in it; give the top folder")
    return records
