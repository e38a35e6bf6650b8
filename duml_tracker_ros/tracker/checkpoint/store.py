"""Save and load weights. Nothing here ever unpickles code."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...media.addresses import without_passwords
from ...media.plain_files import no_file
from ..config import sizes
from ..errors import WeightsError
from ..network_config import NetworkConfig
from ..registry import HERE, registration
from ..settings import build

FORMAT = "duml_tracker_ros/1"
CHECKSUM_BYTES = 4096
"""More of a checksum file is not read."""
COUNTER = "num_batches_tracked"
"""Of batch norms; inference does not use it."""
PREFERRED = ("lite", "compact")
"""Sizes that a tracker is taken in where none is asked for, the best first."""


@dataclass(frozen=True)
class Checkpoint:
    """A weight file in memory.

    Attributes:
        state: name -> float32 tensor on the CPU.
        network: configuration of the network the tensors belong to.
        sha256: checksum of the file.
        notes: free text entries stored beside the tensors (recipe, date, ...).
    """

    state: dict[str, Tensor]
    network: NetworkConfig
    path: Path
    sha256: str
    notes: dict[str, str]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def save_checkpoint(
    path: Path,
    net: nn.Module,
    network: NetworkConfig,
    notes: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write weights, with their checksum beside them; return the checksum.

    Killed at any moment it leaves the former file, or the new one, and a checksum that fits.
    ``dtype`` is that of matrices and kernels; vectors (norms, biases, bins) keep their own.
    """
    return save_state(path, net.state_dict(), network, notes, dtype)


def save_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    network: NetworkConfig,
    notes: dict[str, str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """``save_checkpoint`` of named tensors, which may be a part of a network alone."""
    state = {
        k: (v.to(dtype) if v.is_floating_point() and v.dim() > 1 else v).contiguous().cpu()
        for k, v in tensors.items()
        if not k.endswith(COUNTER)
    }
    metadata = {
        **(notes or {}),
        "format": FORMAT,
        "network": json.dumps(dataclasses.asdict(network)),
    }
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, str(partial), metadata)
        digest = file_sha256(partial)
        # Two files do not change in one step: in between either one fits.
        former = [file_sha256(path)] if path.is_file() else []
        _write_checksums(path, [digest, *former])
        _sync(partial)
        os.replace(partial, path)
        _write_checksums(path, [digest])
    except (SafetensorError, OSError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise WeightsError(f"{path} cannot be written: {reason}; a former file stays") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return digest


def _write_checksums(path: Path, digests: Sequence[str]) -> None:
    """Write the file beside weights that says which content they may have."""
    beside = path.with_suffix(".sha256")
    partial = beside.with_suffix(".sha256.partial")
    try:
        name = os.fsencode(path.name)
        partial.write_bytes(b"".join(d.encode() + b"  " + name + b"\n" for d in digests))
        _sync(partial)
        os.replace(partial, beside)
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Have the content on disk before a name says that it is there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _checksums(path: Path) -> list[str] | None:
    """The digests that the file beside weights allows; None without one."""
    beside = path.with_suffix(".sha256")
    if not os.path.lexists(beside):
        return None
    if not beside.is_file():
        raise WeightsError(f"{beside} is no file: delete it, or fetch it again with the weights")
    with beside.open("rb") as file:
        lines = file.read(CHECKSUM_BYTES).decode("ascii", "replace").splitlines()
    digests = [line.split()[0].lower() for line in lines if line.strip()]
    if not digests or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests):
        raise WeightsError(
            f"{beside} holds no SHA-256 checksum: fetch it again with the weights, or delete it if "
            "you made them"
        )
    return digests


def default_weights(size: str, name: str = "duml", kind: str = "default") -> Path:
    """Path of the weights shipped for a tracker in a size. Raises WeightsError that says how to
    make some.

    Args:
        kind: ``default``, or ``permissive``: trained on data of permissive licence alone.
    """
    suffix = "" if kind == "default" else f"_{kind}"
    record = registration(name)
    path = record.weights / f"{record.weights_stem(size)}{suffix}.safetensors"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in record.weights.glob("*.safetensors")))
        raise WeightsError(
            f"no {kind} weights are shipped for tracker {name!r} in size {size!r} (there are "
            f"{shipped}): "
            f"give weights=FILE (.safetensors), or make some with '{how_to_make(size, name)}'"
        )
    return path


def usual_size(name: str = "duml") -> str:
    """The size that a tracker is taken in where none is asked for: the best that weights are
    shipped for."""
    known, record = sizes(name), registration(name)
    for size in PREFERRED:
        path = record.weights / f"{record.weights_stem(size)}.safetensors"
        if size in known and path.is_file():
            return size
    return known[0] if known else PREFERRED[-1]


def how_to_make(size: str, name: str) -> str:
    """The command that makes weights for a tracker in a size."""
    record = registration(name)
    if size in record.imported:
        return f"duml-tracker import {record.imported[size]} FILE --out OUT.safetensors"
    return f"duml-tracker train {record.weights_stem(size)}"


def absent(path: Path) -> str:
    """Words for a path that is no file, or an empty one."""
    if path.is_file():
        return "is empty"
    return "is no file" if os.path.lexists(path) else "does not exist"


def _present(path: str | Path) -> Path:
    """The path of a weight file that is there. Raises WeightsError."""
    address, path = str(path), Path(path)
    if path.is_file() and not no_file(path):
        return path
    if re.match(r"\w{2,}:/", address):
        raise WeightsError(
            f"weights file {without_passwords(address)} is an address: fetch the file and name it"
        )
    raise WeightsError(f"weights file {path} {absent(path)}")


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a weight file and check it. Raises WeightsError that says what is wrong with it."""
    path = _present(path)
    try:
        digest, wanted = file_sha256(path), _checksums(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if wanted is not None and digest not in wanted:
        raise WeightsError(
            f"{path} does not match its checksum in {path.with_suffix('.sha256').name}: the file "
            "is damaged or was replaced; fetch it again, or delete the checksum file if you made "
            "the weights"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # a foreign file can raise nearly anything
        if zipfile.is_zipfile(path):
            raise WeightsError(_other_file(path, _names(path))) from error
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        if _is_resnet(state):
            raise WeightsError(_other_file(path, state))
        raise WeightsError(
            f"{path} is not a weight file of this package (format {metadata.get('format')!r}, "
            f"expected {FORMAT!r})"
        )
    try:
        network = build(NetworkConfig, json.loads(metadata["network"]))
    except KeyError as error:
        raise WeightsError(f"{path} carries no network description: train it anew") from error
    except RecursionError as error:
        raise WeightsError(f"{path} carries a network description nested too deep") from error
    except ValueError as error:
        raise WeightsError(f"{path} carries an unusable network description: {error}") from error
    for key, value in state.items():
        # Any other type is another reading of the same bytes.
        if value.dtype not in (torch.float32, torch.float16):
            raise WeightsError(
                f"{path}: tensor {key!r} is {str(value.dtype).removeprefix('torch.')}; weights of "
                "this package are float32 or float16"
            )
        check_tensor(path, key, value)
        state[key] = value.float()
    notes = {k: v for k, v in metadata.items() if k not in ("format", "network")}
    return Checkpoint(state, network, path, digest, notes)


def check_tensor(path: Path, key: str, value: Any) -> None:
    """Raise WeightsError for what is no tensor of finite floating-point numbers."""
    if not isinstance(value, Tensor):
        raise WeightsError(f"{path}: {key!r} is a {type(value).__name__}, not a tensor")
    if not value.is_floating_point():
        kind = str(value.dtype).removeprefix("torch.")
        raise WeightsError(f"{path}: tensor {key!r} is {kind}, not floating point")
    if not torch.isfinite(value).all():
        raise WeightsError(f"{path}: tensor {key!r} holds values that are not finite")


def _names(path: Path) -> Collection[str]:
    """Names of the tensors in a file of torch.save, as far as it can be read without its code."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # a damaged or foreign file can raise nearly anything
        return ()
    return found if isinstance(found, dict) else ()


def _is_resnet(names: Collection[str]) -> bool:
    return "layer1.0.conv1.weight" in names and "fc.weight" in names


def _other_file(path: Path, names: Collection[str]) -> str:
    """What a file is that holds no weights of this package, and what can be done with it."""
    if _is_resnet(names):
        return (
            f"{path} is a torchvision ResNet for ImageNet: a backbone, which finds no target by "
            f"itself. Train from it: duml-tracker train duml_r50 --set backbone_from={path}"
        )
    return (
        f"{path} is a file of torch.save, not a safetensors file of this package. Weights of PySOT "
        f"or DiMP are translated by 'duml-tracker import pysot {path} --out OUT.safetensors'"
    )


def load_state(net: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint into a network. Raises WeightsError naming the first key that differs."""
    own = {k: v for k, v in net.state_dict().items() if not k.endswith(COUNTER)}
    for key, value in own.items():
        if key not in checkpoint.state:
            part, of = (checkpoint.notes.get(key) for key in ("part", "tracker"))
            why = f"; the file is of the tracker {of}" if of else ""
            why = f"; the file holds a part only: {part}" if part else why
            raise WeightsError(f"{checkpoint.path}: tensor {key!r} is missing{why}")
        if checkpoint.state[key].shape != value.shape:
            raise WeightsError(
                f"{checkpoint.path}: tensor {key!r} has shape "
                f"{tuple(checkpoint.state[key].shape)}, the network wants {tuple(value.shape)}"
            )
    extra = sorted(set(checkpoint.state) - set(own))
    if extra:
        raise WeightsError(f"{checkpoint.path}: tensor {extra[0]!r} is unknown to the network")
    net.load_state_dict(checkpoint.state, strict=False)


def shipped(name: str) -> Path:
    """Path of a checkpoint, or of shipped weights by their name."""
    inside = HERE / "weights" / f"{name}.safetensors"
    return inside if not Path(name).is_file() and inside.is_file() else Path(name)


def load_fitting(net: nn.Module, checkpoint: Checkpoint, parts: Sequence[str] = ()) -> list[str]:
    """Take every tensor of a checkpoint that the network has in the same shape; their names.

    ``parts`` limits that to the modules of these names. Raises WeightsError when none fits.
    """
    own = net.state_dict()
    taken = {k: v for k, v in checkpoint.state.items() if k in own and own[k].shape == v.shape}
    for part in parts or ("",):
        if not any(k.startswith(f"{part}." if part else "") for k in taken):
            of = f"of {part} " if part else ""
            raise WeightsError(f"{checkpoint.path}: no tensor {of}in it fits the network")
    if parts:
        taken = {k: v for k, v in taken.items() if k.startswith(tuple(f"{p}." for p in parts))}
    net.load_state_dict(taken, strict=False)
    return sorted(taken)


def load_imagenet(backbone: nn.Module, path: str | Path) -> list[str]:
    """Load the published ImageNet file (.pth or .safetensors) of a backbone.

    That is torchvision's of ResNet-50, or EfficientNet-Lite0's. Returns the names that the file has
    and the backbone does not (the classifier). Raises WeightsError naming the first key that is
    missing or does not fit.
    """
    origin = getattr(backbone, "published", None)
    if origin is None:
        raise WeightsError(
            f"{path}: there is no published file for {type(backbone).__name__}; backbone_from is "
            "for the backbones resnet50 and efficientnet_lite0"
        )
    public_name = getattr(backbone, "public_name", str)
    path = _present(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as file:
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise WeightsError(f"{path} is not a readable weight file: {error}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path} holds no named tensors but {type(state).__name__}")
    own = {k: v for k, v in backbone.state_dict().items() if not k.endswith(COUNTER)}
    names = {key: public_name(key) for key in own}
    for key, value in own.items():
        name = names[key]
        if name not in state:
            raise WeightsError(f"{path}: tensor {name!r} is missing; is it a file of {origin}?")
        check_tensor(path, name, state[name])
        if state[name].shape != value.shape:
            raise WeightsError(
                f"{path}: tensor {name!r} has shape {tuple(state[name].shape)}, "
                f"the backbone wants {tuple(value.shape)}"
            )
    backbone.load_state_dict({k: state[name] for k, name in names.items()}, strict=False)
    known = set(names.values())
    return sorted(k for k in state if k not in known and not k.endswith(COUNTER))
