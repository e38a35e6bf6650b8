"""Several processes, and several parts of a batch, that train one network.

A step's batch falls into parts of equal size: ``accumulate`` of them in each process, one after the
other. A process is started by ``torchrun``; without it there is one. Whether parts are shared out
among processes or follow each other, the step is the same: gradients are the mean over the parts,
and so are the running statistics of batch norms, each part having begun from the same ones.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..tracker.errors import ConfigError

PATIENCE = datetime.timedelta(hours=3)
"""How long a process waits for the others: one validates while they do."""


class Replicas:
    """The processes of a training. ``rank`` 0 writes the files; ``join`` first, ``leave`` last."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.local = int(os.environ.get("LOCAL_RANK", "0"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def join(self, device: torch.device) -> torch.device:
        """Meet the other processes; the device of this one. Raises ConfigError."""
        if self.world == 1:
            return device
        if device.type == "cuda":
            if self.local >= torch.cuda.device_count():
                raise ConfigError(
                    f"process {self.local} of this machine has no CUDA device: there are "
                    f"{torch.cuda.device_count()}; start torchrun with that many processes"
                )
            device = torch.device("cuda", self.local)
            torch.cuda.set_device(device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
        return device

    def leave(self) -> None:
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            dist.barrier()

    @contextlib.contextmanager
    def one_first(self) -> Iterator[None]:
        """Process 0 runs what is inside before the others do: they find what it has cached."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in one of the processes."""
        if self.world == 1:
            return flag
        found = torch.tensor([float(flag)], device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found.item())

    def mean_(self, values: list[Tensor]) -> None:
        """Replace values by their mean over the processes."""
        if self.world == 1 or not values:
            return
        flat = torch.cat([v.flatten() for v in values])
        dist.all_reduce(flat)
        flat /= self.world
        for value, part in zip(values, flat.split([v.numel() for v in values]), strict=True):
            value.copy_(part.view_as(value))


class LossModule(nn.Module):
    """A network with its loss, as one module whose ``forward`` every replica calls."""

    def __init__(self, net: nn.Module, loss: Callable[..., tuple[Tensor, dict[str, Tensor]]]):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, *args: Any) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = self.loss(self.net, *args)
        # What is shown only has no gradient: replicas would wait for it.
        return total, {key: value.detach() for key, value in parts.items()}


class Gradients:
    """Gradients of a step, over all parts of its batch in all processes.

    Args:
        accumulate: parts of the batch in each process.
    """

    def __init__(self, objective: LossModule, replicas: Replicas, accumulate: int) -> None:
        self.objective, self.replicas, self.accumulate = objective, replicas, accumulate
        self.module: nn.Module = objective
        norms = [m for m in objective.modules() if isinstance(m, nn.BatchNorm2d)]
        pairs = [(m.running_mean, m.running_var) for m in norms]
        self._statistics = [b for pair in pairs for b in pair if b is not None]
        self.renew()

    @property
    def parts(self) -> int:
        """Parts of a batch, of all processes together."""
        return self.replicas.world * self.accumulate

    def renew(self) -> None:
        """To be called when parameters were frozen or thawed: replicas exchange what learns."""
        if self.replicas.world > 1:
            self.module = DistributedDataParallel(
                self.objective, broadcast_buffers=False, find_unused_parameters=True
            )

    def run(self, batches: Iterator[tuple[Any, ...]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Forth and back over this process's parts; the last loss and what it is made of.

        batches: arguments of the loss behind the network, one part after the other.
        """
        if self.parts == 1:
            total, shown = self.module(*next(batches))
            total.backward()
            return total, shown
        before = [b.clone() for b in self._statistics]
        sums = [torch.zeros_like(b) for b in before]
        for part in range(self.accumulate):
            with self._exchange(part + 1 == self.accumulate):
                total, shown = self.module(*next(batches))
                (total / self.accumulate).backward()
            if before:
                torch._foreach_add_(sums, self._statistics)
                torch._foreach_copy_(self._statistics, before)
        if before:
            torch._foreach_div_(sums, self.accumulate)
            self.replicas.mean_(sums)
            torch._foreach_copy_(self._statistics, sums)
        return total, shown

    def _exchange(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once a step, with the last part."""
        if last or not isinstance(self.module, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.module.no_sync()
