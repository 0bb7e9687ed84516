"""Tiny networks of random weights with the inputs and outputs of the real ones: nobody's face is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES_PX = (8, 16, 32)


def _save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.generic]], **shapes: object) -> None:
    inputs, outputs = shapes["inputs"], shapes["outputs"]
    assert isinstance(inputs, dict)
    assert isinstance(outputs, dict)
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)])
    model.ir_version = 7
    onnx.save(model, str(path))


def scrfd(path: Path, *, batch_axis: bool = True, landmarks: bool = True, fixed: bool = False, seed: int = 0) -> None:
    """Nine outputs (six without landmarks) for strides 8, 16, 32, two anchors a cell; exported for one picture of 640
    px, and fixed: for that size only. Without the batch axis as older exports are: the batch between the cells, then
    one long list."""
    rng = np.random.default_rng(seed)
    nodes, weights, outputs = [], {}, {}
    for stride in STRIDES_PX:
        weights[f"w{stride}"] = rng.normal(0, 0.2, (4, 3, stride, stride)).astype(np.float32)
        nodes += [
            helper.make_node("Conv", ["images", f"w{stride}"], [f"c{stride}"], strides=[stride, stride]),
            helper.make_node("Relu", [f"c{stride}"], [f"f{stride}"]),
        ]
    for head, width in (("score", 1), ("bbox", 4), ("kps", 10))[: 3 if landmarks else 2]:
        for stride in STRIDES_PX:
            name, cells = f"{head}_{stride}", (640 // stride) ** 2 * 2
            weights[f"{name}_w"] = rng.normal(0, 0.5, (2 * width, 4, 1, 1)).astype(np.float32)
            weights[f"{name}_s"] = np.array([1, cells if fixed else -1, width] if batch_axis else [-1, width], np.int64)
            raw = f"{name}_raw" if head == "score" else name
            nodes += [
                helper.make_node("Conv", [f"f{stride}", f"{name}_w"], [f"{name}_c"]),
                helper.make_node(
                    "Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1] if batch_axis else [2, 3, 0, 1]
                ),
                helper.make_node("Reshape", [f"{name}_t", f"{name}_s"], [raw]),
            ]
            if head == "score":
                nodes.append(helper.make_node("Sigmoid", [raw], [name]))
            outputs[name] = [1, cells, width] if batch_axis else [cells, width]
    _save(path, nodes, weights, inputs={"images": [1, 3, 640, 640]}, outputs=outputs)


def recogniser(
    path: Path,
    *,
    dimension: int = 16,
    scales: bool = False,
    side_px: int = 112,
    fixed: bool = False,
    slopes: tuple[float, float] = (0.1, 0.4),
) -> None:
    """Convolution, PReLU, mean, matrix. scales: begins with a subtraction and a multiplication, as MXNet's exports do.
    fixed: its Reshape holds the batch fast at one, and mixes the pictures of a larger one."""
    rng = np.random.default_rng(1)
    weights: dict[str, NDArray[np.generic]] = {
        "w": rng.normal(0, 0.1, (8, 3, 16, 16)).astype(np.float32),
        "slope": rng.uniform(*slopes, (8, 1, 1)).astype(np.float32),
        "m": rng.normal(0, 1, (8, dimension)).astype(np.float32),
        "shape": np.array([-1, 8], np.int64),
    }
    nodes, first = [], "data"
    if scales:
        weights |= {"mean": np.array([127.5], np.float32), "std": np.array([1 / 128], np.float32)}
        nodes += [
            helper.make_node("Sub", ["data", "mean"], ["less"], name="_minusscalar0"),
            helper.make_node("Mul", ["less", "std"], ["scaled"], name="_mulscalar0"),
        ]
        first = "scaled"
    nodes += [
        helper.make_node("Conv", [first, "w"], ["c"], strides=[16, 16]),
        helper.make_node("PRelu", ["c", "slope"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["pooled"], axes=[0, 2, 3] if fixed else [2, 3], keepdims=1),
        helper.make_node("Reshape", ["pooled", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "m"], ["fc1"]),
    ]
    _save(path, nodes, weights, inputs={"data": [1, 3, side_px, side_px]}, outputs={"fc1": [1, dimension]})


def genderage(path: Path, *, answers: int = 3) -> None:
    """Two numbers that say female and male, and the age as a share of a hundred years, from 96 x 96 px, in MXNet's
    way."""
    rng = np.random.default_rng(2)
    weights: dict[str, NDArray[np.generic]] = {
        "gamma": np.full(3, 0.02, np.float32),
        "beta": np.zeros(3, np.float32),
        "mean": np.full(3, 127.5, np.float32),
        "var": np.ones(3, np.float32),
        "w": rng.normal(0, 0.1, (answers, 3, 96, 96)).astype(np.float32),
        "shape": np.array([-1, answers], np.int64),
    }
    nodes = [
        helper.make_node("BatchNormalization", ["data", "gamma", "beta", "mean", "var"], ["normed"], name="bn_data"),
        helper.make_node("Conv", ["normed", "w"], ["c"]),
        helper.make_node("Reshape", ["c", "shape"], ["fc1"]),
    ]
    _save(path, nodes, weights, inputs={"data": [1, 3, 96, 96]}, outputs={"fc1": [1, answers]})


def landmarks_106(path: Path) -> None:
    """Of a whole face, 192 x 192 px: what InsightFace's folders hold as well, and we do not use."""
    weights: dict[str, NDArray[np.generic]] = {"w": np.zeros((212, 3, 1, 1), np.float32)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["pooled"]),
        helper.make_node("Conv", ["pooled", "w"], ["c"]),
        helper.make_node("Flatten", ["c"], ["fc1"]),
    ]
    _save(path, nodes, weights, inputs={"data": [1, 3, 192, 192]}, outputs={"fc1": [1, 212]})


def buffalo(folder: Path) -> Path:
    """A folder like one of InsightFace's packs."""
    folder.mkdir(parents=True, exist_ok=True)
    scrfd(folder / "det_10g.onnx", batch_axis=False)
    recogniser(folder / "w600k_r50.onnx")
    genderage(folder / "genderage.onnx")
    landmarks_106(folder / "2d106det.onnx")
    return folder
