"""The batches of a training: drawn by processes beside it, coloured on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ..tracker.errors import ConfigError
from ..tracker.network_config import NetworkConfig
from .config import TrainConfig
from .data import Batches, DataError, make_loader
from .data.photometric import Photometric
from .data.sampler import Part
from .protocol import check_protocol
from .replicas import Replicas


class Feed:
    """This process's parts of every step's batch.

    Args:
        start: steps already made.

    Raises:
        ConfigError: the data cannot be used, or the batch does not fall into that many parts.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: NetworkConfig,
        replicas: Replicas,
        device: torch.device,
        start: int,
    ) -> None:
        self._config, self._replicas, self._device = config, replicas, device
        self._loaded = _load(config, network, replicas, device.type == "cuda", start)
        self._generator = torch.Generator()
        self._photometric = Photometric(generator=self._generator)

    def parts(self, step: int) -> Iterator[dict[str, Tensor]]:
        """The parts of a step, in order; the steps must follow each other.

        Each is ``template`` float [B, 3, Z, Z], ``search`` float [B, S, 3, X, X] and ``box``
        [B, S, 4], with masks also ``mask`` and ``outlined`` (see ``data.make_loader``).
        """
        first = self._replicas.rank * self._config.accumulate
        for part in range(first, first + self._config.accumulate):
            # By step and part, so that a resumed run, and any number of processes, see the same.
            seed = ((self._config.seed << 32) + step + part * 0x9E3779B97F4A7C15) % 2**63
            self._generator.manual_seed(seed)
            yield self._augment(next(self._loaded))

    def _augment(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Move a batch to the device; colour, blur and noise there."""
        held = {
            key: batch[key].to(self._device, non_blocking=True)
            for key in ("template", "search", "box", "mask", "outlined")
            if key in batch
        }
        template = self._photometric(held["template"])
        search = self._photometric(held["search"].flatten(0, 1))
        frames = held["search"].shape[:2]
        return {**held, "template": template, "search": search.unflatten(0, frames)}


def _load(
    config: TrainConfig, network: NetworkConfig, replicas: Replicas, pin: bool, start: int
) -> Iterator[Mapping[str, Tensor]]:
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
    batches = Batches(
        template_size=network.template_size,
        search_size=network.search_size,
        n_search=config.support + config.query,
        n_support=config.support,
        size=config.batch // parts,
        seed=config.seed,
        start=start,
        part=Part(replicas.rank * config.accumulate, config.accumulate, parts),
        pin_memory=pin,
    )
    try:
        return iter(make_loader(config.data, batches, progress=replicas.first))
    except DataError as error:
        raise ConfigError(str(error)) from error
