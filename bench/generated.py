"""A network of ArcFace's usual shape with random weights: speed without anybody's licence. It recognises nobody.

IResNet-50 (Duta et al. 2020) as InsightFace exports it: 112 x 112 RGB in, 512 out; batch normalisation that follows a
convolution is folded into it, the one before stays.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
SIDE_PX, D = 112, 512


class Net:
    """A graph as it grows. macs: multiplications and additions of one face, counted by the shapes of convolutions and
    products, as pairs."""

    def __init__(self, kind: type[np.floating]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.macs = 0
        self._kind, self._rng = kind, np.random.default_rng(0)

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(self._kind), name))
        return name

    def add(self, operator: str, inputs: list[str], **attributes: object) -> str:
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def conv(self, x: str, wide_in: int, wide_out: int, kernel: int, side: int, stride: int = 1) -> str:
        """side: of the output, px."""
        scale = (2 / (wide_in * kernel * kernel)) ** 0.5
        weights = self.weight(self._rng.normal(0, scale, (wide_out, wide_in, kernel, kernel)))
        bias = self.weight(self._rng.normal(0, 0.1, wide_out))
        self.macs += wide_in * kernel * kernel * wide_out * side * side
        shape = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "strides": [stride] * 2}
        return self.add("Conv", [x, weights, bias], **shape)

    def norm(self, x: str, wide: int) -> str:
        ones, zeros = np.ones(wide), np.zeros(wide)
        return self.add("BatchNormalization", [x, *(self.weight(values) for values in (ones, zeros, zeros, ones))])

    def prelu(self, x: str, wide: int) -> str:
        return self.add("PRelu", [x, self.weight(np.full((wide, 1, 1), 0.25))])

    def block(self, x: str, wide_in: int, wide: int, side: int, stride: int) -> str:
        """side: of the output, px."""
        inner = self.prelu(self.conv(self.norm(x, wide_in), wide_in, wide, 3, side * stride), wide)
        inner = self.conv(inner, wide, wide, 3, side, stride)
        if stride > 1:
            x = self.conv(x, wide_in, wide, 1, side, stride)
        return self.add("Mul", [self.add("Add", [inner, x]), self.weight(np.array(0.7))])  # else it grows beyond half


def write_arcface_r50(path: Path, *, half: bool) -> float:
    """Write the network; returns the GFLOP (two for each multiplication and addition) that a face takes.

    half: its weights and steps in half precision; in and out it has single precision as ever.
    """
    net = Net(np.float16 if half else np.float32)
    x, wide, side = "data", 64, SIDE_PX
    if half:
        x = net.add("Cast", [x], to=TensorProto.FLOAT16)
    x = net.prelu(net.conv(net.add("Mul", [x, net.weight(np.array(1 / 128))]), 3, wide, 3, side), wide)
    for wide_out, blocks in STAGES:
        for number in range(blocks):
            stride = 2 if number == 0 else 1
            side //= stride
            x, wide = net.block(x, wide, wide_out, side, stride), wide_out
    x = net.add("Flatten", [net.norm(x, wide)], axis=1)
    net.macs += wide * side * side * D
    product = net.weight(np.random.default_rng(1).normal(0, 0.006, (wide * side * side, D)))
    x = net.add("Gemm", [x, product, net.weight(np.zeros(D))])
    net.nodes[-1].output[0] = "embedding"
    if half:
        net.nodes[-1].output[0] = "embedding_half"
        net.nodes.append(helper.make_node("Cast", ["embedding_half"], ["embedding"], to=TensorProto.FLOAT))
    data = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["n", 3, SIDE_PX, SIDE_PX])
    told = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", D])
    graph = helper.make_graph(net.nodes, "arcface-r50-random", [data], [told], net.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return 2 * net.macs / 1e9
