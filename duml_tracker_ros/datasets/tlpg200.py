"""TLPG's combined set: 200 sequences drawn from LaSOT, VOT2018 and OTB2015 (section 4.1).

Which ones the paper does not say; here they are drawn once and for all. Below the root lie the data
sets in the folders ``lasot``, ``vot2018`` and ``otb``.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from .base import Dataset, DatasetError, Sequence, SequenceError, matches
from .lasot import load_lasot
from .otb import load_otb
from .vot import vot

COUNT = 200
PARTS = {"lasot": load_lasot, "vot2018": vot("vot2018"), "otb": load_otb}


def load_tlpg200(root: Path, pattern: str | None = None) -> Dataset:
    """All in one pass; sequences are named ``lasot/car-1``, ``vot2018/bag``, ``otb/Tiger1``."""
    missing = [name for name in PARTS if not (root / name).is_dir()]
    if missing:
        raise DatasetError(f"{root}: expected the folders {', '.join(PARTS)}; missing: {missing}")
    found: list[Sequence] = []
    problems: list[SequenceError] = []
    for part, load in PARTS.items():
        data = load(root / part, None)
        found += [replace(s, name=f"{part}/{s.name}", regions=None) for s in data.sequences]
        problems += [SequenceError(f"{part}/{p.name}", p.reason) for p in data.problems]
    if len(found) > COUNT:
        found = sorted(random.Random(COUNT).sample(found, COUNT), key=lambda s: s.name)
    chosen = [s for s in found if matches(s.name, pattern)]
    if not chosen:
        raise DatasetError(f"no sequence of {root} matches --sequences {pattern!r}")
    return Dataset("tlpg200", chosen, problems)
