"""ONNX files of every tracker, checked against torch in ONNX Runtime, and CPU engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_sequence import render

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.tracker import ConfigError, create_tracker
from duml_tracker_ros.tracker.engine import base

ONNX = ("onnx", "onnxscript", "onnxruntime")


def clip(count: int) -> tuple[list[np.ndarray], tuple]:
    images, boxes = render(count, size=(320, 240), seed=5)
    return [np.ascontiguousarray(i[..., ::-1]) for i in images], tuple(boxes[0])


def test_files_feed_each_other_and_compute_what_torch_does(tmp_path: Path) -> None:
    onnx, onnxruntime = (pytest.importorskip(p) for p in ONNX[::2])
    out = tmp_path / "onnx"
    assert main(["export", "--out", str(out), "--size", "compact"]) == 0
    described = json.loads((out / "duml_compact.json").read_text())
    graphs = described["graphs"]
    assert all(0 <= g["difference"] < 1e-3 for g in graphs.values())
    model = onnx.load(out / graphs["search"]["file"])
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["sha256"] == described["sha256"] != ""
    assert metadata["search_size"] == str(described["search_size"])
    sessions = {
        part: onnxruntime.InferenceSession(str(out / g["file"])) for part, g in graphs.items()
    }
    # A real target through both files gives what the tracker's own network gives.
    tracker = create_tracker(device="cpu", precision="fp32", size="compact")
    rng = np.random.default_rng(0)
    z, x = (
        rng.integers(0, 255, (1, 3, described[k], described[k]), np.uint8)
        for k in ("template_size", "search_size")
    )
    made = sessions["template"].run(None, {"crop": z.astype(np.float32)})
    kernels = dict(zip(graphs["template"]["outputs"], made, strict=True))
    feed = {n: kernels[n] for n in graphs["search"]["inputs"] if n != "crop"}
    found = sessions["search"].run(None, {"crop": x.astype(np.float32), **feed})
    with torch.inference_mode():
        own = tracker.template(torch.from_numpy(z))
        wanted = tracker.search(torch.from_numpy(x), *own[: len(feed)])
    assert list(graphs["search"]["outputs"]) == ["cls", "deltas", "iou", "features"]
    for a, b in zip((*made, *found), (*own, *wanted), strict=True):
        assert np.abs(a - b.numpy()).max() < 2e-3 * max(1, np.abs(a).max())


@pytest.mark.parametrize("name", ["drol_rpn", "drol_fc", "siamrcr", "fcot", "tlpg"])
def test_graphs_of_every_tracker_have_named_tensors(name: str) -> None:
    tracker = create_tracker(name, weights="random", device="cpu", precision="fp32")
    template, search = type(tracker).graphs(tracker.net)
    n = tracker.config.network
    kernels: tuple = ()
    with torch.inference_mode():
        if template is not None:
            made = template(torch.zeros(1, 3, n.template_size, n.template_size))
            assert len(made) == len(template.outputs)
            kernels = made[: len(search.inputs) - 1]
        found = search(torch.zeros(1, 3, n.search_size, n.search_size), *kernels)
    assert len(found) == len(search.outputs) == len(set(search.outputs))
    assert len(search.inputs) == 1 + len(kernels)


@pytest.mark.parametrize("name", ["siamrcr", "tlpg"])
def test_other_trackers_export(tmp_path: Path, name: str) -> None:
    for package in ONNX:
        pytest.importorskip(package)
    argv = ["export", "--tracker", name, "--weights", "random", "--search-size", "161"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    described = json.loads((tmp_path / f"{name}_compact.json").read_text())
    assert described["search_size"] == 161
    assert ("template" in described["graphs"]) == (name == "siamrcr")
    assert all(g["difference"] < 1e-3 for g in described["graphs"].values())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engine_finds_the_boxes_of_torch(engine: str) -> None:
    for package in base.NEEDS[engine]:
        pytest.importorskip(package)
    images, box = clip(31)
    boxes, states = {}, {}
    for name in ("torch", engine):
        precision = "fp32" if name == "torch" else "auto"
        options = {"engine": name, "online.update": "every_frame", "precision": precision}
        tracker = create_tracker(device="cpu", **options)
        tracker.init(images[0], box)
        results = [tracker.update(image) for image in images[1:]]
        boxes[name] = np.array([r.box for r in results])
        states[name] = [r.state for r in results]
        # Larger crops of a lost target and several targets at once go on by torch.
        assert tracker.update(np.full_like(images[0], 90)).box is not None
        assert tracker.update(np.full_like(images[0], 90)).box is not None
        two = [tracker.start(images[0], b) for b in (box, (150.0, 90.0, 40.0, 40.0))]
        assert len(tracker.track(images[1], two)) == 2
    assert np.abs(boxes["torch"] - boxes[engine]).max() < 0.5
    assert states["torch"] == states[engine]


OPENVINO_ALONE = """
import os, sys
import numpy as np
from duml_tracker_ros.tracker import create_tracker

before = os.sched_getaffinity(0)
tracker = create_tracker(device="cpu", engine="openvino", weights="random")
tracker.init(np.full((96, 96, 3), 80, np.uint8), (30.0, 30.0, 20.0, 20.0))
tracker.update(np.full((96, 96, 3), 80, np.uint8))
assert "openvino" in sys.modules
assert sys.modules["openvino_telemetry"] is None
assert os.sched_getaffinity(0) == before
"""


def test_openvino_reports_to_nobody_and_pins_no_thread(tmp_path: Path) -> None:
    """Its telemetry starts processes, and a pinned thread shares one processor with its helpers."""
    pytest.importorskip("openvino")
    variables = {k: v for k, v in os.environ.items() if k not in ("CI", "HOME")}
    subprocess.run(
        [sys.executable, "-c", OPENVINO_ALONE],
        env={**variables, "HOME": str(tmp_path)},
        check=True,
        timeout=240,
    )
    assert not (tmp_path / "intel").exists()


def test_engine_mistakes_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="choose from torch, cuda_graph, openvino, onnxruntime"):
        create_tracker(device="cpu", engine="abacus")
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        create_tracker(device="cpu", engine="openvino")
    with pytest.raises(ConfigError, match="pip install onnxruntime onnx onnxscript"):
        create_tracker(device="cpu", engine="onnxruntime")
    with pytest.raises(ConfigError, match="for CPUs"):
        base.make_engine("openvino", torch.device("cuda"), True)
