"""Files of other projects: read without running any code of theirs, keys translated into ours."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...media.plain_files import no_file
from ..errors import WeightsError
from .store import COUNTER, absent, check_tensor


def read_foreign(path: str | Path, allowed: Iterable[str] = ()) -> Any:
    """What torch saved in a file: tensors and plain containers, nothing that could run code.

    Args:
        allowed: full names of classes that the file may hold besides. They are not imported: an
            empty class stands for each, which keeps the attributes and has no behaviour.

    Raises:
        WeightsError: no such file, a damaged one, or one with other classes, which are named.
    """
    path = Path(path)
    if not path.is_file() or no_file(path):
        raise WeightsError(f"weights file {path} {absent(path)}")
    try:
        with _stand_ins(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = _unknown_class(str(error))
        if found:
            raise WeightsError(
                f"{path} holds an object of {found!r}, which is neither a tensor nor among the "
                "classes such files are known to hold; it was not loaded, because unpickling it "
                "could run any code. Save its 'state_dict' alone with torch.save if you trust it"
            ) from error
        raise WeightsError(_damaged(path, error)) from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise WeightsError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    kind = "" if zipfile.is_zipfile(path) else " (not an archive of torch.save, perhaps cut off)"
    text = str(error).partition("\n")[0].strip() or type(error).__name__
    return f"{path} is not a readable weight file{kind}: {text}"


def _unknown_class(message: str) -> str | None:
    """The class or function that torch's restricted unpickler refused, from what it says."""
    found = re.search(r"unsupported (?:global: )?(?:GLOBAL|class) ([\w.]+)", message, re.IGNORECASE)
    return found[1] if found else None


@contextmanager
def _stand_ins(names: Iterable[str]) -> Iterator[None]:
    """Let torch's restricted unpickler make empty classes of these names."""
    made: list[Any] = []
    for name in names:
        module, _, short = name.rpartition(".")
        made.append(type(short, (), {"__module__": module, "__qualname__": short}))
    torch.serialization.add_safe_globals(made)
    try:
        yield
    finally:
        # Parts of torch that were loaded meanwhile may have allowed classes of their own.
        others = [kept for kept in torch.serialization.get_safe_globals() if kept not in made]
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(others)


def tensors(path: str | Path, found: Any, group: str) -> dict[str, Tensor]:
    """Named tensors of a file: those under ``group``, or all if there is no such group.

    The prefix ``module.`` of a network trained on several devices is cut off. Raises WeightsError
    when the file holds something else.
    """
    if isinstance(found, Mapping) and isinstance(found.get(group), Mapping):
        found = found[group]
    if not isinstance(found, Mapping) or not found:
        raise WeightsError(f"{path} holds no named tensors but {type(found).__name__}")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path}: {key!r} is a {type(value).__name__}, not a tensor")
    return {key.removeprefix("module."): value for key, value in found.items()}


def translate(
    path: str | Path, net: nn.Module, state: Mapping[str, Tensor], theirs: Callable[[str], str]
) -> dict[str, Tensor]:
    """The tensors of a file under the names of our network, each of which must be there.

    Args:
        net: tells names and shapes alone; it may be on the device ``meta``.
        theirs: our name of a tensor -> the file's.

    Raises:
        WeightsError: names the first key that is missing, of another shape or not finite.
    """
    out = {}
    for key, value in net.state_dict().items():
        if key.endswith(COUNTER):
            continue
        name = theirs(key)
        if name not in state:
            raise WeightsError(f"{path}: tensor {name!r} is missing")
        # A 1x1 convolution there may be a vector here.
        if [d for d in state[name].shape if d != 1] != [d for d in value.shape if d != 1]:
            raise WeightsError(
                f"{path}: tensor {name!r} has shape {tuple(state[name].shape)}, "
                f"the network wants {tuple(value.shape)}"
            )
        check_tensor(Path(path), name, state[name])
        out[key] = state[name].detach().reshape(value.shape).to(value.dtype)
    return out
