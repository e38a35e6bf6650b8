"""Write `data/public_code.npz`: what the public code answers to weights and images drawn by rule.

    python test/make_public_fixture.py PYSOT_CLONE PYTRACKING_CLONE

Needs clones of STVIR/pysot and visionml/pytracking, and yacs. The tests need none of these: they
draw the same weights and images and compare with the numbers written here.
"""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from public_layouts import crop, drawn, drawn_state, frames

TARGET = Path(__file__).parent / "data" / "public_code.npz"
FRAMES = 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def siamrpn(clone: Path) -> dict[str, np.ndarray]:
    """Class and box maps in fp64, and the boxes of the public tracker on a few frames."""
    sys.path.insert(0, str(clone))
    from pysot.core.config import cfg
    from pysot.models.model_builder import ModelBuilder
    from pysot.tracker.siamrpn_tracker import SiamRPNTracker

    cfg.merge_from_file(str(clone / "experiments/siamrpn_r50_l234_dwxcorr/config.yaml"))
    cfg.CUDA = False
    model = ModelBuilder().eval()
    state = drawn_state({k: tuple(v.shape) for k, v in model.state_dict().items()})
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        tracker = SiamRPNTracker(model)
        images, box = frames(FRAMES)
        tracker.init(images[0], box)
        boxes = [tracker.track(image)["bbox"] for image in images[1:]]
        model.double()
        z, x = (
            torch.from_numpy(crop(s)).permute(2, 0, 1)[None].flip(1).double() for s in (127, 191)
        )
        model.template(z)
        out = model.track(x)
    return {
        "siamrpn_keys": np.array(sorted(state)),
        "siamrpn_cls": out["cls"][0].numpy(),
        "siamrpn_loc": out["loc"][0].numpy(),
        "siamrpn_boxes": np.array(boxes),
    }


def stand_in(module: str, **names: Any) -> None:
    """A module that PyTracking imports and DiMP-50's networks do not compute with."""
    made = types.ModuleType(module)
    for name, value in names.items():
        if isinstance(value, type):
            value.__module__ = module
        setattr(made, name, value)
    sys.modules[module] = made


class Pooling(torch.nn.Module):
    """Has no weights; the online optimiser and the backbone do not pool."""

    def __init__(self, *_: Any) -> None:
        super().__init__()


def dimp(clone: Path) -> dict[str, np.ndarray]:
    """Names and shapes, what a checkpoint pickles, backbone features, filters of the optimiser."""
    sys.path.insert(0, str(clone))
    none = type("none", (), {})
    stand_in("torchvision")
    stand_in("torchvision.models")
    stand_in("torchvision.models.resnet", BasicBlock=none, Bottleneck=none, model_urls={})
    stand_in("pytracking", TensorList=none)
    stand_in("timm")
    stand_in("timm.models")
    stand_in("timm.models.layers", DropPath=none, to_2tuple=none, trunc_normal_=none)
    settings_class = type("EnvironmentSettings", (), {})
    stand_in("ltr.external.PreciseRoIPooling.pytorch.prroi_pool", PrRoIPool2D=Pooling)
    stand_in("ltr.admin.local", EnvironmentSettings=settings_class)
    from ltr.admin.settings import Settings
    from ltr.admin.stats import AverageMeter, StatValue
    from ltr.models.tracking.dimpnet import dimpnet50

    net = dimpnet50(
        filter_size=4,
        backbone_pretrained=False,
        out_feature_dim=512,
        optim_init_step=0.9,
        optim_init_reg=0.1,
        init_gauss_sigma=0.9,
        num_dist_bins=100,
        bin_displacement=0.1,
        mask_init_factor=3.0,
    ).eval()
    state = drawn_state({k: tuple(v.shape) for k, v in net.state_dict().items()})
    net.load_state_dict(state, strict=False)
    small = torch.nn.Linear(1, 1)
    saved = {
        "epoch": 50,
        "actor_type": "DiMPActor",
        "net_type": "DiMPnet",
        "net": small.state_dict(),
        "net_info": None,
        "constructor": net.constructor,
        "optimizer": torch.optim.Adam(small.parameters()).state_dict(),
        "stats": {"train": {"Loss/total": AverageMeter(), "LearningRate": StatValue()}},
        "settings": Settings(),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "DiMPnet_ep0050.pth.tar"
        torch.save(saved, path)
        classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    net.double()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1).double() for v in (MEAN, STD))
    image = torch.from_numpy(crop(65)).permute(2, 0, 1)[None].double()
    out = {
        "dimp_shapes": np.array([f"{k} {list(v.shape)}" for k, v in sorted(state.items())]),
        "dimp_classes": np.array(sorted(classes)),
    }
    with torch.no_grad():
        found = net.feature_extractor((image / 255 - mean) / std, ["layer2", "layer3"])
        out |= {f"dimp_{name}": value[0, ::16].numpy() for name, value in found.items()}
        features = drawn("features", (3, 1, 8, 7, 7)).double()
        boxes = torch.tensor([[24, 40, 32, 24], [20, 30, 40, 36], [50, 26, 30, 30]]).double()
        for kernel in (4, 5):
            start = drawn(f"filter {kernel}", (1, 8, kernel, kernel)).double()
            optimiser = net.classifier.filter_optimizer
            weight, _, _ = optimiser(start, features, boxes[:, None], num_iter=4)
            out[f"dimp_filter{kernel}"] = weight[0].numpy()
    return out


if __name__ == "__main__":
    pysot, pytracking = (Path(a).expanduser().resolve() for a in sys.argv[1:3])
    numbers = {**siamrpn(pysot), **dimp(pytracking)}
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, **numbers)
    print(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KiB")
