"""Make a tracker from its name."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from .checkpoint import Checkpoint, default_weights, load_checkpoint, usual_size
from .checkpoint.store import load_state
from .compute.device import explicit_tf32, has_fast_bf16, resolve_device
from .config import TrackerConfig, load_config, sizes
from .engine import fastest_engine, make_engine
from .engine.quantise import quantise_search
from .engine.quantised import AGAIN, beside, load_quantised, untrained
from .errors import ConfigError, TrackerError, WeightsError
from .interface import Tracker
from .network.base import CropNet
from .registry import REGISTRY, TRACKERS, registration, resolve
from .settings import flat, groups
from .systems.frame_loop import FrameTracker

AUTO = "auto"
SHIPPED = ("default", "permissive")


def system(name: str) -> type[FrameTracker[Any, Any, Any]]:
    """The class of a tracker. Raises ConfigError for an unknown one."""
    found: type[FrameTracker[Any, Any, Any]] = resolve(registration(name).system)
    return found


def create_tracker(
    name: str = "duml",
    weights: str = "default",
    device: str = "auto",
    size: str = AUTO,
    profile: bool = False,
    **overrides: Any,
) -> Tracker:
    """Make a tracker.

    Args:
        name: one of ``TRACKERS``.
        weights: ``default`` (shipped with the package), ``permissive`` (shipped, too, and trained
            on data of permissive licence alone), a path to a .safetensors file, or ``random``
            (untrained, seeded: for tests of everything but accuracy).
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        size: ``lite``, ``compact``, ``r50``, ``alexnet`` or ``pysot``, as the tracker comes in it.
            ``auto``: the one that the weights were made for; of the package's, the best.
        profile: measure stage times (``stage_times``).
        overrides: configuration keys, dotted: ``**{"online.update": "every_frame"}``.

    Raises:
        ConfigError: unknown tracker, size, key or device.
        WeightsError: missing or damaged weights.

    >>> tracker = create_tracker("duml", device="cpu")
    >>> image = np.zeros((480, 640, 3), np.uint8)
    >>> image[220:250, 300:340] = 255, 160, 0
    >>> tracker.init(image, (300, 220, 40, 30))
    >>> result = tracker.update(image)
    >>> result.state
    <TrackState.TRACKING: 'tracking'>
    >>> [round(side, -1) for side in result.box]
    [300.0, 220.0, 40.0, 30.0]
    """
    place = resolve_device(device)
    config, plain, checkpoint = load_network(name, weights, size, overrides)
    wish, matrices = config.precision, has_fast_bf16(place)
    half = wish == "bf16" or (wish in ("auto", "int8") and matrices)
    vectors = place.type == "cpu" and wish != "fp32" and has_fast_bf16(place, vectors=True)
    quantised = _quantised(config, plain, checkpoint, place)
    if config.engine == "auto":
        chosen = fastest_engine(place, quantised is not None)
        config = dataclasses.replace(config, engine=chosen)
    # OpenVINO in bf16 is as fast as in int8 and nearer to fp32.
    if config.engine in ("torch", "cuda_graph") or (
        wish == "auto" and config.engine == "openvino" and (matrices or vectors)
    ):
        quantised = None
    engine = make_engine(config.engine, place, (half or vectors) and quantised is None)
    made, record = system(name), registration(name)
    if config.engine == "cuda_graph" and not record.recorded:
        able = ", ".join(r.name for r in REGISTRY.values() if r.recorded)
        raise ConfigError(
            f"engine = {config.engine!r} is for {able}; with {name} take engine=torch"
        )
    if config.engine == "cuda_graph":
        made = resolve(record.recorded)
    net = plain if engine is None else copy.deepcopy(plain)
    try:
        net.deploy(place, half, vectors)
    except RuntimeError as error:
        raise TrackerError(f"device {device!r} failed: {error}") from error
    explicit_tf32(place, wish)
    try:
        return made(config, net, place, checkpoint, profile, engine, plain, quantised)
    except TrackerError:
        raise
    except Exception as error:  # of a library that reads a foreign graph; nearly anything
        if quantised is None or checkpoint is None:
            raise
        graph, reason = beside(checkpoint.path, name), str(error).strip().splitlines()[-1:]
        raise WeightsError(
            f"{graph} cannot be run by {config.engine} ({''.join(reason)}): {AGAIN}"
        ) from error


def _quantised(
    config: TrackerConfig, plain: CropNet, checkpoint: Checkpoint | None, device: torch.device
) -> bytes | None:
    """The search graph in int8, if it is wanted and there.

    Raises:
        ConfigError, WeightsError: it is asked for and cannot be had; names the remedy.
    """
    name, wish = config.name, config.precision
    if wish not in ("auto", "int8") or device.type != "cpu" or config.engine == "torch":
        if wish == "int8":
            place = f"device {device}" if device.type != "cpu" else "engine = 'torch'"
            raise ConfigError(
                f"precision = 'int8' is not for {place}; take engine=openvino or onnxruntime on a "
                "CPU, or precision=auto"
            )
        return None
    if checkpoint is None:
        return (
            untrained(name, config.network, lambda: _of_noise(plain, name))
            if wish == "int8"
            else None
        )
    found = load_quantised(name, checkpoint)
    if found is None and wish == "int8":
        raise ConfigError(
            f"precision = 'int8': there is no {beside(checkpoint.path, name)}; make it with "
            f"'duml-tracker export --int8 --tracker {name} --weights {checkpoint.path} "
            f"--data DIR --out {checkpoint.path.parent}', or take precision=auto"
        )
    return found


def _of_noise(plain: CropNet, name: str) -> bytes:
    """The graph of an untrained network, for tests and for times."""
    n = plain.config
    rng = np.random.default_rng(0)
    sizes = n.template_size, n.search_size
    crops = [[rng.integers(0, 255, (3, s, s), np.uint8) for s in sizes] for _ in range(4)]
    return quantise_search(*system(name).graphs(plain), [(z, x) for z, x in crops])


def load_network(
    name: str, weights: str, size: str, overrides: Mapping[str, Any]
) -> tuple[TrackerConfig, CropNet, Checkpoint | None]:
    """Configuration and network of a tracker, in eval mode with batch norms folded, on the host.

    Arguments and errors are those of ``create_tracker``.
    """
    record = registration(name)
    for key in groups(resolve(record.settings)):
        if key in overrides:
            raise ConfigError(
                f"override {key!r} is a group; name a key of it, e.g. 'online.update'"
            )
    checkpoint = None if weights in (*SHIPPED, "random") else load_checkpoint(weights)
    if size == AUTO:
        size = _size_of(name, checkpoint, overrides)
    config = load_config(size, overrides, name)
    make = system(name).network
    if weights == "random":
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(0)
        net = make(config.network)
        torch.random.set_rng_state(torch_state)
    else:
        checkpoint = checkpoint or load_checkpoint(default_weights(size, name, weights))
        _check_network(config, checkpoint)
        net = make(config.network)
        load_state(net, checkpoint)
    net.freeze()
    return config, net, checkpoint


def size_of(name: str, weights: str, overrides: Mapping[str, Any]) -> str:
    """The size in which a tracker with these weights is taken where none is named."""
    checkpoint = None if weights in ("default", "random") else load_checkpoint(weights)
    return _size_of(name, checkpoint, overrides)


def _size_of(name: str, checkpoint: Checkpoint | None, overrides: Mapping[str, Any]) -> str:
    """The size that a file was made for, or the usual one."""
    if checkpoint is not None:
        for size in sizes(name):
            if not _differences(load_config(size, overrides, name), checkpoint):
                return size
    return usual_size(name)


def _differences(config: TrackerConfig, checkpoint: Checkpoint) -> dict[str, tuple[Any, Any]]:
    """Keys in which the file's network is not the configured one, with the values of both.

    Crop sizes may differ.
    """
    file, own = (flat(dataclasses.asdict(n)) for n in (checkpoint.network, config.network))
    keys = own.keys() - {"search_size", "crop"}
    return {k: (file[k], own[k]) for k in own if k in keys and file[k] != own[k]}


def _check_network(config: TrackerConfig, checkpoint: Checkpoint) -> None:
    of = checkpoint.notes.get("tracker")
    whose = f" (of {of})" if of and of != config.name else ""
    for key, (file, own) in _differences(config, checkpoint).items():
        raise WeightsError(
            f"{checkpoint.path}{whose} was made for network.{key} = {file!r}, the configuration "
            f"of {config.name} in size {config.size!r} says {own!r}"
        )


__all__ = ["TRACKERS", "create_tracker", "system"]
