"""PySOT's SiamRPN++ with ResNet-50 (siamrpn_r50_l234_dwxcorr and its kin) as a weight file."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from ..config import load_config
from ..errors import WeightsError
from ..network.siamese import SiameseNet
from ..network_config import NetworkConfig
from .foreign import read_foreign, tensors, translate
from .store import COUNTER, file_sha256, save_state

LEVEL_WEIGHTS = {"offline.alpha": "rpn_head.cls_weight", "offline.alpha_box": "rpn_head.loc_weight"}


def their_name(key: str) -> str:
    """PySOT's name of a tensor of our network."""
    if key in LEVEL_WEIGHTS:
        return LEVEL_WEIGHTS[key]
    neck = re.fullmatch(r"neck\.levels\.(\d)\.(conv|bn)\.(\w+)", key)
    if neck:
        place = ("conv", "bn").index(neck[2])
        return f"neck.downsample{int(neck[1]) + 2}.downsample.{place}.{neck[3]}"
    head = re.fullmatch(r"offline\.levels\.(\d)\.(cls|box)\.(\w+)\.(.+)", key)
    if head is None:
        return key
    level, kind = int(head[1]) + 2, {"cls": "cls", "box": "loc"}[head[2]]
    part, rest = str(head[3]), str(head[4])
    if part == "last":
        return f"rpn_head.rpn{level}.{kind}.head.3.{rest}"
    theirs = {"template_conv": "conv_kernel", "search_conv": "conv_search", "mix": "head"}[part]
    layer, _, name = rest.partition(".")
    return f"rpn_head.rpn{level}.{kind}.{theirs}.{('conv', 'bn').index(layer)}.{name}"


def translate_pysot(path: str | Path) -> tuple[dict[str, Tensor], NetworkConfig]:
    """A public file's tensors under our names, and the network they belong to.

    Files without level weights (siamrpn_r50_l234_dwxcorr_otb) weigh all levels alike.

    Raises:
        WeightsError: an unreadable file, or the first key that does not fit.
    """
    state = tensors(path, read_foreign(path), "state_dict")
    for name in LEVEL_WEIGHTS.values():
        state.setdefault(name, torch.zeros(3))
    network = load_config("pysot", name="drol_rpn").network
    with torch.device("meta"):
        net = SiameseNet(network)
    try:
        ours = translate(path, net, state, their_name)
    except WeightsError as error:
        raise WeightsError(
            f"{error}; only SiamRPN++ with ResNet-50 and three levels of 256 channels can be "
            "imported (siamrpn_r50_l234_dwxcorr)"
        ) from error
    known = {their_name(key) for key in ours}
    extra = sorted(k for k in state if k not in known and not k.endswith(COUNTER))
    if extra:
        raise WeightsError(f"{path}: tensor {extra[0]!r} is unknown to SiamRPN++ with ResNet-50")
    return ours, network


def import_pysot(path: str | Path, out: Path) -> str:
    """Write a public file as a weight file for ``drol_rpn`` in size ``pysot``; its checksum.

    Raises WeightsError as ``translate_pysot`` does.
    """
    state, network = translate_pysot(path)
    notes = {"source": f"PySOT {Path(path).name}", "source_sha256": file_sha256(Path(path))}
    return save_state(out, state, network, notes)
