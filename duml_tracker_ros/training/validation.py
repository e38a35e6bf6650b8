"""Validation while training: the moving average of the weights tracks held-out clips."""

from __future__ import annotations

from pathlib import Path

from ..datasets import Dataset, DatasetError, load_dataset
from ..evaluation.participants import TrackerSpec
from ..evaluation.runner import evaluate
from ..tracker.errors import ConfigError
from .config import TrainConfig
from .kept import Log, copy_whole

COLUMNS = ("step", "auc", "precision20", "norm_precision20", "sequences")


class Validation:
    """Runs the tracker over clips in the plain layout and keeps the best weights.

    Writes ``validation.csv`` and ``NAME.best.safetensors`` beside the checkpoints. A resumed run
    goes on with the rows before step ``begin``. Raises ConfigError when there is nothing to
    validate on.
    """

    def __init__(self, config: TrainConfig, folder: Path, device: str, begin: int = 0) -> None:
        self.config = config
        self.device = device
        self.best_file = folder / f"{config.name}.best.safetensors"
        self.clips = _clips(config.validate_on)
        self._log = Log(folder / "validation.csv", COLUMNS, begin)
        self.best = max((float(row[COLUMNS.index("auc")]) for row in self._log.rows), default=-1.0)

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
        auc = float(mean["auc"])
        if auc > self.best:
            self.best = auc
            copy_whole(weights, self.best_file)
        self._log.row(step, *(f"{mean[k]:.4f}" for k in COLUMNS[1:-1]), mean["sequences"])
        return auc


def _clips(root: str) -> Dataset:
    try:
        clips = load_dataset("folder", root)
    except DatasetError as error:
        raise ConfigError(f"validate_on = {root!r}: {error}") from error
    if not len(clips):
        raise ConfigError(f"validate_on = {root!r}: no sequence in there")
    return clips
