"""ONNX files of every tracker, checked against torch in ONNX Runtime, and CPU engines."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_sequence import render
from kill_harness import kills, put, tree

from duml_tracker_ros.cli import export
from duml_tracker_ros.cli.main import main
from duml_tracker_ros.digest import file_digest
from duml_tracker_ros.tracker import ConfigError, WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import default_weights, load_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import save_state
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.engine import choice
from duml_tracker_ros.tracker.engine.quantise import deviation, quantise_search
from duml_tracker_ros.tracker.engine.quantised import (
    beside,
    cache_folder,
    load_quantised,
    save_quantised,
    untrained,
)
from duml_tracker_ros.tracker.factory import load_network, system
from duml_tracker_ros.vector_units import RESTRICTIONS, vector_units

ONNX = ("onnx", "onnxscript", "onnxruntime")


def clip(count: int) -> tuple[list[np.ndarray], tuple]:
    images, boxes = render(count, size=(320, 240), seed=5)
    return [np.ascontiguousarray(i[..., ::-1]) for i in images], tuple(boxes[0])


def test_graphs_killed_while_they_are_written_are_the_old_or_none(tmp_path: Path) -> None:
    for package in ONNX:
        pytest.importorskip(package)
    _, net, _ = load_network("drol_fc", "random", "compact", {})
    made = export.make_graphs(net, *system("drol_fc").graphs(net))
    export.write_graphs(made, tmp_path, "net", {"weights": "old"})
    before = tree(tmp_path)
    seen = set()

    def write() -> None:
        export.write_graphs(made, tmp_path, "net", {"weights": "new"})

    def check() -> str:
        """Which set is there whole: its manifest has the checksums of its graphs."""
        manifest = tmp_path / "net.json"
        if not manifest.exists():
            return "none"
        described = json.loads(manifest.read_text())
        for graph in described["graphs"].values():
            assert file_digest(tmp_path / graph["file"]) == graph["sha256"]
        return str(described["weights"])

    for _ in kills(write, tmp_path):
        seen.add(check())
        put(tmp_path, before)
    assert check() == "new"
    assert {"old", "none"} <= seen
    assert set(tree(tmp_path)) == set(before)


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
    tracker = create_tracker(device="cpu", engine="torch", precision="fp32", size="compact")
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
    tracker = create_tracker(name, weights="random", device="cpu", engine="torch", precision="fp32")
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
    argv += ["--size", "compact"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    described = json.loads((tmp_path / f"{name}_compact.json").read_text())
    assert described["search_size"] == 161
    assert ("template" in described["graphs"]) == (name == "siamrcr")
    assert all(g["difference"] < 1e-3 for g in described["graphs"].values())


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("openvino", "fp32"), ("openvino", "int8"), ("onnxruntime", "int8")],
)
def test_engine_finds_the_boxes_of_torch(engine: str, precision: str) -> None:
    for package in choice.NEEDS[engine]:
        pytest.importorskip(package)
    images, box = clip(21)
    boxes, states = {}, {}
    for name in ("torch", engine):
        options = {"engine": name, "precision": "fp32" if name == "torch" else precision}
        options |= {"online.update": "every_frame", "size": "compact"}
        tracker = create_tracker(device="cpu", **options)
        told = tracker.info()
        assert (told["engine"], told["precision"]) == (name, options["precision"])
        if name != "torch":
            # Whatever it runs, it is not torch's network: neither the frame nor the first samples.
            tracker.net.extract = None
        tracker.init(images[0], box)
        results = [tracker.update(image) for image in images[1:]]
        boxes[name] = np.array([r.box for r in results])
        states[name] = [r.state for r in results]
    # A pixel at the corners of a box of 30 is what a step of the deltas' 8 bits comes to.
    assert np.abs(boxes["torch"] - boxes[engine]).max() < (0.5 if precision == "fp32" else 1.5)
    assert states["torch"] == states[engine]


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engine_takes_several_targets_and_another_search_size(engine: str) -> None:
    for package in choice.NEEDS[engine]:
        pytest.importorskip(package)
    torch.manual_seed(0)
    precision = "fp32" if engine == "openvino" else "int8"
    size, options = 161, {"device": "cpu", "size": "compact", "network.search_size": 161}
    own = create_tracker(engine="torch", precision="fp32", **options)
    other = create_tracker(engine=engine, precision=precision, **options)
    kernels = own.template(torch.randint(0, 255, (1, 3, 97, 97), dtype=torch.uint8))[:2]
    tolerance = 1e-4 if precision == "fp32" else 0.5
    for count in (1, 3):
        crops = torch.randint(0, 255, (count, size, size, 3), dtype=torch.uint8)
        crops = crops.permute(0, 3, 1, 2)
        given = [k.repeat(count, 1, 1, 1) for k in kernels]
        with torch.inference_mode():
            wanted = own.search(crops, *given)
            features = own.features(crops)
        found = other.search(crops, *given)
        assert [x.shape for x in found] == [x.shape for x in wanted]
        for a, b in zip((*found, *other.features(crops)), (*wanted, *features), strict=True):
            assert float((a - b).square().mean().sqrt()) < tolerance * float(b.std())


@pytest.mark.parametrize("name", ["fcot", "tlpg", "drol_fc", "drol_mask"])
def test_every_tracker_runs_in_openvino(name: str) -> None:
    pytest.importorskip("openvino")
    options = {"weights": "random", "device": "cpu", "precision": "fp32"}
    own, other = (create_tracker(name, engine=e, **options) for e in ("torch", "openvino"))
    torch.manual_seed(0)
    n = own.config.network
    shape = 2, n.search_size, n.search_size, 3
    crops = torch.randint(0, 255, shape, dtype=torch.uint8).permute(0, 3, 1, 2)
    kernels: tuple = ()
    with torch.inference_mode():
        if hasattr(own, "template"):
            z = torch.randint(0, 255, (2, 3, n.template_size, n.template_size), dtype=torch.uint8)
            kernels = own.template(z)[: len(own.graphs(own.net)[1].inputs) - 1]
        wanted = own.search(crops, *kernels)
    for a, b in zip(other.search(crops, *kernels), wanted, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) < 1e-3 * max(1.0, float(b.abs().max()))


def test_the_shipped_int8_graph_is_of_the_shipped_weights() -> None:
    model = load_quantised("duml", load_checkpoint(default_weights("compact")))
    assert model is not None
    # The exporter would tell where the source lies.
    assert b"site-packages" not in model
    assert str(Path(choice.__file__).parents[2]).encode() not in model


@pytest.fixture
def calibration(tmp_path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.integers(0, 255, (3, 97, 97), np.uint8), rng.integers(0, 255, (3, 193, 193), np.uint8))
        for _ in range(2)
    ]


def test_damaged_or_foreign_int8_graphs_are_never_run(tmp_path: Path) -> None:
    shipped = default_weights("compact")
    weights = tmp_path / "mine.safetensors"
    shutil.copy(shipped, weights)
    options = {"weights": str(weights), "device": "cpu", "engine": "openvino"}
    with pytest.raises(ConfigError, match=r"there is no .*mine\.duml\.int8\.onnx; make it with"):
        create_tracker(precision="int8", **options)
    checkpoint = load_checkpoint(weights)
    path = beside(weights, "duml")
    save_quantised(beside(shipped, "duml").read_bytes(), path, checkpoint)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "mine.duml.int8.onnx",
        "mine.duml.int8.sha256",
        "mine.safetensors",
    ]
    assert load_quantised("duml", checkpoint) is not None
    assert load_quantised("drol_rpn", checkpoint) is None
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes(9))
    for precision in ("int8", "auto"):
        with pytest.raises(
            WeightsError, match=r"does not match mine\.duml\.int8\.sha256: make it anew"
        ):
            create_tracker(precision=precision, **options)
    save_quantised(whole, path, dataclasses.replace(checkpoint, sha256="0" * 64))
    with pytest.raises(WeightsError, match="was made from other weights"):
        create_tracker(precision="int8", **options)
    assert create_tracker(**{**options, "engine": "torch"}).info()["precision"] == "fp32"
    # Whoever made this one made the checksums, too.
    save_quantised(whole[:200], path, checkpoint)
    for engine in ("openvino", "onnxruntime"):
        words = rf"int8\.onnx cannot be run by {engine} \(.*\): make it anew"
        with pytest.raises(WeightsError, match=words):
            create_tracker(precision="int8", **{**options, "engine": engine})
    notes = path.with_suffix(".sha256")
    notes.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WeightsError, match=r"does not match mine\.duml\.int8\.sha256"):
        create_tracker(precision="auto", **options)
    notes.unlink()
    with pytest.raises(WeightsError, match=r"int8\.sha256 does not exist: make it anew"):
        load_quantised("duml", checkpoint)
    for file in (notes, path):
        file.unlink(missing_ok=True)
        os.mkfifo(file)
        with pytest.raises(WeightsError, match=f"{file.name} is no file: make it anew"):
            load_quantised("duml", checkpoint)


@pytest.mark.parametrize("name", ["mine and yours", "gewichte_\u00fc"])
def test_weights_of_any_name_are_saved_with_their_graph(name: str, tmp_path: Path) -> None:
    shipped = load_checkpoint(default_weights("lite"))
    path = tmp_path / f"{name}.safetensors"
    save_state(path, shipped.state, shipped.network)
    checkpoint = load_checkpoint(path)
    save_quantised(b"a graph", beside(path, "duml"), checkpoint)
    assert load_quantised("duml", checkpoint) == b"a graph"


def test_an_untrained_network_is_quantised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = load_config("compact").network
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"graph"

    assert [untrained("duml", network, make) for _ in range(2)] == [b"graph"] * 2
    assert len(made) == 1
    larger = dataclasses.replace(network, search_size=257)
    assert untrained("duml", larger, make) == b"graph"
    assert len(made) == 1
    (kept,) = cache_folder().iterdir()
    kept.write_bytes(b"graph, half of it")
    assert untrained("duml", network, make) == b"graph"
    assert untrained("drol_rpn", network, make) == b"graph"
    assert len(made) == 3
    assert len(list(cache_folder().iterdir())) == 2
    kept.parent.chmod(0o500)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert untrained("duml", network, make) == b"graph"


def test_quantising_is_repeatable_and_leaves_exact_layers(calibration) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    _, net, _ = load_network("duml", "random", "lite", {"network.hidden": 16})
    graphs = system("duml").graphs(net)
    model = quantise_search(*graphs, calibration)
    assert model == quantise_search(*graphs, calibration)
    graph = onnx.load_from_string(model).graph
    channels = {x.name: x.dims[1] for x in graph.initializer if len(x.dims) == 4}
    weights = [n.input[1] for n in graph.node if n.op_type == "Conv"]
    exact = [name for name in weights if "Dequant" not in name]
    few = [name for name in exact if channels[name] < 4]
    assert [name.split(".")[1] for name in exact if name not in few] == ["online_features"]
    assert sum("stem" in name for name in few) == 1
    assert sum("depthwise" in name for name in few) >= len(net.backbone.blocks) - 1
    quantised = [name for name in channels if name.endswith("_quantized")]
    assert len(quantised) == len(weights) - len(exact)
    assert min(channels[name] for name in quantised) >= 4
    spread = deviation(*graphs, model, calibration)
    assert 0 < spread["features"] <= max(spread.values()) < 0.5, spread


def test_the_fastest_engine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, there = torch.device("cpu"), ["torch", "openvino", "onnxruntime"]
    monkeypatch.setattr(choice, "usable_engines", lambda device: there)
    monkeypatch.setattr(choice, "vector_units", lambda: units)
    units: tuple[str, ...] = ("AVX2", "AVX512")
    assert choice.fastest_engine(cpu, True) == choice.fastest_engine(cpu, False) == "openvino"
    assert choice.fastest_engine(torch.device("cuda"), True) == "torch"
    there.remove("openvino")
    assert choice.fastest_engine(cpu, True) == choice.fastest_engine(cpu, False) == "onnxruntime"
    units = ("AVX2", "AVX512", "AMX")
    assert choice.fastest_engine(cpu, True) == "onnxruntime"
    assert choice.fastest_engine(cpu, False) == "torch"
    there.insert(1, "openvino")
    units = ("NEON", "DOT")
    assert choice.fastest_engine(cpu, True) == "onnxruntime"
    assert choice.fastest_engine(cpu, False) == "openvino"
    there[1:] = []
    assert choice.fastest_engine(cpu, True) == "torch"


FASTEST = """
import torch
torch.set_num_threads(1)
from duml_tracker_ros.tracker import create_tracker
told = create_tracker(device="cpu").info()
print(told["engine"], told["precision"])
"""


@pytest.mark.parametrize("isa", ["all", "avx2"])
def test_without_settings_it_is_what_pays_on_the_processor(isa: str) -> None:
    pytest.importorskip("openvino")
    kept = {**os.environ, **RESTRICTIONS.get(isa, {})}
    if isa != "all" and "AVX2" not in vector_units({}):
        pytest.skip("nothing to be kept to")
    run = [sys.executable, "-c", FASTEST]
    found = subprocess.run(run, env=kept, capture_output=True, text=True, check=True, timeout=240)
    units = vector_units(kept)
    engine, precision = found.stdout.split()
    assert engine == ("onnxruntime" if "NEON" in units else "openvino")
    assert precision in (("fp16", "bf16") if {"AMX", "AVX512-BF16"} & set(units) else ("int8",))


WITHOUT_AVX512 = """
import numpy as np, torch
torch.set_num_threads(1)
from duml_tracker_ros.tracker import create_tracker
for precision in ("bf16", "int8"):
    tracker = create_tracker(device="cpu", engine="openvino", precision=precision, size="compact")
    tracker.init(np.full((96, 96, 3), 80, np.uint8), (30.0, 30.0, 20.0, 20.0))
    print(tracker.info()["precision"])
"""


@pytest.mark.skipif("AVX2" not in vector_units({}), reason="nothing to be kept to")
def test_openvino_starts_on_a_processor_without_bf16() -> None:
    pytest.importorskip("openvino")
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_AVX512],
        env={**os.environ, **RESTRICTIONS["avx2"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert found.stdout.split() == ["fp32", "int8"]


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
    with pytest.raises(ConfigError, match="auto, torch, cuda_graph, openvino"):
        create_tracker(device="cpu", engine="abacus")
    with pytest.raises(ConfigError, match="'int8' is not for engine = 'torch'; take engine=openv"):
        create_tracker(device="cpu", engine="torch", precision="int8")
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install openvino"):
        create_tracker(device="cpu", engine="openvino")
    with pytest.raises(ConfigError, match="pip install onnxruntime onnx onnxscript"):
        create_tracker(device="cpu", engine="onnxruntime")
    with pytest.raises(ConfigError, match="for CPUs"):
        choice.make_engine("openvino", torch.device("cuda"), True)
