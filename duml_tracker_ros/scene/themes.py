"""Looks of the ground: colours and how much of what stands on it; they stand in ``themes.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """Colours are RGB; densities are relative to 1 = as in a European suburb."""

    name: str
    ground: tuple[Colour, Colour, Colour]
    parcels: tuple[Colour, ...]
    parcel_share: float
    asphalt: Colour
    shoulder: Colour
    water: Colour
    water_share: float
    roofs: tuple[Colour, ...]
    building_density: float
    large_buildings: float
    tree: tuple[Colour, ...]
    tree_density: float
    lots: int


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


THEMES: tuple[Theme, ...] = tuple(
    Theme(**{name: _tuples(value) for name, value in entry.items()})
    for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))["themes"]
)


def theme(name: str) -> Theme:
    """Look a theme up; ValueError lists the known names."""
    for entry in THEMES:
        if entry.name == name:
            return entry
    raise ValueError(f"theme {name!r} is unknown; use one of {', '.join(t.name for t in THEMES)}")
