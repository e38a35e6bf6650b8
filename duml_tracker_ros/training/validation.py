"""Validation while training: the moving average of the weights tracks held-out clips."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from ..datasets import Dataset, DatasetError, load_dataset
from ..evaluation.participants import TrackerSpec
from ..evaluation.runner import evaluate
from ..tracker.errors import ConfigError
from .config import TrainConfig

COLUMNS = ("step", "auc", "precision20", "norm_precision20", "sequences")


class Validation:
    """Runs the tracker over clips in the plain layout and keeps the best weights.

    Writes ``validation.csv`` and ``NAME.best.safetensors`` beside the checkpoints. Raises
    ConfigError when there is nothing to validate on.
    """

    def __init__(self, config: TrainConfig, folder: Path, device: str) -> None:
        self.config = config
        self.device = device
        self.table = folder / "validation.csv"
        self.best_file = folder / f"{config.name}.best.safetensors"
        self.clips = _clips(config.validate_on)
        self.best = self._best_so_far()

    def run(self, weights: Path, step: int) -> float:
        """Mean AUC of the weights in a file after ``step`` steps; logs it."""
        overrides = {f"network.{key}": value for key, value in self.config.network.items()}
        name = self.config.tracker
        spec = TrackerSpec(name, self.device, self.config.size, str(weights), overrides)
        result = evaluate([spec], self.clips, progress=False)
        if result.problems:
            clip, reason = next(iter(result.problems.items()))
            raise ConfigError(f"validate_on = {self.config.validate_on!r}: {clip}: {reason}")
        mean = result.trackers[name].mean()
        new = not self.table.exists()
        with self.table.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow((step, *(f"{mean[k]:.4f}" for k in COLUMNS[1:-1]), mean["sequences"]))
        auc = float(mean["auc"])
        if auc > self.best:
            self.best = auc
            shutil.copyfile(weights, self.best_file)
        return auc

    def _best_so_far(self) -> float:
        if not self.table.exists():
            return -1.0
        with self.table.open(newline="") as stream:
            return max((float(row["auc"]) for row in csv.DictReader(stream)), default=-1.0)


def _clips(root: str) -> Dataset:
    try:
        clips = load_dataset("folder", root)
    except DatasetError as error:
        raise ConfigError(f"validate_on = {root!r}: {error}") from error
    if not len(clips):
        raise ConfigError(f"validate_on = {root!r}: no sequence in there")
    return clips
