"""Generated aerial scenes with exact truth: material for the demo, the tests and the training."""

from .scene import AerialScene, SceneFrame, SceneSpace
from .settings import SceneSettings, random_settings

__all__ = ["AerialScene", "SceneFrame", "SceneSettings", "SceneSpace", "random_settings"]
