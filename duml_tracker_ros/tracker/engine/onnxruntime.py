"""ONNX Runtime on CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..network.graphs import Graph
from .base import Run
from .onnx_graph import part_of, to_onnx


class OnnxRuntimeEngine:
    """Runs the graph in float32, or as it is quantised, on as many threads as torch has."""

    precision = "fp32"

    def load(self, graph: Graph, example: Sequence[Tensor], quantised: bytes | None = None) -> Run:
        import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that spin starve whoever else needs the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if quantised is None:
            program = to_onnx(graph, example, graph.any_size)
            model = program.model_proto.SerializeToString()
        else:
            model = part_of(quantised, graph)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = graph.inputs
        kind = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.float32

        def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
            crops, *rest = arrays
            planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), kind)
            found: list[np.ndarray] = session.run(
                None, dict(zip(names, (planes, *rest), strict=True))
            )
            return found

        return run
