"""OpenVINO on CPUs: the graph is read from torch itself, no file in between."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..network.graphs import Graph
from .base import Run


class Pixels(nn.Module):
    """A graph that takes crops as cameras give them, [B, S, S, 3]."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, pixels: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.graph(pixels.permute(0, 3, 1, 2), *rest)
        return found


class OpenVinoEngine:
    """Compiles for latency on as many threads as torch has.

    ``half``: float16 where the processor has it, which is nearer to float32 than bfloat16 and as
    fast, else bfloat16 where it has that.

    OpenVINO would report each import and model to its makers, from processes of their own that take
    the processor from the first frames; its telemetry is left out, which it allows.
    """

    def __init__(self, half: bool) -> None:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self._openvino = openvino
        self._core = openvino.Core()
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        kinds = [k for k in ("FP16", "BF16") if half and k in able]
        self._settings = {
            "INFERENCE_PRECISION_HINT": {"FP16": "f16", "BF16": "bf16"}[kinds[0]]
            if kinds
            else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # It would pin the calling thread as well, and with it those that torch starts from it.
            "ENABLE_CPU_PINNING": False,
        }

    def load(self, graph: Graph, example: Sequence[Tensor]) -> Run:
        crops, *rest = example
        inputs = (crops.permute(0, 2, 3, 1).contiguous(), *rest)
        with warnings.catch_warnings():
            # The tracer warns of sizes it takes for constants: they are.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(Pixels(graph).eval(), inputs, check_trace=False)
            model = self._openvino.convert_model(
                torch.jit.freeze(traced),
                example_input=inputs,
                input=[list(x.shape) for x in inputs],
            )
        request = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        tensor, count = self._openvino.Tensor, len(graph.outputs)

        def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, tensor(array, shared_memory=True))
            request.infer()
            return [request.get_output_tensor(i).data for i in range(count)]

        return run
