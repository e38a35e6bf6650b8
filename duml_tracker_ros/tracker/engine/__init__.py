"""What runs the networks: torch, or another runtime for CPUs that is installed beside it."""

from .base import Engine, make_engine

__all__ = ["Engine", "make_engine"]
