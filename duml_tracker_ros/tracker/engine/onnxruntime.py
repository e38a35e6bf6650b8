"""ONNX Runtime on CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..network.graphs import Graph
from .base import GraphRunner
from .onnx_graph import part_of, to_onnx


class OnnxRuntimeEngine:
    """Runs the graph in float32, or as it is quantised, on as many threads as torch has."""

    precision = "fp32"

    def load(
        self, graph: Graph, example: Sequence[Tensor], quantised: bytes | None = None
    ) -> GraphRunner:
        import onnxruntime  # type: ignore[import-not-found, import-untyped, unused-ignore]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        # Threads that spin starve whoever else needs the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if quantised is None:
            program = to_onnx(graph, example)
            model = program.model_proto.SerializeToString()
        else:
            model = part_of(quantised, graph)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Session(session, graph.inputs)


class Session:
    """A session of ONNX Runtime, which any number of threads may run."""

    def __init__(self, session: Any, names: Sequence[str]) -> None:
        self._session, self._names = session, names
        pixels = session.get_inputs()[0].type
        self._kind = np.uint8 if pixels == "tensor(uint8)" else np.float32

    def twin(self) -> Session:
        return self

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        crops, *rest = arrays
        planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), self._kind)
        feed = dict(zip(self._names, (planes, *rest), strict=True))
        found: list[np.ndarray] = self._session.run(None, feed)
        return found
