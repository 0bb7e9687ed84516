"""Which network is this? Told from its graph, as insightface's own model zoo tells it.

Room:    adapters
Imports: errors, traits, onnx, stdlib
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # comes with onnx, without types

from face_organizer.errors import ModelError
from face_organizer.traits import Scaling

Role = Literal["detector", "recogniser", "attributes", "other"]

ALIGNED_SIDE_PX = 112
ATTRIBUTES_SIDE_PX = 96
_YUNET_OUTPUTS = 12
_SCRFD_OUTPUTS = (9, 15)
_BARE_SCRFD_OUTPUTS = (6, 10)
_FIRST_NODES = 8


@dataclass(frozen=True, slots=True)
class Network:
    """What a graph is for. kind: of a detector. scaling: of the others. dimension: of a recogniser's answer. why: of
    another, why we have no use for it."""

    role: Role
    kind: str = ""
    scaling: Scaling | None = None
    dimension: int = 0
    why: str = ""


def network_at(path: Path) -> Network:
    """What the graph in a file is for. Raises ModelError: not an ONNX network."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX network: {error}") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs or not model.graph.output:
        raise ModelError(f"{path} is not an ONNX network: it has no input or no output")
    return _network(model.graph, _axes(inputs[0]), len(inputs))


def _network(graph: onnx.GraphProto, axes: list[int], inputs: int) -> Network:
    outputs = len(graph.output)
    if outputs == _YUNET_OUTPUTS:
        return Network("detector", kind="yunet")
    if outputs in _SCRFD_OUTPUTS:
        return Network("detector", kind="scrfd")
    if outputs in _BARE_SCRFD_OUTPUTS:
        return Network("other", why="a detector without landmarks: faces could not be aligned")
    height, width = (axes[2], axes[3]) if len(axes) == 4 else (0, 0)
    answer = _axes(graph.output[0])
    if inputs > 1 or outputs > 1 or height != width or height == 0:
        return Network("other", why=f"{inputs} inputs of {axes}, {outputs} outputs")
    if height == ATTRIBUTES_SIDE_PX:
        if answer[-1:] == [3]:
            return Network("attributes", scaling=_scaling(graph, Scaling(mean=127.5, std=128.0), data_norm=True))
        return Network("other", why=f"{answer} attributes that we do not know")
    if height == ALIGNED_SIDE_PX:
        scaling = _scaling(graph, Scaling(mean=127.5, std=127.5), data_norm=False)
        return Network("recogniser", scaling=scaling, dimension=answer[-1] if answer else 0)
    return Network("other", why=f"pictures of {width} x {height} px: neither aligned faces (112) nor attributes (96)")


def _scaling(graph: onnx.GraphProto, usual: Scaling, *, data_norm: bool) -> Scaling:
    """The usual one, unless the graph begins with its own: a subtraction and a multiplication, by their names, among
    its first nodes; networks of attributes may have a batch norm called bn_data instead."""
    names = [node.name for node in graph.node[:_FIRST_NODES]]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    multiplies = any(name.startswith(("Mul", "_mul")) for name in names)
    if (subtracts and multiplies) or (data_norm and "bn_data" in names[:3]):
        return Scaling(mean=0.0, std=1.0)
    return usual


def _axes(value: onnx.ValueInfoProto) -> list[int]:
    """The lengths of its axes, 0 where one is free."""
    return [axis.dim_value for axis in value.type.tensor_type.shape.dim]
