"""`duml-tracker export`: the networks of a tracker as ONNX files."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..outputs import whole, write_text
from .common import DEFAULT_TRACKER, CliError, epilog

if TYPE_CHECKING:
    import torch

    from ..tracker.network.base import CropNet
    from ..tracker.network.graphs import Graph

DESCRIPTION = """\
Write the learned networks of a tracker as ONNX graphs of fixed shapes, for other runtimes:

  NAME_template.onnx   template crop -> matching kernels and what the online branch starts from
                       (once a target; trackers without a template have none)
  NAME_search.onnx     search crop and kernels -> dense predictions and the features of the online
                       branch (every frame)
  NAME.json            sizes, inputs and outputs, anchors, checksum of the weights; the graphs carry
                       the same as metadata

What is learned online, the localisation and the score voting are no networks and are not in the
graphs. Needs the packages onnx and onnxscript; onnxruntime, where installed, checks the graphs.
"""
TOLERANCE = 1e-3


def add_parser(subparsers: Any, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "export",
        parents=parents,
        help="write the networks as ONNX",
        description=DESCRIPTION,
        epilog=epilog(
            ("the shipped weights", "duml-tracker export --out onnx"),
            (
                "weights of your own training, another search size",
                "duml-tracker export --weights runs/first/duml_compact.safetensors "
                "--search-size 257 --out onnx",
            ),
            (
                "another tracker",
                "duml-tracker export --tracker siamrcr --weights siamrcr.safetensors --out onnx",
            ),
        ),
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the files")
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="a .safetensors file (default: the weights in the package)",
    )
    parser.add_argument(
        "--size",
        default="auto",
        metavar="NAME",
        help="network size: lite, compact, r50, ... (default: that of the "
        "weights; of the package's, the best)",
    )
    parser.add_argument(
        "--search-size", type=int, metavar="N", help="pixels, 32 k + 1 (default: the weights')"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    from ..tracker.factory import SYSTEMS, load_network

    missing = [p for p in ("onnx", "onnxscript") if importlib.util.find_spec(p) is None]
    if missing:
        raise CliError(f"{' and '.join(missing)} missing; pip install {' '.join(missing)}")
    overrides = {} if args.search_size is None else {"network.search_size": args.search_size}
    config, net, checkpoint = load_network(args.tracker, args.weights, args.size, overrides)
    if config.network.search_size < 97:
        raise CliError(f"--search-size {args.search_size}: must be at least 97, such as 193")
    folder = Path(args.out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"--out {folder}: {error.strerror}") from None
    name = f"{args.tracker}_{config.size}"
    about = {
        "tracker": args.tracker,
        "size": config.size,
        "weights": checkpoint.path.name if checkpoint else "random",
        "sha256": checkpoint.sha256 if checkpoint else "",
        **describe(net),
    }
    template, search = SYSTEMS[args.tracker].graphs(net)
    described = {"graphs": export_graphs(net, template, search, folder, name, about), **about}
    manifest = folder / f"{name}.json"
    write_text(manifest, json.dumps(described, indent=1) + "\n")
    for graph in described["graphs"].values():
        size = (folder / graph["file"]).stat().st_size / 2**20
        difference = graph["difference"]
        checked = (
            "not run: pip install onnxruntime to compare"
            if difference is None
            else f"onnxruntime differs by at most {difference:.1e}"
        )
        print(f"{folder / graph['file']}: {size:.1f} MiB, {checked}")
    print(manifest)
    return 0


def describe(net: CropNet) -> dict[str, Any]:
    """What a user of the graphs has to know."""
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


def export_graphs(
    net: CropNet,
    template: Graph | None,
    search: Graph,
    folder: Path,
    name: str,
    about: dict[str, Any],
) -> dict[str, Any]:
    """Write the graphs and return their descriptions."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def crop(size: int) -> torch.Tensor:
        return torch.rand(1, 3, size, size, generator=generator) * 255

    graphs, kernels = {}, ()
    if template is not None:
        example = (crop(net.config.template_size),)
        with torch.no_grad():
            kernels = template(*example)[: len(search.inputs) - 1]
        graphs["template"] = export_graph(
            template, example, folder / f"{name}_template.onnx", about
        )
    example = (crop(net.config.search_size), *kernels)
    graphs["search"] = export_graph(search, example, folder / f"{name}_search.onnx", about)
    return graphs


def export_graph(
    graph: Graph, example: tuple[torch.Tensor, ...], path: Path, about: dict[str, Any]
) -> dict[str, Any]:
    """Write one graph; raises CliError when it does not compute what torch does."""
    import torch

    from ..tracker.engine.onnx_graph import OPSET, to_onnx

    program = to_onnx(graph, example)
    program.model.metadata_props.update({k: str(v) for k, v in about.items()})
    with torch.no_grad():
        expected = graph(*example)
    with whole(path) as partial:
        program.save(str(partial))
        difference = _difference(partial, graph.inputs, example, expected)
    return {
        "file": path.name,
        "opset": OPSET,
        "inputs": {n: list(t.shape) for n, t in zip(graph.inputs, example, strict=True)},
        "outputs": {n: list(t.shape) for n, t in zip(graph.outputs, expected, strict=True)},
        "difference": difference,
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
