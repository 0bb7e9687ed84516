"""Fold a block-quantised ONNX network into plain float32, with free batch and picture size.

Room:    adapters
Imports: onnx, numpy

A weight arrives as int8 blocks: DequantizeLinear(quantised, scales, zero points, axis, block_size), then a Reshape to
the shape its convolution wants. OpenCV evaluates both when it loads; ONNX Runtime refuses at the first run. Here they
are evaluated once: weight = (quantised - zero point) * scale, each scale and zero point spread over its block.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Constants = dict[str, NDArray[np.generic]]


def fold_to_float32(original: bytes) -> bytes:
    """The same network as float32 ONNX, deterministic bytes.

    Inputs that are weights, or that nothing reads, are dropped. The first axis of inputs and outputs becomes free;
    so do h and w of a network that works at any size (YuNet), told by its outputs: they have one row per cell.
    """
    model = onnx.load_model_from_string(original)
    graph = model.graph
    constants: Constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = [node for node in graph.node if not _evaluate(node, constants)]
    _free_the_batch_in_reshapes(kept, constants)

    used = {name for node in kept for name in node.input}
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in sorted(used & set(constants)))
    pictures = [value for value in graph.input if value.name in used and value.name not in constants]
    del graph.input[:]
    graph.input.extend(pictures)
    _free_the_shapes(graph)

    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _evaluate(node: onnx.NodeProto, constants: Constants) -> bool:
    """Move a node that depends on nothing but constants into the constants. False: it must stay."""
    if node.op_type not in ("DequantizeLinear", "Reshape") or any(name not in constants for name in node.input):
        return False
    inputs = [constants[name] for name in node.input]
    if node.op_type == "Reshape":
        constants[node.output[0]] = inputs[0].reshape(inputs[1])
        return True
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    constants[node.output[0]] = _dequantise(*inputs, axis=attributes["axis"], block=attributes["block_size"])
    return True


def _dequantise(
    quantised: NDArray[np.generic],
    scales: NDArray[np.generic],
    zero_points: NDArray[np.generic],
    *,
    axis: int,
    block: int,
) -> NDArray[np.float32]:
    """(quantised - zero point) * scale, blockwise along axis; the last block may be short. ONNX DequantizeLinear-21."""
    size = quantised.shape[axis]

    def spread(values: NDArray[np.generic]) -> NDArray[np.float32]:
        return np.repeat(values, block, axis=axis).take(np.arange(size), axis=axis).astype(np.float32)

    weight: NDArray[np.float32] = (quantised.astype(np.float32) - spread(zero_points)) * spread(scales)
    return weight


def _free_the_batch_in_reshapes(nodes: list[onnx.NodeProto], constants: Constants) -> None:
    """Reshape to [1, -1, c] becomes [0, -1, c]: keep the first axis, whatever it is."""
    for node in nodes:
        if node.op_type == "Reshape":
            shape = constants[node.input[1]]
            if shape.ndim == 1 and len(shape) > 1 and shape[0] == 1 and -1 in shape:
                constants[node.input[1]] = np.concatenate([np.zeros(1, np.int64), shape[1:].astype(np.int64)])


def _free_the_shapes(graph: onnx.GraphProto) -> None:
    any_size = all(len(value.type.tensor_type.shape.dim) == 3 for value in graph.output)
    for value in graph.input:
        axes = value.type.tensor_type.shape.dim
        axes[0].dim_param = "n"
        if any_size:
            axes[2].dim_param, axes[3].dim_param = "h", "w"
    for value in graph.output:
        axes = value.type.tensor_type.shape.dim
        axes[0].dim_param = "n"
        if any_size:
            axes[1].dim_param = f"cells_{value.name}"
