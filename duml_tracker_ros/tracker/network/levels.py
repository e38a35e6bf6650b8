"""Which maps of a backbone are handed out, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ..errors import ConfigError
from ..network_config import BackboneConfig


class Backbone(nn.Module):
    """Maps crops [B, 3, S, S], S = 32 k + 1, to the maps that a configuration asks for.

    Made from a `BackboneConfig`. A level of stride s has (S - 1) / s + 1 cells a side; maps of
    ``shallow`` strides come first, then the levels, finest first in both.

    Attributes:
        channels: of the levels. shallow_channels: of the shallow maps.
    """

    channels: tuple[int, ...]
    shallow_channels: tuple[int, ...]


def level_channels(
    config: BackboneConfig, known: Mapping[int, int], shallow: Mapping[int, int] | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the channels of the levels and of the shallow maps.

    Args:
        known: channels by stride, and
        shallow: those of the shallow maps, where they differ.

    Raises:
        ConfigError: a stride that the backbone does not have.
    """
    tables = {"strides": known, "shallow": known if shallow is None else shallow}
    for key, table in tables.items():
        missing = [s for s in getattr(config, key) if s not in table]
        if missing:
            raise ConfigError(f"network.backbone.{key}: {missing} not among {list(table)}")
    levels, finer = (tuple(t[s] for s in getattr(config, k)) for k, t in tables.items())
    return levels, finer
