"""Data sets in their published layouts, for evaluation and training alike."""

from .annotated import Annotation, Record
from .base import (
    Dataset,
    DatasetError,
    Sequence,
    SequenceError,
    list_images,
    matches,
    read_boxes,
    read_image,
    read_labels,
)
from .catalogue import BENCHMARKS, TRAINING, load_dataset
from .folder import load_folder

__all__ = [
    "BENCHMARKS",
    "TRAINING",
    "Annotation",
    "Dataset",
    "DatasetError",
    "Record",
    "Sequence",
    "SequenceError",
    "list_images",
    "load_dataset",
    "load_folder",
    "matches",
    "read_boxes",
    "read_image",
    "read_labels",
]
