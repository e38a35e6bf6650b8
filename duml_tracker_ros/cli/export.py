"""`duml-tracker export`: the networks of a tracker as ONNX files."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import CliError, epilog

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..tracker.network.dual_modal import DualModalNet

DESCRIPTION = """\
Write the learned networks of DuML as two ONNX graphs, for other runtimes:

  NAME_template.onnx   template crop -> matching kernels and the first online filter (once a target)
  NAME_search.onnx     search crop and kernels -> class logits, box deltas, IoU logits and the
                       features of the online branch (every frame)
  NAME.json            sizes, inputs and outputs, anchors, checksum of the weights

The online filter's updates, the localisation and the score voting are no networks and are not in
the graphs. Needs the packages onnx and onnxscript; onnxruntime, where installed, checks the graphs.
"""
OPSET = 18
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
        ),
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the files")
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="a .safetensors file (default: the weights in the package)",
    )
    parser.add_argument(
        "--size", default="compact", metavar="NAME", help="compact (default) or r50"
    )
    parser.add_argument(
        "--search-size", type=int, metavar="N", help="pixels, 32 k + 1 (default: the weights')"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    missing = [p for p in ("onnx", "onnxscript") if importlib.util.find_spec(p) is None]
    if missing:
        raise CliError(f"{' and '.join(missing)} missing; pip install {' '.join(missing)}")
    net, weights, digest = load_network(args.weights, args.size)
    search = args.search_size or net.config.search_size
    if search % 32 != 1 or search < 97:
        raise CliError(f"--search-size {search}: must be 32 k + 1 and at least 97, such as 193")
    folder = Path(args.out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"--out {folder}: {error.strerror}") from None
    name = f"duml_{args.size}"
    described = export_network(net, folder, name, search)
    described["weights"] = {"path": weights, "sha256": digest}
    manifest = folder / f"{name}.json"
    manifest.write_text(json.dumps(described, indent=1) + "\n")
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


def load_network(weights: str, size: str) -> tuple[DualModalNet, str, str | None]:
    """The network in eval mode with batch norms folded, the file's path and its checksum.

    ``random`` gives seeded random weights, to look at graphs before there are trained ones.
    """
    import torch

    from ..tracker.checkpoint.store import default_weights, load_checkpoint, load_state
    from ..tracker.config import load_config
    from ..tracker.network.blocks import fold_batch_norms
    from ..tracker.network.dual_modal import DualModalNet

    path, digest = weights, None
    if weights == "random":
        torch.manual_seed(0)
        net = DualModalNet(load_config(size).network)
    else:
        load_config(size)  # names the known sizes when this one is unknown
        checkpoint = load_checkpoint(default_weights(size) if weights == "default" else weights)
        if checkpoint.network.kind != "dual_modal":
            raise CliError(
                f"{checkpoint.path} is a network of kind {checkpoint.network.kind!r}; "
                "only those of DuML can be exported"
            )
        net = DualModalNet(checkpoint.network)
        load_state(net, checkpoint)
        path, digest = checkpoint.path.name, checkpoint.sha256
    net.eval()
    fold_batch_norms(net)
    return net, path, digest


def export_network(net: DualModalNet, folder: Path, name: str, search: int) -> dict[str, Any]:
    """Write both graphs and return their description."""
    import torch

    template_graph, search_graph = _graphs(net)
    levels = len(net.config.backbone.strides)
    kernels = [f"kernel{i}" for i in range(levels)]
    generator = torch.Generator().manual_seed(0)

    def crop(size: int) -> torch.Tensor:
        return torch.rand(1, 3, size, size, generator=generator) * 255

    with torch.no_grad():
        template = crop(net.config.template_size)
        made = template_graph(template)
    graphs = {
        "template": _export(
            template_graph,
            (template,),
            folder / f"{name}_template.onnx",
            ["crop"],
            [*kernels, "filter"],
        ),
        "search": _export(
            search_graph,
            (crop(search), *made[:-1]),
            folder / f"{name}_search.onnx",
            ["crop", *kernels],
            ["cls", "deltas", "iou", "online_features"],
        ),
    }
    config = net.config
    return {
        "graphs": graphs,
        "crop": "float32 [1, 3, S, S], RGB, 0..255",
        "template_size": config.template_size,
        "search_size": search,
        "stride": config.stride,
        "anchor_size": config.anchor_size,
        "anchor_ratios": list(config.anchor_ratios),
        "anchors": "cell (i, j) centred on crop pixel centre (stride j, stride i)",
        "deltas": "dx, dy in anchor sizes, log w, log h",
        "opset": OPSET,
    }


def _graphs(net: DualModalNet) -> tuple[nn.Module, nn.Module]:
    from torch import Tensor, nn

    class Template(nn.Module):
        """What is computed once for a target."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
            features = self.net.extract(crop)
            return (*self.net.template_kernels(features), self.net.initial_filter(features))

    class Search(nn.Module):
        """What is computed on every frame."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, crop: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
            features = self.net.extract(crop)
            out = self.net.predict(kernels, features)
            # All sizes have both branches; only networks of a study lack one.
            assert out.cls is not None
            assert self.net.online_features is not None
            return (out.cls, out.deltas, out.iou, self.net.online_features(features))

    # The exporter puts a graph back into the mode it found; train mode would reach the network.
    return Template().eval(), Search().eval()


def _export(
    graph: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    path: Path,
    input_names: list[str],
    output_names: list[str],
) -> dict[str, Any]:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            verbose=False,
        )
        assert program is not None
        program.save(str(path))
        expected = graph(*inputs)
    return {
        "file": path.name,
        "inputs": {n: list(t.shape) for n, t in zip(input_names, inputs, strict=True)},
        "outputs": {n: list(t.shape) for n, t in zip(output_names, expected, strict=True)},
        "difference": _difference(path, input_names, inputs, expected),
    }


def _difference(
    path: Path,
    names: list[str],
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
