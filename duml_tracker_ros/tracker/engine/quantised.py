"""Where int8 graphs lie: beside the weights they were made from, or in the user's cache.

A graph is a file of its own because making one takes crops to calibrate with, which nobody has on
a vehicle. Two checksums stand beside it, its own and that of the weights, so that neither a damaged
graph nor one of other weights is ever run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from ..checkpoint import Checkpoint
from ..checkpoint.store import absent
from ..errors import WeightsError
from ..network_config import NetworkConfig

VERSION = 1
"""Of how graphs are quantised; those in the cache are made anew when it changes."""

AGAIN = "make it anew with 'duml-tracker export --int8', or delete the graph"


def beside(weights: Path, tracker: str) -> Path:
    """The int8 graph of a tracker beside its weights."""
    return weights.with_suffix(f".{tracker}.int8.onnx")


def load_quantised(tracker: str, checkpoint: Checkpoint) -> bytes | None:
    """The int8 graph made from these weights; None if there is none.

    Raises:
        WeightsError: there is one, and it is damaged or of other weights; names the remedy.
    """
    path = beside(checkpoint.path, tracker)
    if not os.path.lexists(path):
        return None
    for file in (path, _notes(path)):
        if not file.is_file():
            raise WeightsError(f"{file} {absent(file)}: {AGAIN}")
    try:
        model, notes = path.read_bytes(), os.fsdecode(_notes(path).read_bytes())
    except OSError as error:
        raise WeightsError(f"{error.filename}: {error.strerror}: {AGAIN}") from error
    lines = (line.split(maxsplit=1) for line in notes.splitlines())
    known = {line[1]: line[0] for line in lines if len(line) == 2}
    if known.get(path.name) != hashlib.sha256(model).hexdigest():
        raise WeightsError(f"{path} does not match {_notes(path).name}: {AGAIN}")
    if known.get(checkpoint.path.name) != checkpoint.sha256:
        raise WeightsError(f"{path} was made from other weights than {checkpoint.path}: {AGAIN}")
    return model


def save_quantised(model: bytes, path: Path, checkpoint: Checkpoint) -> None:
    """Write an int8 graph and the checksums of it and its weights, each atomically.

    A reader between the two finds that they do not match.
    """
    _write(path, model)
    lines = (
        f"{hashlib.sha256(model).hexdigest()}  {path.name}",
        f"{checkpoint.sha256}  {checkpoint.path.name}",
    )
    _write(_notes(path), os.fsencode("\n".join(lines) + "\n"))


def untrained(tracker: str, network: NetworkConfig, make: Callable[[], bytes]) -> bytes:
    """The int8 graph of an untrained network, from the cache or made and put there.

    Found by what it is made from, and believed only if its content has the checksum in its name.
    """
    sizes = "template_size", "search_size"
    shape = {k: v for k, v in dataclasses.asdict(network).items() if k not in sizes}
    about = VERSION, tracker, shape, torch.__version__
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    folder = cache_folder()
    for path in folder.glob(f"{key}-*.onnx"):
        model = path.read_bytes()
        if path.stem == f"{key}-{hashlib.sha256(model).hexdigest()}":
            return model
        path.unlink(missing_ok=True)
    model = make()
    # Without a place to keep it, it is made anew the next time.
    with contextlib.suppress(OSError):
        _write(folder / f"{key}-{hashlib.sha256(model).hexdigest()}.onnx", model)
    return model


def cache_folder() -> Path:
    """Where graphs are kept that can be made anew at any time."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "duml_tracker_ros" / "int8"


def _notes(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(partial).chmod(0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
