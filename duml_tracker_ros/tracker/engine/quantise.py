"""A search graph in int8, quantised after training by ONNX Runtime; OpenVINO runs it as well.

Weights have a scale a channel, activations one a tensor, from the range that they have on some
crops. Only convolutions with learned weights are quantised: the last layers are matrix products,
and what the online branch sees comes from a convolution in floating point. So does what sees few
channels at a time, pixels and depth-wise convolutions: little of the arithmetic, most of the error.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import TrackerError
from ..network.graphs import Graph
from .onnx_graph import to_onnx, without_traces

FEW = 4


def quantise_search(
    template: Graph | None, search: Graph, pairs: Iterable[tuple[np.ndarray, np.ndarray]]
) -> bytes:
    """Quantise a tracker's graph of a frame.

    Args:
        template: the graph of its template, if it has one.
        pairs: template and search crops of the same target, uint8 [3, S, S].

    Raises TrackerError as ``quantise`` does.
    """

    return quantise(search, [_example(template, search, pair) for pair in pairs])


def _example(
    template: Graph | None, search: Graph, pair: tuple[np.ndarray, np.ndarray]
) -> tuple[Tensor, ...]:
    crops = [torch.from_numpy(crop).float()[None] for crop in pair]
    if template is None:
        return (crops[1],)
    with torch.no_grad():
        return (crops[1], *template(crops[0])[: len(search.inputs) - 1])


def deviation(
    template: Graph | None,
    search: Graph,
    model: bytes,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> dict[str, float]:
    """Root mean square difference of each output from fp32, relative to its standard deviation."""
    from .onnxruntime import OnnxRuntimeEngine

    run = OnnxRuntimeEngine().load(search, (), model)
    ours, theirs = [], []
    for pair in pairs:
        crops, *kernels = _example(template, search, pair)
        with torch.no_grad():
            ours.append([x.numpy() for x in search(crops, *kernels)])
        pixels = np.ascontiguousarray(pair[1][None].transpose(0, 2, 3, 1))
        theirs.append(run([pixels, *(k.contiguous().numpy() for k in kernels)]))
    found = {}
    for i, name in enumerate(search.outputs):
        a, b = (np.stack([outputs[i] for outputs in side]) for side in (ours, theirs))
        found[name] = float(np.sqrt(np.mean((a - b) ** 2)) / max(a.std(), 1e-9))
    return found


def quantise(graph: Graph, examples: Iterable[Sequence[Tensor]]) -> bytes:
    """Quantise a graph; the same examples give the same bytes.

    Args:
        graph: plain and folded, in float32.
        examples: crops [1, 3, S, S] float32, RGB 0..255, and what else the graph takes.

    Raises:
        TrackerError: a package is missing; names it.
    """
    try:
        import onnx  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import onnxscript  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
        from onnxruntime import quantization  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise TrackerError(
            f"quantising needs {error.name}; pip install onnx onnxruntime onnxscript"
        ) from error

    feeds = [
        {n: x.detach().contiguous().numpy() for n, x in zip(graph.inputs, example, strict=True)}
        for example in examples
    ]

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self._rest = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._rest, None)

    first = tuple(torch.from_numpy(x) for x in feeds[0].values())
    model = without_traces(to_onnx(graph, first, any_size=True).model_proto)
    # It recommends steps on the root logger that change nothing here.
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain, prepared, done = (
                Path(folder) / f"{n}.onnx" for n in ("plain", "prepared", "done")
            )
            onnx.save(model, str(plain))
            quantization.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(done),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                # 7 bits: where a processor has no VNNI, sums of two products of 8 bits overflow.
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_exact(onnx.load(str(prepared)), graph.exact),
            )
            made = without_traces(onnx.load(str(done)))
    finally:
        logger.setLevel(level)
    found: bytes = made.SerializeToString()
    return found


def _exact(model: Any, modules: Sequence[str]) -> list[str]:
    """Convolutions that stay in floating point: of these modules, of kernels given as input, and of
    fewer than ``FEW`` channels a group."""
    channels = {x.name: x.dims[1] for x in model.graph.initializer if len(x.dims) == 4}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and (channels.get(node.input[1], 0) < FEW or node.input[1].startswith(tuple(modules)))
    ]
