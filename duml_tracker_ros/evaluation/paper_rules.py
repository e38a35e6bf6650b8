"""What the papers set by benchmark and not by tracker."""

from __future__ import annotations

import dataclasses

from ..datasets import Dataset
from .participants import TrackerSpec

SEARCH = "network.search_size"
LARGE_SEARCH = {("duml", "r50"): 321}
"""Crop of trackers in a size with which they search some benchmarks: DuML, App. A, has 319 instead
of 255 pixels, ours are of the form 32 k + 1."""
LARGE = ("nfs", "uav123", "lasot")
"""Those benchmarks."""


def by_benchmark(spec: TrackerSpec, dataset: Dataset) -> TrackerSpec:
    """The tracker as its paper runs it on a benchmark; a search size that was set stays."""
    size = LARGE_SEARCH.get((spec.name, spec.size or "compact"))
    if size is None or dataset.name not in LARGE or SEARCH in spec.overrides:
        return spec
    return dataclasses.replace(spec, overrides={**spec.overrides, SEARCH: size})
