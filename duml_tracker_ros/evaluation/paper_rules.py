"""What the papers set by benchmark and not by tracker."""

from __future__ import annotations

import dataclasses

from ..datasets import Dataset
from .baselines import BASELINES
from .participants import TrackerSpec

SEARCH = "network.search_size"
LARGE_SEARCH = {("duml", "r50"): 321}
"""Crop of trackers in a size with which they search some benchmarks: DuML, App. A, has 319 instead
of 255 pixels, ours are of the form 32 k + 1."""
LARGE = ("nfs", "uav123", "lasot")
"""Those benchmarks."""


def by_benchmark(spec: TrackerSpec, dataset: Dataset) -> TrackerSpec:
    """The tracker as its paper runs it on a benchmark; a search size that was set stays."""
    if dataset.name not in LARGE or SEARCH in spec.overrides or spec.name in BASELINES:
        return spec
    size = LARGE_SEARCH.get((spec.name, _size(spec)))
    if size is None:
        return spec
    return dataclasses.replace(spec, overrides={**spec.overrides, SEARCH: size})


def _size(spec: TrackerSpec) -> str:
    """The named size, or that of the weights."""
    from ..tracker.factory import size_of

    return spec.size or size_of(spec.name, spec.weights, spec.overrides)
