"""A graph as ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ..network.graphs import Graph

OPSET = 18


def to_onnx(graph: Graph, example: Sequence[Tensor]) -> torch.onnx.ONNXProgram:
    """Export for the shapes of an example; needs the packages onnx and onnxscript.

    Inputs and outputs have the graph's names.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
            verbose=False,
        )
    assert program is not None
    return program
