"""Weight files: safetensors with the configuration inside, checked before they are used."""

from .store import (
    Checkpoint,
    default_weights,
    load_checkpoint,
    load_imagenet,
    save_checkpoint,
    usual_size,
)

__all__ = [
    "Checkpoint",
    "default_weights",
    "load_checkpoint",
    "load_imagenet",
    "save_checkpoint",
    "usual_size",
]
