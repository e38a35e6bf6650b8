"""ONNX Runtime on CPUs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..network.graphs import Graph
from .base import Run
from .onnx_graph import to_onnx


class OnnxRuntimeEngine:
    """Runs the graph in float32 on as many threads as torch has."""

    def load(self, graph: Graph, example: Sequence[Tensor]) -> Run:
        import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that spin starve whoever else needs the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = to_onnx(graph, example).model_proto.SerializeToString()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = graph.inputs

        def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
            crops, *rest = arrays
            planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))
            found: list[np.ndarray] = session.run(
                None, dict(zip(names, (planes, *rest), strict=True))
            )
            return found

        return run
