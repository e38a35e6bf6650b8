"""Which trackers there are, and all that belongs to each: one record a tracker."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ConfigError

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Registration:
    """All that belongs to a tracker.

    Python objects are named ``module:object`` and imported when somebody needs them, so that a name
    costs nothing and the tracker knows nothing of its training.

    Attributes:
        name: in commands, in parameters and in names of files.
        system: its class, a ``FrameTracker``, which says what network and graphs it needs.
        objective: what trains its network, a ``training.objectives.Objective``; empty without one.
        settings: the class of its settings: ``TrackerConfig``, or one derived from it.
        recorded: the class for ``engine: cuda_graph``; empty without one.
        borrows: the tracker whose networks it takes in the sizes that are not its own.
        folder: where its ``configs/`` and ``weights/`` lie, in files of its name.
        imported: sizes whose weights come from a public project, with that project's name for
            `duml-tracker import`.
    """

    name: str
    system: str
    objective: str = ""
    settings: str = f"{__package__}.config:TrackerConfig"
    recorded: str = ""
    borrows: str = ""
    folder: Path = HERE
    imported: Mapping[str, str] = field(default_factory=dict)

    @property
    def configs(self) -> Path:
        return self.folder / "configs"

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    def weights_stem(self, size: str) -> str:
        """Name of the weights of a size, and of the recipe that makes them."""
        own = f"{self.name}_{size}"
        if not self.borrows or (self.configs / f"{own}.yaml").is_file():
            return own
        return f"{self.borrows}_{size}"


def resolve(path: str) -> Any:
    """The object that ``module:object`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def registration(name: str) -> Registration:
    """The record of a tracker. Raises ConfigError for an unknown one."""
    if name not in REGISTRY:
        raise ConfigError(f"unknown tracker {name!r}; choose from {', '.join(REGISTRY)}")
    return REGISTRY[name]


def _shipped(name: str, system: str, objective: str, **more: Any) -> Registration:
    """A tracker of this package."""
    training = f"{__package__.rpartition('.')[0]}.training"
    system, objective = f"{__package__}.systems.{system}", f"{training}.{objective}"
    return Registration(name, system, objective, **more)


REGISTRY: dict[str, Registration] = {
    record.name: record
    for record in (
        _shipped(
            "duml",
            "duml:DumlTracker",
            "objective:OBJECTIVE",
            recorded=f"{__package__}.systems.cuda_graph_duml:CudaGraphDuml",
        ),
        _shipped(
            "drol_rpn",
            "drol:DrolTracker",
            "objective:OFFLINE_OBJECTIVE",
            borrows="duml",
            imported={"pysot": "pysot"},
        ),
        _shipped("drol_fc", "drol:DrolFcTracker", "fc_objective:OBJECTIVE"),
        _shipped("drol_mask", "drol_mask:DrolMaskTracker", "mask_objective:OBJECTIVE"),
        _shipped("fcot", "fcot:FcotTracker", "fcot_objective:OBJECTIVE"),
        _shipped("siamrcr", "siamrcr:SiamRcrTracker", "rcr_objective:OBJECTIVE"),
        _shipped("tlpg", "tlpg:TlpgTracker", "tlpg_objective:OBJECTIVE"),
    )
}
"""The trackers, by name."""

TRACKERS = tuple(REGISTRY)
