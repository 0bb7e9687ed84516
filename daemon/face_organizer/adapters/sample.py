"""A network as small as can be, to see whether a runtime works at all.

Room:    adapters
Imports: numpy, onnx, stdlib

TensorRT takes minutes for a real one, and moments for this.
"""

from __future__ import annotations

import numpy as np


def small_network() -> bytes:
    """One convolution of pictures, float32 (n, 3, 112, 112), as an ONNX file."""
    import onnx

    weights = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    pictures, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    source, answer = pictures("data", kind, ["n", 3, 112, 112]), pictures("answer", kind, ["n", 8, 110, 110])
    step = onnx.helper.make_node("Conv", ["data", "weights"], ["answer"])
    graph = onnx.helper.make_graph(
        [step], "small", [source], [answer], [onnx.numpy_helper.from_array(weights, "weights")]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())
