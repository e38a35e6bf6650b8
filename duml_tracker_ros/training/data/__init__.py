"""Training data: image bank, cut-outs, synthesis of samples, batches, photometric augmentation."""

from ...datasets import Annotation, Record
from .bank import Bank, load_bank
from .errors import DataError
from .sampler import Batches, BatchStream, loader_of, make_loader
from .samples import SampleKind, Shape, TrainingSample
from .synthesis import DEFAULT_MIX, Synthesis

__all__ = [
    "DEFAULT_MIX",
    "Annotation",
    "Bank",
    "BatchStream",
    "Batches",
    "DataError",
    "Record",
    "SampleKind",
    "Shape",
    "Synthesis",
    "TrainingSample",
    "load_bank",
    "loader_of",
    "make_loader",
]
