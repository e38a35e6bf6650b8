"""Training data: image bank, cut-outs, synthesis of samples, batches, photometric augmentation."""

from ...datasets import Record, Target
from .bank import Bank, load_bank
from .errors import DataError
from .sampler import Batches, BatchStream, loader_of, make_loader
from .samples import Kind, Sample, Shape
from .synthesis import DEFAULT_MIX, Synthesis

__all__ = [
    "DEFAULT_MIX",
    "Bank",
    "BatchStream",
    "Batches",
    "DataError",
    "Kind",
    "Record",
    "Sample",
    "Shape",
    "Synthesis",
    "Target",
    "load_bank",
    "loader_of",
    "make_loader",
]
