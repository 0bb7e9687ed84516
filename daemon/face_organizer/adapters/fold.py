"""Make a network fit to run here: plain float32, with free batch and picture size.

Room:    adapters
Imports: onnx, numpy

**Block-quantised weights.** One arrives as int8 blocks: DequantizeLinear(quantised, scales, zero points, axis,
block_size), then a Reshape to the shape its convolution wants. OpenCV evaluates both when it loads; ONNX Runtime
refuses at the first run. Here they are evaluated once: weight = (quantised - zero point) * scale, each scale and zero
point spread over its block.

**Batches.** Many networks were exported for a batch of one: the first axis is freed where shapes hold it fast. SCRFD's
heads are written either way; some put the batch between the cells (Transpose 2, 3, 0, 1) and drop it (Reshape -1, c),
which is right for one picture only. Whether a batch of n is then as good as n runs is proven, not believed
(adapters/prepare.py).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Constants = dict[str, NDArray[np.generic]]


def fold_to_float32(original: bytes) -> bytes:
    """The same network as float32 ONNX with free axes, deterministic bytes.

    Inputs that are weights, or that nothing reads, are dropped. The first axis of inputs and outputs becomes free;
    so do h and w of a network that works at any size (a detector), told by its outputs: they have one row per cell.
    Raises onnx's errors, ValueError: what is there is no valid network.
    """
    model = onnx.load_model_from_string(original)
    graph = model.graph
    constants: Constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept = [node for node in graph.node if not _evaluate(node, constants)]
    _free_the_heads(graph, kept, constants)
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
    if node.op_type == "Constant":
        (value,) = node.attribute
        told = helper.get_attribute_value(value)
        constants[node.output[0]] = numpy_helper.to_array(told) if value.name == "value" else np.array(told)
        return True
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


def _free_the_heads(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], constants: Constants) -> None:
    """Outputs without a batch axis, (cells, c) behind a Transpose, become (n, cells, c)."""
    made_by = {name: node for node in nodes for name in node.output}
    for value in graph.output:
        axes = value.type.tensor_type.shape.dim
        node = made_by.get(value.name)
        if node is not None and node.op_type == "Sigmoid":
            node = made_by.get(node.input[0])
        if len(axes) != 2 or node is None or node.op_type != "Reshape":
            continue
        turn = made_by.get(node.input[0])
        shape = constants.get(node.input[1], np.zeros(0, np.int64))
        width = axes[1].dim_value or (int(shape[-1]) if len(shape) == 2 else 0)
        if turn is None or turn.op_type != "Transpose" or width <= 0:
            continue
        del turn.attribute[:]
        turn.attribute.append(helper.make_attribute("perm", [0, 2, 3, 1]))
        node.input[1] = f"{value.name}_shape"
        constants[node.input[1]] = np.array([0, -1, width], np.int64)
        axes.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))


def _free_the_batch_in_reshapes(nodes: list[onnx.NodeProto], constants: Constants) -> None:
    """Reshape to [1, ...] becomes [0, ...]: keep the first axis, whatever it is."""
    for node in nodes:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if shape is not None and shape.ndim == 1 and len(shape) > 1 and shape[0] == 1:
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
