"""OpenVINO on CPUs: the graph is read from torch itself, or from a quantised ONNX file."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...vector_units import vector_units
from ..network.graphs import Graph
from .base import GraphRunner


class PixelGraph(nn.Module):
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
        able = list(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        if not {"AVX512-BF16", "AMX", "BF16"} & set(vector_units()):
            # It says so of processors that only emulate it, and fails where oneDNN may not.
            able = [k for k in able if k != "BF16"]
        kinds = [k.lower() for k in ("FP16", "BF16") if half and k in able]
        self.precision = kinds[0] if kinds else "fp32"
        self._settings = {
            "INFERENCE_PRECISION_HINT": self.precision.replace("fp", "f"),
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # It would pin the calling thread as well, and with it those that torch starts from it.
            "ENABLE_CPU_PINNING": False,
        }

    def load(
        self, graph: Graph, example: Sequence[Tensor], quantised: bytes | None = None
    ) -> GraphRunner:
        crops, *rest = example
        inputs = (crops.permute(0, 2, 3, 1).contiguous(), *rest)
        shapes = [list(x.shape) for x in inputs]
        model = self._read(graph, quantised) if quantised else self._convert(graph, inputs, shapes)
        # A quantised graph is for crops of any size; compiled for one it is a tenth faster.
        model.reshape({i: self._openvino.PartialShape(s) for i, s in enumerate(shapes)})
        return Request(self._core, self._settings, model)

    def _convert(
        self, graph: Graph, inputs: tuple[Tensor, ...], shapes: Sequence[Sequence[int]]
    ) -> Any:
        with warnings.catch_warnings():
            # The tracer warns of sizes it takes for constants: they are.
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(PixelGraph(graph).eval(), inputs, check_trace=False)
            return self._openvino.convert_model(
                torch.jit.freeze(traced),
                example_input=inputs,
                input=[self._openvino.PartialShape(list(s)) for s in shapes],
            )

    def _read(self, graph: Graph, quantised: bytes) -> Any:
        """The graph's part of an ONNX file, behind pixels as they come."""
        ov = self._openvino
        whole = self._core.read_model(quantised)
        results = [whole.output(name).get_node() for name in graph.outputs]
        model = ov.Model(results, [whole.input(name).get_node() for name in graph.inputs])
        steps = ov.preprocess.PrePostProcessor(model)
        pixels = steps.input(graph.inputs[0])
        pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        pixels.model().set_layout(ov.Layout("NCHW"))
        return steps.build()


class Request:
    """A compiled model, for one thread."""

    def __init__(self, core: Any, settings: dict[str, Any], model: Any) -> None:
        self._made_of = core, settings, model
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        # Filled in place: a tensor for each input of a frame costs more than the copy.
        count = len(model.inputs)
        self._inputs = [self._request.get_input_tensor(i).data for i in range(count)]

    def twin(self) -> Request:
        return Request(*self._made_of)

    def __call__(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        for place, array in zip(self._inputs, arrays, strict=True):
            np.copyto(place, array)
        # Views: without this every output is copied here as well.
        found: Sequence[np.ndarray] = self._request.infer(share_outputs=True).to_tuple()
        return found
