"""Which maps of a backbone are handed out, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping

from ..config import BackboneConfig
from ..errors import ConfigError


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
