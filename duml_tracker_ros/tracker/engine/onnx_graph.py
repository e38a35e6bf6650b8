"""A graph as ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..network.graphs import Graph

OPSET = 18


def to_onnx(
    graph: Graph, example: Sequence[Tensor], any_size: bool = False
) -> torch.onnx.ONNXProgram:
    """Export for the shapes of an example; needs the packages onnx and onnxscript.

    Inputs and outputs have the graph's names. ``any_size`` leaves the size of the crop open.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    open_sizes: Any = None
    if any_size:
        sides = dict.fromkeys((2, 3), torch.export.Dim.AUTO)
        rest: tuple[dict[int, Any], ...] = tuple({} for _ in example[1:])
        open_sizes = (sides, rest) if rest else (sides,)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        torch.inference_mode(False),
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=open_sizes,
            verbose=False,
        )
    assert program is not None
    return program


def without_traces(model: Any) -> Any:
    """A model proto without what the exporter says of the source: line numbers, paths of files."""
    functions = [node for f in model.functions for node in f.node]
    graph = model.graph
    parts = (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for part in (graph, *parts, *functions):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def part_of(model: bytes, graph: Graph) -> bytes:
    """What of an ONNX file computes a graph's outputs from its inputs."""
    import onnx  # type: ignore[import-not-found, import-untyped, unused-ignore]

    whole = onnx.load_from_string(model)
    if tuple(o.name for o in whole.graph.output) == graph.outputs:
        return model
    cut = onnx.utils.Extractor(whole).extract_model(list(graph.inputs), list(graph.outputs))
    found: bytes = cut.SerializeToString()
    return found
