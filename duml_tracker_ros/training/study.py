"""DuML's comparisons on our weights and data: formulations, pairs, mu, voting, labels, data."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..digest import code_digest, file_digest, value_digest
from ..evaluation.branches import UPDATES
from ..evaluation.measures import Measure
from ..evaluation.svg import Series, axis_for, colour, line_chart
from ..evaluation.variants import Variants, VariantScores
from ..tracker.checkpoint.store import shipped
from .config import TrainConfig
from .loop import train_from_config
from .recipes import load_train_config

OFFLINE_ONLY = ("OFC-5s", "OFC-1s", "OFR")
ONLINE_ONLY = ("ONR", "ONC-1s", "ONC-5s")
SAMPLED = 500
"""Files of a data set that are told apart by their content, too."""
MU = tuple(round(0.1 * i, 1) for i in range(11))


@dataclass(frozen=True)
class Recipe:
    """One network of the study: a name, and what its training changes."""

    name: str
    network: dict[str, str]
    loss: dict[str, str] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)


def _network(offline: str, online: str) -> dict[str, str]:
    return {"offline_branch": offline, "online_branch": online}


def formulations() -> list[Recipe]:
    """One branch alone (DuML, Tables 1 and 2)."""
    return [Recipe(name, _network(name, "none")) for name in OFFLINE_ONLY] + [
        Recipe(name, _network("none", name)) for name in ONLINE_ONLY
    ]


def pairs() -> list[Recipe]:
    """Every offline with every online formulation (Table 3)."""
    return [
        Recipe(f"{offline} + {online}", _network(offline, online))
        for online in ONLINE_ONLY
        for offline in OFFLINE_ONLY
    ]


def labels() -> list[Recipe]:
    """Label assignment and loss of the offline branch alone (Table 10)."""
    five, one, ofr = (_network(name, "none") for name in ("OFC-5s", "OFC-1s", "OFR"))
    return [
        Recipe("OFC-5s IoU CE", five, {"assignment": "IoU", "cls_loss": "ce"}),
        Recipe("OFC-5s IoU FC", five, {"assignment": "IoU"}),
        Recipe("OFC-5s ATSS-MinL2 FC", five, {"assignment": "ATSS-MinL2"}),
        Recipe("OFC-5s", five),
        Recipe("OFC-1s ATSS-MinL2 FC", one, {"assignment": "ATSS-MinL2"}),
        Recipe("OFC-1s", one),
        Recipe("OFR FC-RG", ofr, {"ofr_loss": "regressive"}),
        Recipe("OFR", ofr),
    ]


SOURCES = {
    "V": "imagenet_vid",
    "Y": "youtube_bb",
    "C": "coco",
    "L": "lasot",
    "G": "got10k",
    "D": "imagenet_det",
}
"""Data sets by DuML's letters (App. D)."""


def training_data(layouts: Mapping[str, str]) -> list[Recipe]:
    """Networks trained on fewer data sets (Table 11), as far as their folders are given."""
    both = {**_network("OFC-5s", "ONR")}
    rows = []
    for letters in ("VYCLG", "VYCD", "VYC", "VC"):
        names = [SOURCES[letter] for letter in letters]
        if set(names) <= set(layouts):
            rows.append(Recipe(letters, both, layouts={name: layouts[name] for name in names}))
    return rows


def grid() -> list[dict[str, Any]]:
    """140 sets of the post-processing's settings, over which Table 1 averages (App. C).

    The paper gives their number and two of their names; the ranges are those that are searched for
    Siamese trackers.
    """
    values = {
        "postprocess.window_influence": (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5),
        "postprocess.penalty_k": (0.0, 0.04, 0.08, 0.12, 0.16),
        "postprocess.size_rate": (0.2, 0.3, 0.4, 0.5),
    }
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    ]


def grid_mean(
    variants: Variants, recipe: Recipe, weights: str, shown: Sequence[Measure]
) -> VariantScores:
    """Scores of a network of the study in the mean over `grid`."""
    runs = []
    for settings in grid():
        name = " ".join([recipe.name, *(f"{k}={v}" for k, v in settings.items())])
        runs.append(variants.run(name, {**settings_of(recipe), **settings}, weights).mean)
    mean = {m.key: sum(float(run[m.key]) for run in runs) / len(runs) for m in shown}
    return VariantScores(recipe.name, settings_of(recipe), mean, {})


def train_recipe(
    recipe: Recipe, folder: Path, config: str, settings: Mapping[str, Any], steps: int
) -> Path:
    """Train a network of the study for ``steps``; a finished or interrupted one goes on.

    It lies in a folder of its own for each recipe, data and training code: a network that was made
    from others is not taken for this one.
    """
    overrides: dict[str, Any] = {**settings, "name": "weights", "steps": steps}
    overrides |= {f"network.{k}": v for k, v in recipe.network.items()}
    overrides |= {f"loss.{k}": v for k, v in recipe.loss.items()}
    if recipe.layouts:
        overrides["data.layouts"] = recipe.layouts
    key = network_key(load_train_config(config, overrides))
    out = folder / f"{recipe.name.replace(' ', '_')}-{key[:12]}"
    weights = out / "weights.safetensors"
    if (out / "done").is_file():
        return weights
    train_from_config(config, (out / "last.pt").is_file(), out, overrides)
    (out / "done").write_text(f"{key}\n")
    return weights


def network_key(config: TrainConfig) -> str:
    """Digest of what a training is made from: its configuration, its data, the code.

    Pictures count by name, size and time, and `SAMPLED` of them by their content; the index of the
    data and weight files by their content.
    """
    data = config.data
    roots = [data.root, config.validate_on, *data.layouts.values()]
    index = Path(data.root) / "index.jsonl"
    return value_digest(
        json.loads(json.dumps(dataclasses.asdict(config), sort_keys=True, default=str)),
        file_digest(index) if index.is_file() else "",
        [_listing(Path(root)) for root in roots if root],
        [
            file_digest(shipped(name))
            for name in (config.init_from, config.backbone_from, config.warm_from)
            if name
        ],
        code_digest("datasets", "tracker", "training", "scene"),
        torch.__version__,
    )


def _listing(root: Path) -> list[list[Any]]:
    """Name, size and time of every file below a folder, and the digests of some of them."""
    found: list[list[Any]] = []
    for folder, children, names in os.walk(root):
        children.sort()
        for name in sorted(names):
            path = Path(folder, name)
            status = path.stat()
            found.append([str(path.relative_to(root)), status.st_size, status.st_mtime_ns])
    step = max(1, len(found) // SAMPLED)
    return found + [[name, file_digest(root / name)] for name, *_ in found[::step]]


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Tracker settings under which a network of the study is run."""
    return {f"network.{key}": value for key, value in recipe.network.items()}


def sweep_mu(variants: Variants) -> list[VariantScores]:
    """Fusion weight from offline only to online only (Fig. 4)."""
    return [variants.run(f"mu {mu:g}", {"postprocess.mu": mu}) for mu in MU]


def voting(variants: Variants) -> list[VariantScores]:
    """Score voting off and on (Table 4)."""
    return [
        variants.run(f"voting {word}", {"postprocess.voting": on})
        for word, on in (("off", False), ("on", True))
    ]


def updates(variants: Variants) -> list[VariantScores]:
    """Update rules of the online branch."""
    return [variants.run(f"update {name}", rule) for name, rule in UPDATES.items()]


def mu_chart(outcomes: list[VariantScores], measure: Measure) -> str:
    """Mean of a measure over mu as an ``<svg>`` element; without what is not defined."""
    found = [o for o in outcomes if math.isfinite(float(o.mean[measure.key]))]
    x = [float(o.settings["postprocess.mu"]) for o in found]
    y = [float(o.mean[measure.key]) for o in found]
    line = Series(f"mean {measure.title}", x, y, colour(0), markers=True)
    vertical = axis_for(measure.title, y or [0.0], zero=False)
    horizontal = axis_for("mu", x or list(MU))
    return line_chart("Fusion weight", [line], horizontal, vertical, legend=False)
