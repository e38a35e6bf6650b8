"""Write `data/public_code.npz`: what the public code answers to weights and images drawn by rule.

    python test/make_public_fixture.py PYSOT_CLONE PYTRACKING_CLONE

Needs clones of STVIR/pysot and visionml/pytracking, yacs and torchvision. The tests need none of
these: they draw the same weights and images and compare with the numbers written here.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from public_layouts import crop, drawn_state, frames

TARGET = Path(__file__).parent / "data" / "public_code.npz"
FRAMES = 3


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


if __name__ == "__main__":
    pysot, pytracking = (Path(a).expanduser().resolve() for a in sys.argv[1:3])
    numbers = siamrpn(pysot)
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, **numbers)
    print(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KiB")
