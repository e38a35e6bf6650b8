"""The training loop: schedule, EMA, checkpoints, resume, log."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from ..progress import progress
from ..tracker.checkpoint import load_checkpoint, load_imagenet, save_checkpoint
from ..tracker.checkpoint.store import how_to_make, load_fitting, load_state, shipped
from ..tracker.config import NetworkConfig, load_config
from ..tracker.errors import ConfigError
from ..tracker.factory import SYSTEMS
from ..tracker.network.base import CropNet
from ..tracker.settings import build, flat, merge
from .config import TrainConfig, load_train_config
from .data import DataError, make_loader
from .data.photometric import Photometric
from .data.sampler import Part
from .freeze import Frozen
from .kept import Log, save_resume_point, write_whole
from .objectives import objective
from .protocol import check_protocol, trained_on
from .replicas import Gradients, Objective, Replicas
from .schedule import learning_rate, make_optimiser
from .validation import Validation


def pick_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is some, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


class Ema:
    """Exponential moving average of the weights, slower to forget as training goes on."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        own, new = self.net.state_dict(), net.state_dict()
        floats = [k for k, v in own.items() if v.is_floating_point()]
        torch._foreach_lerp_([own[k] for k in floats], [new[k] for k in floats], 1 - decay)


def _batches(
    config: TrainConfig, network: NetworkConfig, start: int, pin: bool, replicas: Replicas
) -> Iterator[Mapping[str, Tensor]]:
    """This process's parts of all batches from step ``start`` on."""
    if not config.data.root and not config.data.layouts:
        raise ConfigError(
            "data.root is empty: give the folder that holds index.jsonl, e.g. "
            f"duml-tracker train {config.name} --set data.root=DIR, or public data sets, e.g. "
            "--set 'data.layouts={got10k: DIR}'"
        )
    parts = replicas.world * config.accumulate
    if config.batch % parts:
        raise ConfigError(
            f"batch = {config.batch}: must be a multiple of {parts}, the number of its parts "
            f"({replicas.world} processes x accumulate = {config.accumulate})"
        )
    check_protocol(config)
    try:
        loader = make_loader(
            config.data.root,
            template_size=network.template_size,
            search_size=network.search_size,
            n_search=config.support + config.query,
            n_support=config.support,
            batch_size=config.batch // parts,
            workers=config.data.workers,
            seed=config.seed,
            start=start,
            part=Part(replicas.rank * config.accumulate, config.accumulate, parts),
            pin_memory=pin,
            mix=config.data.mix or None,
            shares=config.data.shares or None,
            cache_dir=config.data.cache or None,
            layouts=config.data.layouts or None,
            grabcut_limit=config.data.grabcut_limit,
            scene_clips=config.data.scene_clips,
            distractors=config.data.distractors,
            masks=config.data.masks,
            drawn=config.data.drawn,
            zoom=config.data.zoom,
            exclude_videos=config.data.exclude_videos,
            progress=replicas.first,
            sources=config.data.sources,
        )
    except DataError as error:
        raise ConfigError(str(error)) from error
    return iter(loader)


def _seed(config: TrainConfig, step: int, part: int) -> int:
    """By step and part, so that a resumed run, and any number of processes, see the same images."""
    return ((config.seed << 32) + step + part * 0x9E3779B97F4A7C15) % 2**63


def _augment(
    batch: Mapping[str, Tensor], device: torch.device, photometric: Photometric
) -> dict[str, Tensor]:
    """Move a batch to the device; colour, blur and noise there."""
    search = batch["search"].to(device, non_blocking=True)
    b, s = search.shape[:2]
    template = photometric(batch["template"].to(device, non_blocking=True))
    flat = photometric(search.flatten(0, 1))
    masks = {k: batch[k].to(device, non_blocking=True) for k in ("mask", "outlined") if k in batch}
    return {
        **masks,
        "template": template,
        "search": flat.view(b, s, *flat.shape[1:]),
        "box": batch["box"].to(device, non_blocking=True),
    }


def train_from_config(
    config: str | Path,
    resume: bool = False,
    out: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Train and return the path of the exported weights (.safetensors, EMA).

    Everything lands in ``out`` (default ``runs/NAME``): ``config.json``, ``log.csv``, ``last.pt``
    (resume point, written atomically) and ``NAME.safetensors``; with ``validate_on`` also
    ``validation.csv`` and ``NAME.best.safetensors``. A first Ctrl-C writes a resume point and
    stops.
    """
    return train(load_train_config(config, overrides), out, resume)


def train(
    config: TrainConfig,
    out: Path | None = None,
    resume: bool = False,
    on_step: Callable[[int], object] | None = None,
) -> Path:
    """As ``train_from_config``, from a configuration in memory.

    Started by ``torchrun``, all processes train together, and the first one writes.

    Args:
        on_step: is told the number of steps after each of them.
    """
    replicas = Replicas()
    device = replicas.join(pick_device(config.device))
    try:
        return _train(config, out, resume, on_step, replicas, device)
    finally:
        replicas.leave()


def make_network(config: TrainConfig) -> tuple[CropNet, NetworkConfig]:
    """The network that a recipe trains, with random weights. Raises ConfigError."""
    recipe = how_to_make(config.size, config.tracker)
    if recipe != f"duml-tracker train {config.tracker}_{config.size}":
        raise ConfigError(
            f"tracker = {config.tracker!r}, size = {config.size!r}: it has no network of its own "
            f"to train, its weights are made by '{recipe}'"
        )
    base = dataclasses.asdict(load_config(config.size, name=config.tracker).network)
    network = build(NetworkConfig, merge(base, flat(config.network)))
    return SYSTEMS[config.tracker].network(network), network


def _train(
    config: TrainConfig,
    out: Path | None,
    resume: bool,
    on_step: Callable[[int], object] | None,
    replicas: Replicas,
    device: torch.device,
) -> Path:
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    loss, logged = objective(config.tracker)
    net, network = make_network(config)
    net = net.to(device)
    folder = Path(out) if out else Path("runs") / config.name
    folder.mkdir(parents=True, exist_ok=True)
    convert_conv2d_weight_memory_format(net, torch.channels_last)
    if config.init_from:
        load_state(net, load_checkpoint(config.init_from))
    elif config.backbone_from:
        load_imagenet(net.backbone, Path(config.backbone_from))
    elif config.warm_from:
        load_fitting(net, load_checkpoint(shipped(config.warm_from)), config.warm_parts)
    elif config.thaw_at and network.backbone.kind == "resnet50":
        raise ConfigError(
            f"thaw_at = {config.thaw_at}: the backbone would stay at random weights until then; "
            "give backbone_from=FILE, a torchvision ImageNet ResNet-50, or thaw_at=0"
        )
    frozen = Frozen(net, config.freeze, config.thaw_at, config.backbone_norms == "frozen")
    optimiser = make_optimiser(net, config)
    ema = Ema(net, config.ema)
    start = 0
    last = folder / "last.pt"
    if resume:
        start = _restore(last, net, ema, optimiser, device)
        if replicas.first:
            _save_weights(folder, ema, start, config, network)
    elif last.exists():
        raise ConfigError(f"{last} exists: add --resume to go on, or choose another --out")
    replicas.wait()
    if replicas.first:
        used = {"train": dataclasses.asdict(config), "network": dataclasses.asdict(network)}
        write_whole(folder / "config.json", json.dumps(used, indent=1))
    bf16 = config.precision == "bf16" or (config.precision == "auto" and has_fast_bf16(device))
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    generator = torch.Generator()
    photometric = Photometric(generator=generator)

    gradients = Gradients(Objective(net, loss), replicas, config.accumulate)
    watched = config.validate_on and replicas.first
    validation = Validation(config, folder, str(device), start + 1) if watched else None
    stop = _StopFlag()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop)
        log = None
        if replicas.first:
            columns = ("step", "lr", *logged, "seconds")
            log = stack.enter_context(Log(folder / "log.csv", columns, start))
        began = time.monotonic()
        mean: dict[str, float] = {}
        with replicas.one_first():
            batches = _batches(config, network, start, device.type == "cuda", replicas)
        bar = progress(total=config.steps, initial=start, unit="step", show=replicas.first)

        def arguments(step: int) -> Iterator[tuple[Any, ...]]:
            first = replicas.rank * config.accumulate
            for part in range(first, first + config.accumulate):
                generator.manual_seed(_seed(config, step, part))
                yield _augment(next(batches), device, photometric), config, autocast

        for step in range(start, config.steps):
            if step in (start, config.thaw_at):
                frozen.train(step)
                gradients.renew()
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["share"]
            try:
                optimiser.zero_grad(set_to_none=True)
                _, parts = gradients.run(arguments(step))
            except torch.cuda.OutOfMemoryError as error:
                raise ConfigError(
                    f"the device ran out of memory with batch = {config.batch} in "
                    f"{gradients.parts} parts: take more of them, --set "
                    f"accumulate={2 * config.accumulate}, or lower it, e.g. "
                    f"--set batch={max(config.batch // 2, 1)}"
                ) from error
            norm = nn.utils.clip_grad_norm_(net.parameters(), config.clip)
            # A batch with a non-finite gradient is left out; Adam's moments would keep it.
            if torch.isfinite(norm):
                optimiser.step()
                ema.update(net, step)
            if log is not None and (step % 20 == 0 or step + 1 == config.steps):
                for key in logged:
                    # A uni-modal network has no such part.
                    value = float(parts[key].detach()) if key in parts else math.nan
                    mean[key] = value if key not in mean else 0.9 * mean[key] + 0.1 * value
                bar.set_postfix(
                    {k: f"{v:.3f}" for k, v in mean.items() if k in parts}, refresh=False
                )
                seconds = f"{time.monotonic() - began:.0f}"
                log.row(step, f"{rate:.2e}", *(f"{mean[k]:.4f}" for k in logged), seconds)
            bar.update()
            done = step + 1
            if on_step is not None:
                on_step(done)
            if done == config.stop_after:
                stop.requested = True
            stop.requested = replicas.any(stop.requested, device)
            write = done % config.checkpoint_every == 0 or done == config.steps or stop.requested
            if write and replicas.first:
                _checkpoint(folder, last, net, ema, optimiser, done, config, network)
            if validation and (done % config.validate_every == 0 or done == config.steps):
                _save_weights(folder, ema, done, config, network)
                auc = validation.run(folder / f"{config.name}.safetensors", done)
                bar.write(f"step {done}: validation AUC {auc:.3f}, best {validation.best:.3f}")
            if stop.requested:
                break
        bar.close()
    replicas.wait()
    return folder / f"{config.name}.safetensors"


def _checkpoint(folder, last, net, ema, optimiser, step, config, network) -> None:  # type: ignore[no-untyped-def]
    save_resume_point(
        {
            "step": step,
            "net": net.state_dict(),
            "ema": ema.net.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        last,
    )
    _save_weights(folder, ema, step, config, network)


def _save_weights(
    folder: Path, ema: Ema, step: int, config: TrainConfig, network: NetworkConfig
) -> None:
    notes = {
        "tracker": config.tracker,
        "recipe": config.name,
        "steps": str(step),
        "batch": str(config.batch),
        "data": " + ".join(trained_on(config)),
        "date": datetime.date.today().isoformat(),
    }
    save_checkpoint(folder / f"{config.name}.safetensors", ema.net, network, notes, torch.float16)


def _restore(
    last: Path, net: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer, device: torch.device
) -> int:
    if not last.is_file():
        raise ConfigError(f"nothing to resume: {last} does not exist; start without --resume")
    try:
        state = torch.load(last, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        ema.net.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        return int(state["step"])
    except Exception as error:  # a damaged or foreign file can raise nearly anything
        raise ConfigError(
            f"{last} cannot be resumed from ({error}): it is damaged or of another network; "
            "remove it to start again"
        ) from error


def has_fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    with contextlib.suppress(AttributeError, RuntimeError):
        return bool(torch.cpu._is_avx512_bf16_supported())
    return False


class _StopFlag:
    """Turns the first SIGINT or SIGTERM into a request; the second one ends the process."""

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> _StopFlag:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._former[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: Any) -> None:
        self.requested = True
        signal.signal(number, self._former[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
