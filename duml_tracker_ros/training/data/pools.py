"""Weighted draws of targets, tracks and backgrounds from a bank."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .bank import Bank

SOURCE_WEIGHT: Mapping[str, float] = {"davis": 2.0, "drone_rgb": 0.7, "bccd": 0.5}
"""Factors on the draw of a source; the base is the square root of its size."""


@dataclass
class Pool:
    """Items drawn with the weights of their sources."""

    groups: list[list] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    total: float = 0.0

    @classmethod
    def of(cls, items: Mapping[str, list], shares: Mapping[str, float] | None = None) -> Pool:
        """Items by source, drawn by the sources' sizes, or by shares of them."""
        pool = cls()
        for source, group in items.items():
            size = math.sqrt(len(group)) * SOURCE_WEIGHT.get(source, 1.0)
            pool.total += shares[source] if shares else size
            pool.groups.append(group)
            pool.weights.append(pool.total)
        return pool

    def __bool__(self) -> bool:
        return bool(self.groups)

    def draw(self, rng: random.Random) -> Any:
        group = rng.choices(self.groups, cum_weights=self.weights)[0]
        return group[int(rng.random() * len(group))]


def still_targets(bank: Bank, outlined: bool = False) -> dict[str, list[tuple[int, int]]]:
    """Usable (record, target) pairs per source; only those of known outline if `outlined`."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, record in enumerate(bank.records):
        for j, target in enumerate(record.targets):
            _, _, w, h = target.box
            if (
                min(w, h) >= 7
                and w * h >= 120
                and w * h <= 0.4 * record.width * record.height
                and max(w, h) <= 6 * min(w, h)
                and (target.polygon or not outlined)
            ):
                found[record.source].append((i, j))
    return found


def tracks(bank: Bank, outlined: bool = False) -> dict[str, list[list[tuple[int, int]]]]:
    """Video tracks per source, without boxes too small to see; see `still_targets`."""
    found: dict[str, list[list[tuple[int, int]]]] = defaultdict(list)
    for track in bank.tracks:
        good = [at for at in track if min(bank.target(at).box[2:]) >= 5]
        good = [at for at in good if bank.target(at).polygon or not outlined]
        if len(good) > 1:
            found[bank.records[good[0][0]].source].append(good)
    return found


def backgrounds(bank: Bank) -> dict[str, list[int]]:
    """Pictures large enough to lie behind a target, per source."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(bank.records):
        if min(record.width, record.height) >= 64:
            found[record.source].append(i)
    return found
