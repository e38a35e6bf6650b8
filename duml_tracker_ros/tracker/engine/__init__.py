"""What runs the networks: torch, or another runtime for CPUs that is installed beside it."""

from .base import Engine, compile_graph
from .choice import fastest_engine, make_engine, usable_engines

__all__ = ["Engine", "compile_graph", "fastest_engine", "make_engine", "usable_engines"]
