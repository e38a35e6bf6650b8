"""PyTracking's DiMP-50: what DuML in size r50 can take of it, as a weight file to train from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import load_config
from ..network.dual_modal import DualModalNet
from ..network_config import NetworkConfig
from .foreign import read_foreign, tensors, translate
from .store import file_sha256, save_state

CLASSES = (
    "admin.model_constructor.NetConstructor",
    "admin.settings.Settings",
    "admin.local.EnvironmentSettings",
    "admin.stats.AverageMeter",
    "admin.stats.StatValue",
)
ALLOWED = (
    *(f"ltr.{name}" for name in CLASSES),
    *(f"dlframework.common.utils.{name.removeprefix('admin.')}" for name in CLASSES),
)
"""What PyTracking pickles beside tensors; older files name the package as it was called before."""

OPTIMISER = {
    "online.label": "label_map_predictor.weight",
    "online.mask": "target_mask_predictor.0.weight",
    "online.weight": "spatial_weight_predictor.weight",
    "online.log_step": "log_step_length",
    "online.regularisation_root": "filter_reg",
}
PART = (
    "backbone and online optimiser of DiMP-50; necks and heads have to be trained: "
    "duml-tracker train duml_r50 --set warm_from=FILE"
)


def their_name(key: str) -> str:
    """PyTracking's name of a tensor of the backbone or the online optimiser."""
    if key in OPTIMISER:
        return f"classifier.filter_optimizer.{OPTIMISER[key]}"
    return key.replace("backbone.", "feature_extractor.", 1)


class _Part(nn.Module):
    """The part of DuML that DiMP-50 has too, under the names of the whole."""

    def __init__(self, whole: DualModalNet) -> None:
        super().__init__()
        self.backbone, self.online = whole.backbone, whole.online


def translate_dimp(path: str | Path) -> tuple[dict[str, Tensor], NetworkConfig, list[str]]:
    """What DuML takes of a public file.

    Returns:
        Tensors under our names, the network they are a part of, and the file's tensors that have
        no counterpart.

    Raises:
        WeightsError: an unreadable file, or the first key that does not fit.
    """
    state = tensors(path, read_foreign(path, ALLOWED), "net")
    network = load_config("r50").network
    with torch.device("meta"):
        part = _Part(DualModalNet(network))
    ours = translate(path, part, state, their_name)
    taken = {their_name(key) for key in ours}
    return ours, network, sorted(set(state) - taken)


def import_dimp(path: str | Path, out: Path) -> tuple[str, list[str]]:
    """Write what DuML takes of a public file; the checksum, and what was left.

    Raises WeightsError as ``translate_dimp`` does.
    """
    state, network, left = translate_dimp(path)
    notes = {
        "source": f"PyTracking {Path(path).name}",
        "source_sha256": file_sha256(Path(path)),
        "part": PART,
    }
    return save_state(out, state, network, notes), left
