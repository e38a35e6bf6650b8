"""SiamRPN++ of PySOT: the imported network and tracker against numbers of the public code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from public_layouts import crop, drawn_state, frames

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.tracker import WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import load_checkpoint
from duml_tracker_ros.tracker.checkpoint.pysot import their_name, translate_pysot
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.network.anchors import anchor_shapes
from duml_tracker_ros.tracker.network.siamese import SiameseNet
from duml_tracker_ros.tracker.systems.drol import DrolTracker

PUBLIC = np.load(Path(__file__).parents[1] / "data" / "public_code.npz")


def empty_net() -> SiameseNet:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return SiameseNet(load_config("pysot", name="drol_rpn").network)


def public_shapes() -> dict[str, tuple[int, ...]]:
    net = empty_net().state_dict()
    return {their_name(k): tuple(v.shape) for k, v in net.items() if not k.endswith("tracked")}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the public layout, as a network trained on several devices has it, imported."""
    folder = tmp_path_factory.mktemp("pysot")
    shapes = public_shapes()
    assert sorted(shapes) == list(PUBLIC["siamrpn_keys"])
    state = {f"module.{k}": v for k, v in drawn_state(shapes).items()}
    state["module.backbone.bn1.num_batches_tracked"] = torch.tensor(3)
    torch.save({"epoch": 20, "state_dict": state}, folder / "model.pth")
    out = folder / "siamrpn.safetensors"
    assert main(["import", "pysot", str(folder / "model.pth"), "--out", str(out)]) == 0
    (folder / "model.pth").unlink()
    return out


def test_network_is_the_public_one(imported: Path) -> None:
    """In fp64, where no order of summation shows: class and box maps of the same crops."""
    net = empty_net()
    net.load_state_dict(load_checkpoint(imported).state, strict=False, assign=True)
    net.eval().double()
    net.dtype = torch.float64
    z, x = (torch.from_numpy(crop(s)).permute(2, 0, 1)[None] for s in (127, 191))
    with torch.inference_mode():
        kernels = net.template_kernels(net.extract(z))
        features = net.extract(x)
        cls, box = net.offline.raw(kernels, features)
        out = net.predict(kernels, features)
    assert cls.shape == (1, 10, 17, 17)
    assert np.abs(cls[0].numpy() - PUBLIC["siamrpn_cls"]).max() < 1e-9
    assert np.abs(box[0].numpy() - PUBLIC["siamrpn_loc"]).max() < 1e-9
    share = cls.view(2, 5, 17, 17).softmax(0)[1]
    assert (torch.sigmoid(out.cls[0]) - share).abs().max() < 1e-12
    assert torch.equal(out.deltas[0, 3, :, :, 2], box[0, 2 * 5 + 3])


def test_tracker_is_the_public_one(imported: Path) -> None:
    """Crops, anchors, penalties, window and smoothing: the public tracker's boxes.

    It reports boxes half a pixel before where it starts from them; ours do not. The online module
    beside the same network learns on its features, of which the score map covers the middle.
    """
    # Boxes are compared to a hundredth of a pixel: not in bf16, whatever the processor is good at.
    few = {"precision": "fp32", "online.init_samples": 1, "online.memory": 2}
    few |= {"classifier.first_steps": 1, "classifier.first_iterations": 3}
    whole = create_tracker("drol_rpn", weights=str(imported), size="pysot", device="cpu", **few)
    images, box = frames(len(PUBLIC["siamrpn_boxes"]) + 1)
    whole.init(images[0], box, "bgr")
    maps = whole.update(images[1], "bgr").score_maps
    assert maps["robust"].shape == maps["accurate"].shape == (25, 25)
    assert not np.allclose(maps["robust"], maps["accurate"])

    settings = {
        "classifier.active": False,
        "classifier.template_interval": 0,
        "postprocess.max_growth": 100.0,
        "localize.lost_below": 0.0,
        "localize.accurate_below": 0.0,
        "localize.lost_share": 0.0,
    }
    config = load_config("pysot", settings, "drol_rpn")
    alone = DrolTracker(config, whole.net, whole.device)
    alone.init(images[0], box, "bgr")
    boxes = np.array([alone.update(image, "bgr").box for image in images[1:]])
    assert np.abs(boxes - [0.5, 0.5, 0, 0] - PUBLIC["siamrpn_boxes"]).max() < 0.01


def test_anchors_are_those_of_siamrpn() -> None:
    n = load_config("pysot", name="drol_rpn").network
    wanted = [[104, 32], [88, 40], [64, 64], [40, 80], [32, 96]]
    assert anchor_shapes(n.anchor_size, n.ratios, n.anchor_grain).tolist() == wanted


def test_other_files_are_refused(tmp_path: Path) -> None:
    file, out = tmp_path / "model.pth", tmp_path / "out.safetensors"
    shapes = public_shapes()

    def refused(state: object, *words: str) -> None:
        torch.save(state, file)
        with pytest.raises(WeightsError) as caught:
            translate_pysot(file)
        assert all(w in str(caught.value) for w in words), caught.value

    # The stem alone: names are checked in the network's order.
    stem = {
        k: torch.zeros(s)
        for k, s in shapes.items()
        if k.startswith(("backbone.conv1", "backbone.bn1"))
    }
    refused(stem, "'backbone.layer1.0.conv1.weight' is missing")
    refused({**stem, "backbone.bn1.bias": torch.zeros(7)}, "'backbone.bn1.bias' has shape (7,)")
    refused({**stem, "epoch": 20}, "'epoch' is a int, not a tensor")
    refused({"state_dict": stem, "net": torch.nn.Linear(1, 1)}, "torch.nn.modules.linear.Linear")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(WeightsError, match=r"not a readable weight file.*cut off"):
        translate_pysot(file)
    assert main(["import", "pysot", str(tmp_path / "none.pth"), "--out", str(out)]) == 2
    assert main(["import", "pysot", str(file), "--out", str(tmp_path / "out.pth")]) == 2
    assert not out.exists()
