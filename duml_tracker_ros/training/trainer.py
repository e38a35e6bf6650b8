"""The training loop: schedule, moving average, checkpoints, resume, log."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from ..tracker.checkpoint import load_checkpoint, load_imagenet, save_checkpoint
from ..tracker.checkpoint.store import load_fitting, load_state, shipped
from ..tracker.compute.device import has_fast_bf16
from ..tracker.errors import ConfigError
from ..tracker.network.base import CropNet
from ..tracker.network_config import NetworkConfig
from .config import TrainConfig
from .ema import Ema
from .feed import Feed
from .freeze import Frozen
from .kept import write_whole
from .networks import make_network
from .objectives import objective
from .protocol import trained_on
from .replicas import Gradients, LossModule, Replicas
from .resume import ResumePoint
from .schedule import learning_rate, make_optimiser
from .step_log import StepLog
from .stop import StopFlag
from .validation import Validation


def in_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Whether a training computes in bf16 on a device."""
    fast = config.precision == "auto" and has_fast_bf16(device, vectors=True)
    return config.precision == "bf16" or fast


def warm(net: CropNet, network: NetworkConfig, config: TrainConfig) -> None:
    """Load what a recipe's weights start from. Raises ConfigError, WeightsError."""
    if config.init_from:
        load_state(net, load_checkpoint(config.init_from))
    elif config.backbone_from:
        load_imagenet(net.backbone, Path(config.backbone_from))
    elif config.warm_from:
        taken = load_fitting(net, load_checkpoint(shipped(config.warm_from)), config.warm_parts)
        _require_all_frozen(net, taken, config)
    elif config.thaw_at and network.backbone.kind == "resnet50":
        raise ConfigError(
            f"thaw_at = {config.thaw_at}: the backbone would stay at random weights until then; "
            "give backbone_from=FILE, a torchvision ImageNet ResNet-50, or thaw_at=0"
        )


def _require_all_frozen(net: CropNet, taken: Sequence[str], config: TrainConfig) -> None:
    """Raise ConfigError where a part that stays as it is would stay random."""
    frozen = tuple(f"{part}." for part in config.freeze)
    missing = {k for k, _ in net.named_parameters() if k.startswith(frozen)} - set(taken)
    if missing:
        raise ConfigError(
            f"freeze = {list(config.freeze)}: {min(missing)} would stay random, {config.warm_from} "
            "has no tensor that fits; take other weights, or leave that part out of freeze"
        )


class Trainer:
    """One training: a network with all that makes it learn, and the folder that it leaves.

    Args:
        resume: go on from the folder's resume point.

    Raises:
        ConfigError: the recipe cannot be trained, or there is nothing to resume, or a resume point
            that would be written over.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        replicas: Replicas,
        device: torch.device,
        resume: bool = False,
    ) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.folder, self.replicas, self.device = config, folder, replicas, device
        learned = objective(config.tracker)
        self._parts = learned.parts
        net, self.network = make_network(config)
        self.net = net.to(device)
        folder.mkdir(parents=True, exist_ok=True)
        convert_conv2d_weight_memory_format(net, torch.channels_last)
        warm(net, self.network, config)
        self._frozen = Frozen(net, config.freeze, config.thaw_at, config.backbone_norms == "frozen")
        self._optimiser = make_optimiser(net, config)
        self._ema = Ema(net, config.ema)
        self.start = self._resume() if resume else self._begin()
        self._autocast = torch.autocast(
            device.type, torch.bfloat16, enabled=in_bf16(config, device)
        )
        self._gradients = Gradients(LossModule(net, learned.loss), replicas, config.accumulate)

    @property
    def weights(self) -> Path:
        """The exported weights: the moving average."""
        return self.folder / f"{self.config.name}.safetensors"

    @property
    def resume_point(self) -> Path:
        return self.folder / "last.pt"

    def run(self, on_step: Callable[[int], object] | None = None) -> Path:
        """Make all steps, or those until a stop is asked for; return the path of the weights.

        Args:
            on_step: is told the number of steps after each of them.
        """
        config, first = self.config, self.replicas.first
        if first:
            used = {
                "train": dataclasses.asdict(config),
                "network": dataclasses.asdict(self.network),
            }
            write_whole(self.folder / "config.json", json.dumps(used, indent=1))
        watched = config.validate_on and first
        begin = self.start + 1
        validation = Validation(config, self.folder, str(self.device), begin) if watched else None
        table = self.folder / "log.csv" if first else None
        with StopFlag() as stop, StepLog(table, self._parts, self.start, config.steps) as log:
            with self.replicas.one_first():
                feed = Feed(config, self.network, self.replicas, self.device, self.start)
            for step in range(self.start, config.steps):
                rate = learning_rate(step, config)
                parts = self._step(step, rate, feed)
                log.step(step, rate, parts)
                done = step + 1
                if on_step is not None:
                    on_step(done)
                stop.requested |= done == config.stop_after
                stop.requested = self.replicas.any(stop.requested, self.device)
                last = done == config.steps
                if first and (last or stop.requested or done % config.checkpoint_every == 0):
                    self._checkpoint(done)
                if validation and (last or done % config.validate_every == 0):
                    self._save_weights(done)
                    auc = validation.run(self.weights, done)
                    log.say(f"step {done}: validation AUC {auc:.3f}, best {validation.best:.3f}")
                if stop.requested:
                    break
        self.replicas.wait()
        return self.weights

    def _step(self, step: int, rate: float, feed: Feed) -> Mapping[str, Tensor]:
        """Learn from one batch; what its loss is made of."""
        if step in (self.start, self.config.thaw_at):
            self._frozen.train(step)
            self._gradients.renew()
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["share"]
        batches = ((batch, self.config, self._autocast) for batch in feed.parts(step))
        try:
            self._optimiser.zero_grad(set_to_none=True)
            _, parts = self._gradients.run(batches)
        except torch.cuda.OutOfMemoryError as error:
            batch, accumulate = self.config.batch, self.config.accumulate
            raise ConfigError(
                f"the device ran out of memory with batch = {batch} in {self._gradients.parts} "
                f"parts: take more of them, --set accumulate={2 * accumulate}, or lower it, e.g. "
                f"--set batch={max(batch // 2, 1)}"
            ) from error
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        # A batch with a non-finite gradient is left out; Adam's moments would keep it.
        if torch.isfinite(norm):
            self._optimiser.step()
            self._ema.update(self.net, step)
        return parts

    def _begin(self) -> int:
        if self.resume_point.exists():
            raise ConfigError(
                f"{self.resume_point} exists: add --resume to go on, or choose another --out"
            )
        self.replicas.wait()
        return 0

    def _resume(self) -> int:
        start = ResumePoint.restore(
            self.resume_point, self.net, self._ema, self._optimiser, self.device
        )
        if self.replicas.first:
            self._save_weights(start)
        self.replicas.wait()
        return start

    def _checkpoint(self, step: int) -> None:
        ResumePoint.of(step, self.net, self._ema, self._optimiser).save(self.resume_point)
        self._save_weights(step)

    def _save_weights(self, step: int) -> None:
        notes = {
            "tracker": self.config.tracker,
            "recipe": self.config.name,
            "steps": str(step),
            "batch": str(self.config.batch),
            "data": " + ".join(trained_on(self.config)),
            "date": datetime.date.today().isoformat(),
        }
        save_checkpoint(self.weights, self._ema.net, self.network, notes, torch.float16)
