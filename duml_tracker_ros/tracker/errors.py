"""Errors raised by the tracker library. Each message names the value and the remedy."""

from __future__ import annotations


class TrackerError(Exception):
    """Base class of every error this library raises on purpose."""


class BoxError(TrackerError, ValueError):
    """A target box that cannot be tracked (not finite, empty or outside the image)."""


class ImageError(TrackerError, ValueError):
    """An image of the wrong type, shape or channel order."""


class WeightsError(TrackerError, RuntimeError):
    """Weights that are missing, damaged or made for another network."""


class ConfigError(TrackerError, ValueError):
    """A configuration with an unknown key or a value out of range."""
