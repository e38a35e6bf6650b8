"""`duml-tracker export`: the networks of a tracker as ONNX files."""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import Whole, positive
from ..digest import file_digest
from ..outputs import write_text
from ..whole_set import whole_set
from .common import DEFAULT_TRACKER, CliError, add_weights

if TYPE_CHECKING:
    import torch

    from ..tracker.checkpoint import Checkpoint
    from ..tracker.network.base import CropNet
    from ..tracker.network.graphs import Graph

HELP = "write the networks as ONNX"
DESCRIPTION = """\
Write the learned networks of a tracker as ONNX graphs of fixed shapes, for other runtimes:

  NAME_template.onnx   template crop -> matching kernels and what the online branch starts from
                       (once a target; trackers without a template have none)
  NAME_search.onnx     search crop and kernels -> dense predictions and the features of the online
                       branch (every frame)
  NAME.json            sizes, inputs and outputs, anchors, checksums of the weights and of the
                       graphs, which carry the same as metadata; written last

What is learned online, the localisation and the score voting are no networks and are not in the
graphs. Needs the packages onnx and onnxscript; onnxruntime, where installed, checks the graphs.

With --int8 it writes instead the graph that precision=int8 runs, with the checksums of both:

  WEIGHTS.NAME.int8.onnx   search graph in int8 for crops of any size, quantised by onnxruntime with
                           crops of the training data; a tracker finds it beside its weights
"""
EXAMPLES = """\
# the shipped weights
duml-tracker export --out onnx
# weights of your own training, another search size
duml-tracker export --weights runs/first/duml_compact.safetensors --search-size 257 --out onnx
# int8 for weights of your own, beside them
duml-tracker export --int8 --data DIR --weights runs/first/duml_compact.safetensors --out \
runs/first
# another tracker
duml-tracker export --tracker siamrcr --weights siamrcr.safetensors --out onnx
"""
TOLERANCE = 1e-3
LEAST = 97
"""Pixels of a search crop."""
CHECKED = 32
"""Pairs of crops that --int8 is compared with fp32 on."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the files")
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    add_weights(parser)
    parser.add_argument(
        "--search-size",
        type=Whole(LEAST, 1025),
        metavar="N",
        help="pixels, 32 k + 1 (default: the weights')",
    )
    parser.add_argument("--int8", action="store_true", help="the quantised search graph")
    parser.add_argument(
        "--data", metavar="DIR", help="training data (index.jsonl) to calibrate --int8 with"
    )
    parser.add_argument(
        "--crops",
        type=positive,
        default=256,
        metavar="N",
        help="pairs of crops to calibrate --int8 with (default: 256)",
    )


def run(args: argparse.Namespace) -> int:
    from ..tracker.factory import load_network, system

    packages = ("onnx", "onnxscript", "onnxruntime") if args.int8 else ("onnx", "onnxscript")
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        raise CliError(f"{' and '.join(missing)} missing; pip install {' '.join(missing)}")
    overrides = {} if args.search_size is None else {"network.search_size": args.search_size}
    config, net, checkpoint = load_network(
        args.tracker, args.weights, args.size or "auto", overrides
    )
    if config.network.search_size < LEAST:
        raise CliError(f"--search-size {config.network.search_size}: must be at least {LEAST}")
    folder = Path(args.out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"--out {folder}: {error.strerror}") from None
    if args.int8:
        return _int8(args, net, checkpoint, folder)
    name = f"{args.tracker}_{config.size}"
    about = {
        "tracker": args.tracker,
        "size": config.size,
        "weights": checkpoint.path.name if checkpoint else "random",
        "sha256": checkpoint.sha256 if checkpoint else "",
        **describe(net),
    }
    template, search = system(args.tracker).graphs(net)
    described = write_graphs(make_graphs(net, template, search), folder, name, about)
    for graph in described["graphs"].values():
        size = (folder / graph["file"]).stat().st_size / 2**20
        difference = graph["difference"]
        checked = (
            "not run: pip install onnxruntime to compare"
            if difference is None
            else f"onnxruntime differs by at most {difference:.1e}"
        )
        print(f"{folder / graph['file']}: {size:.1f} MiB, {checked}")
    print(folder / f"{name}.json")
    return 0


def _int8(
    args: argparse.Namespace, net: CropNet, checkpoint: Checkpoint | None, folder: Path
) -> int:
    from ..tracker.engine.quantise import deviation, quantise_search
    from ..tracker.engine.quantised import beside, save_quantised
    from ..tracker.factory import system
    from ..training.config import DataConfig
    from ..training.data import Batches, DataError, make_loader

    if checkpoint is None:
        raise CliError(
            "--int8: untrained networks are quantised where they are used; name --weights"
        )
    if not args.data:
        raise CliError("--int8 calibrates with crops of the training data: add --data DIR")
    batch = min(16, args.crops)
    n = net.config
    crops = Batches(n.template_size, n.search_size, n_search=1, size=batch)
    # Cut-outs and scenes take minutes and are no other pictures.
    data = DataConfig(args.data, workers=0, grabcut_limit=0, scene_clips=0)
    try:
        batches = iter(make_loader(data, crops, progress=False))
    except DataError as error:
        raise CliError(f"--data: {error}") from None
    pairs: list[Any] = []
    while len(pairs) < args.crops + CHECKED:
        made = next(batches)
        pairs += zip(made["template"].numpy(), made["search"][:, 0].numpy(), strict=True)
    template, search = system(args.tracker).graphs(net)
    model = quantise_search(template, search, pairs[: args.crops])
    path = folder / beside(checkpoint.path, args.tracker).name
    save_quantised(model, path, checkpoint)
    print(f"{path}: {len(model) / 2**20:.1f} MiB, calibrated with {args.crops} pairs of crops")
    differs = deviation(template, search, model, pairs[args.crops : args.crops + CHECKED])
    print(
        f"on {CHECKED} others, relative to the spread of each output in fp32: "
        + ", ".join(f"{name} {value:.3f}" for name, value in differs.items())
    )
    if path.parent.resolve() != checkpoint.path.parent.resolve():
        print(f"a tracker looks for it beside {checkpoint.path}")
    return 0


def describe(net: CropNet) -> dict[str, Any]:
    """Return sizes, anchors and the format of crops, for the manifest."""
    config = net.config
    return {
        "crop": "float32 [1, 3, S, S], RGB, 0..255",
        "template_size": config.template_size,
        "search_size": config.search_size,
        "stride": config.stride,
        "anchor_size": config.anchor_size,
        "anchor_ratios": list(config.ratios),
        "anchors": "cell (i, j) centred on crop pixel centre (stride j, stride i)",
        "deltas": "dx, dy in anchor sizes, log w, log h",
    }


@dataclass(frozen=True)
class Made:
    """A graph in ONNX, with what it is checked against."""

    graph: Graph
    program: Any
    example: tuple[torch.Tensor, ...]
    expected: tuple[torch.Tensor, ...]


def make_graphs(net: CropNet, template: Graph | None, search: Graph) -> dict[str, Made]:
    """The graphs of a network by their names."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def crop(size: int) -> torch.Tensor:
        return torch.rand(1, 3, size, size, generator=generator) * 255

    made: dict[str, Made] = {}
    kernels: tuple[torch.Tensor, ...] = ()
    if template is not None:
        made["template"] = _make(template, (crop(net.config.template_size),))
        kernels = made["template"].expected[: len(search.inputs) - 1]
    made["search"] = _make(search, (crop(net.config.search_size), *kernels))
    return made


def _make(graph: Graph, example: tuple[torch.Tensor, ...]) -> Made:
    import torch

    from ..tracker.engine.onnx_graph import to_onnx

    with torch.no_grad():
        expected = tuple(graph(*example))
    return Made(graph, to_onnx(graph, example), example, expected)


def write_graphs(
    made: dict[str, Made], folder: Path, name: str, about: dict[str, Any]
) -> dict[str, Any]:
    """Write graphs and manifest into a folder, which hold the old ones or the new ones; returns
    what the manifest says.

    Raises CliError when a graph does not compute what torch does.
    """
    with whole_set(folder, f"{name}.json") as draft:
        graphs = {
            kind: _write_graph(graph, draft / f"{name}_{kind}.onnx", about)
            for kind, graph in made.items()
        }
        described = {"graphs": graphs, **about}
        write_text(draft / f"{name}.json", json.dumps(described, indent=1) + "\n")
    return described


def _write_graph(made: Made, path: Path, about: dict[str, Any]) -> dict[str, Any]:
    from ..tracker.engine.onnx_graph import OPSET

    graph, expected = made.graph, made.expected
    made.program.model.metadata_props.update({k: str(v) for k, v in about.items()})
    made.program.save(str(path))
    return {
        "file": path.name,
        "sha256": file_digest(path),
        "opset": OPSET,
        "inputs": {n: list(t.shape) for n, t in zip(graph.inputs, made.example, strict=True)},
        "outputs": {n: list(t.shape) for n, t in zip(graph.outputs, expected, strict=True)},
        "difference": _difference(path, graph.inputs, made.example, expected),
    }


def _difference(
    path: Path,
    names: tuple[str, ...],
    inputs: tuple[torch.Tensor, ...],
    expected: tuple[torch.Tensor, ...],
) -> float | None:
    """Largest difference of the graph run by onnxruntime; None where that is not installed.

    Raises CliError when the graph computes something else.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {n: t.numpy() for n, t in zip(names, inputs, strict=True)}
    found = session.run(None, feed)
    largest = max(float(abs(f - e.numpy()).max()) for f, e in zip(found, expected, strict=True))
    scale = max(1.0, *(float(e.abs().max()) for e in expected))
    if not largest <= TOLERANCE * scale:
        raise CliError(f"{path.name} differs from torch by {largest:.2g}; do not use it")
    return largest
