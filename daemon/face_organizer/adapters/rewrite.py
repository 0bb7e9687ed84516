"""Write a network in other words that a runtime computes faster, with the same answers.

Room:    adapters
Imports: onnx, numpy

**PReLU** in ONNX Runtime on a CPU takes as long as all of SFace's convolutions. With s the slope of a channel, prelu(x)
= s x + relu((1 - s) x) where s <= 1, else s x + (1 - s) relu(x): two depthwise convolutions of 1 x 1, a Relu and an
Add, which it lays out and fuses like the rest. OpenVINO is good at PReLU, and loses by this (docs/models.md).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def without_prelu(network: bytes) -> bytes | None:
    """The same network with its PReLUs so written, deterministic bytes; None where it has none that can be."""
    model = onnx.load_model_from_string(network)
    graph = model.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []
    for node in graph.node:
        slope = weights.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is None or slope.ndim != 3 or slope.shape[1:] != (1, 1):
            nodes.append(node)
        else:
            written, tensors = _written(node, slope.reshape(-1).astype(np.float32))
            nodes += written
            added += tensors
    if not added:
        return None
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *added])
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _written(node: onnx.NodeProto, slope: NDArray[np.float32]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Four nodes in the place of one. slope: float32 (c,)"""
    x, y = node.input[0], node.output[0]
    tensors = []

    def scaled(source: str, factor: NDArray[np.float32], target: str) -> onnx.NodeProto:
        tensors.append(numpy_helper.from_array(factor.reshape(-1, 1, 1, 1), f"{target}_factor"))
        return helper.make_node(
            "Conv", [source, f"{target}_factor"], [target], name=target, group=len(factor), kernel_shape=[1, 1]
        )

    straight, bent = f"{y}_straight", f"{y}_bent"
    if slope.max() <= 1:
        kink = [scaled(x, 1 - slope, f"{bent}_in"), helper.make_node("Relu", [f"{bent}_in"], [bent], name=bent)]
    else:
        kink = [helper.make_node("Relu", [x], [f"{bent}_in"], name=f"{bent}_in"), scaled(f"{bent}_in", 1 - slope, bent)]
    return [scaled(x, slope, straight), *kink, helper.make_node("Add", [bent, straight], [y], name=y)], tensors
