"""The papers' own comparisons as data: which settings make which row, for every tracker."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..tracker.checkpoint.store import how_to_make
from ..tracker.config import load_config
from ..tracker.settings import load_yaml
from .participants import TrackerSpec
from .variants import Variants, VariantScores

TABLE = Path(__file__).parent / "ablations.yaml"
PLUG_ON = "plug_on"
"""Name of the comparison of Siamese trackers without and with DROL's online module."""


@dataclass(frozen=True)
class Row:
    """One row of a comparison.

    Attributes:
        name: what is changed.
        tracker: which tracker runs, with the weights of ``weights`` (a tracker's name).
        settings: dotted keys; ``training`` those of a network that has to be trained first, whose
            name in the command is ``network``.
        paper: where the row stands in the papers.
        group: rows of one group are compared with the first of it.
    """

    name: str
    tracker: str
    weights: str
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    paper: str = ""
    group: str = ""
    network: str = ""


@cache
def _table() -> dict[str, Any]:
    return load_yaml(TABLE)


def ablation_names() -> tuple[str, ...]:
    """Trackers that have a table of their own, and `PLUG_ON`."""
    return (*_table()["systems"], PLUG_ON)


def ablation_rows(name: str, size: str = "compact") -> list[Row]:
    """The rows of one comparison."""
    return list(_plug_on(size) if name == PLUG_ON else _system(name))


def _system(name: str) -> Iterator[Row]:
    for entry in _table()["systems"][name]:
        network = entry.get("network", "")
        yield Row(
            entry["row"],
            name,
            name,
            entry.get("set", {}),
            _table()["networks"][network] if network else {},
            entry.get("paper", ""),
            group=entry.get("group", ""),
            network=network,
        )


def _plug_on(size: str) -> Iterator[Row]:
    table = _table()
    for base in table["plug_on"]:
        network = _network_settings(base["network"], base["tracker"], size)
        for entry in table["plug_on_rows"]:
            settings = {**network, **base.get("set", {}), **entry.get("set", {})}
            name = f"{base['base']} {entry['row']}"
            yield Row(name, base["tracker"], base["network"], settings, group=base["base"])


def _network_settings(source: str, target: str, size: str) -> dict[str, Any]:
    """Return the settings in which the networks of two trackers differ, as dotted keys."""
    theirs = dataclasses.asdict(load_config(size, name=source).network)
    own = dataclasses.asdict(load_config(size, name=target).network)
    return {f"network.{key}": value for key, value in theirs.items() if own[key] != value}


def network_names() -> tuple[str, ...]:
    """Networks that some rows need and that are not in the package."""
    return tuple(_table()["networks"])


def run_row(
    row: Row, variants: Mapping[str, Variants], files: Mapping[str, str], size: str
) -> VariantScores | str:
    """Scores of a row, or the text that says what has to be made before it can run.

    Args:
        variants: by tracker.
        files: weight files by tracker or `network_names`, where there are some.
    """
    weights = row.network or row.weights
    if weights not in files:
        changes = (shlex.quote(f"{k}={json.dumps(v)}") for k, v in row.training.items())
        command = [how_to_make(size, row.weights), *(f"--set {c}" for c in changes)]
        return " ".join([*command, f"--out runs/{row.network}"] if row.network else command)
    return variants[row.tracker].run(f"{row.weights} {row.name}", row.settings, files[weights])


def variants_of(rows: list[Row], spec: TrackerSpec, **options: Any) -> dict[str, Variants]:
    """Return `Variants`, made with ``options``, for each tracker among the rows."""
    names = {row.tracker for row in rows}
    return {n: Variants(dataclasses.replace(spec, name=n), **options) for n in sorted(names)}
