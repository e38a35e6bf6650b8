"""DiMP-50 of PyTracking: backbone and online optimiser against numbers of the public code."""

from __future__ import annotations

import json
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from public_layouts import crop, drawn, drawn_state

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.tracker import WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import load_checkpoint
from duml_tracker_ros.tracker.checkpoint.dimp import ALLOWED, OPTIMISER, translate_dimp
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.network.backbone import build_backbone
from duml_tracker_ros.tracker.network.base import NORMALISATIONS
from duml_tracker_ros.tracker.online.problem import DiscriminativeModel
from duml_tracker_ros.tracker.online.solver import steepest_descent

PUBLIC = np.load(Path(__file__).parents[1] / "data" / "public_code.npz")
TAKEN = ("feature_extractor.", "classifier.filter_optimizer.")


@pytest.fixture
def pickled(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An object of every class that PyTracking pickles, by its name."""
    objects = {}
    for name in PUBLIC["dimp_classes"]:
        module, _, short = str(name).rpartition(".")
        parts = module.split(".")
        for name_above in (".".join(parts[: i + 1]) for i in range(len(parts))):
            if name_above not in sys.modules:
                monkeypatch.setitem(sys.modules, name_above, types.ModuleType(name_above))
        made = type(short, (), {"__module__": module})
        monkeypatch.setattr(sys.modules[module], short, made, raising=False)
        objects[str(name)] = made()
        objects[str(name)].kwds = {"filter_size": 4}
    return objects


def public_state() -> dict[str, torch.Tensor]:
    shapes = (str(s).split(" ", 1) for s in PUBLIC["dimp_shapes"])
    return drawn_state({k: tuple(json.loads(s)) for k, s in shapes if k.startswith(TAKEN)})


def test_public_file_gives_backbone_and_optimiser(
    tmp_path: Path, pickled: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "dimp50.pth", tmp_path / "dimp.safetensors"
    others = {"classifier.filter_initializer.filter_conv.weight": torch.zeros(2)}
    torch.save({"net": {**public_state(), **others}, "stats": [*pickled.values()]}, file)
    assert set(pickled) <= set(ALLOWED)
    assert main(["import", "dimp", str(file), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "no counterpart: classifier.filter_initializer, feature_extractor.fc" in told

    taken = load_checkpoint(out)
    backbone = build_backbone(load_config("r50").network.backbone)
    own = {k.removeprefix("backbone."): v for k, v in taken.state.items()}
    missing = backbone.load_state_dict(own, strict=False).missing_keys
    assert not [k for k in missing if not k.endswith("tracked")]
    backbone.eval().double()
    image = torch.from_numpy(crop(65)).permute(2, 0, 1)[None].double()
    # As the public code has them, in single precision.
    rows = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert np.allclose(np.multiply(rows, 255), NORMALISATIONS["imagenet"])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1).double() for v in rows)
    with torch.no_grad():
        layer2, layer3, _ = backbone((image / 255 - mean) / std)
    assert np.abs(layer2[0, ::16].numpy() - PUBLIC["dimp_layer2"]).max() < 1e-9
    assert np.abs(layer3[0, ::16].numpy() - PUBLIC["dimp_layer3"]).max() < 1e-9

    for kernel in (4, 5):
        found = optimised(taken.state, kernel)
        assert np.abs(found - PUBLIC[f"dimp_filter{kernel}"]).max() < 1e-6

    with pytest.raises(WeightsError, match=r"is missing; the file holds a part only: backbone"):
        create_tracker("duml", size="r50", weights=str(out), device="cpu")


def optimised(state: dict[str, torch.Tensor], kernel: int) -> np.ndarray:
    """A filter after four steps of the optimiser, on the samples the public one had."""
    # Bins of 0.1 cells at the public stride of 16 pixels; DuML has 0.2 at stride 8.
    model = DiscriminativeModel(bins=100, bin_width=0.1)
    model.load_state_dict({k.removeprefix("online."): state[k] for k in OPTIMISER})
    model.double()
    features = drawn("features", (3, 1, 8, 7, 7)).double()[:, 0][None]
    boxes = torch.tensor([[24, 40, 32, 24], [20, 30, 40, 36], [50, 26, 30, 30]]).double()
    x, y, w, h = (boxes / 16).unbind(1)
    # A cell's centre lies half a cell from its corner.
    targets = torch.stack((y + h / 2 - 0.5, x + w / 2 - 0.5, h, w), 1)[None]
    problem = model.problem(features, targets, torch.full((1, 3), 1 / 3).double(), kernel)
    start = drawn(f"filter {kernel}", (1, 8, kernel, kernel)).double()[:, None]
    with torch.no_grad():
        *_, (found, _) = steepest_descent(problem, start, 4, model.step)
    return found[0, 0].numpy()


def test_other_files_are_refused(tmp_path: Path, pickled: dict[str, Any]) -> None:
    file = tmp_path / "dimp50.pth"
    torch.save({"net": {"classifier.filter_optimizer.label": torch.zeros(1)}}, file)
    with pytest.raises(WeightsError, match=r"'feature_extractor\.conv1\.weight' is missing"):
        translate_dimp(file)
    # A class that nobody knows, and a function of a module that torch never allows.
    for bad, name in ((zipfile.ZipInfo(), "zipfile.ZipInfo"), (os.getcwd, "posix.getcwd")):
        torch.save({"net": {}, "settings": [*pickled.values()], "run": bad}, file)
        with pytest.raises(WeightsError, match=f"'{name}', which is neither a tensor"):
            translate_dimp(file)
    # Nothing stays allowed behind.
    left = [str(kept) for kept in torch.serialization.get_safe_globals()]
    assert not [name for name in left if "ltr." in name or "dlframework" in name]
