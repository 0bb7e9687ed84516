"""Run a network: the Session port over OpenVINO and over ONNX Runtime (CPU, CUDA, TensorRT).

Room:    adapters
Imports: errors, ports, runtime, open_vino, onnx_runtime, providers, numpy, stdlib

Nothing falls back in silence: a session that does not run on the device it was opened for raises, and one that fails at
work raises DeviceError. steps_run tells which provider really ran what.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from face_organizer.adapters.onnx_runtime import OrtSession, load_onnx_runtime, open_onnx_runtime
from face_organizer.adapters.open_vino import OpenVinoSession, open_openvino
from face_organizer.adapters.providers import PROVIDERS
from face_organizer.adapters.runtime import Device, Kind, Shape, Steps, kind_of, way_out
from face_organizer.errors import DeviceError, ModelError
from face_organizer.ports import Log, Session


class How(TypedDict, total=False):
    """What is passed on to open_sessions."""

    profiled: bool
    threads: int | None
    log: Log | None


def open_sessions(
    model_path: Path,
    device: Device,
    *,
    count: int,
    batch_max: int,
    recurring: Sequence[Shape] = (),
    profiled: bool = False,
    threads: int | None = None,
    log: Log | None = None,
) -> list[Session]:
    """`count` sessions of one network, for as many threads; on a CPU each computes in one thread.

    threads: that OpenVINO computes in, where they are fewer than the sessions: those wait for each other then.

    recurring: input shapes that come again and again. OpenVINO prepares a network anew whenever the shape of its input
    changes (YuNet: 2 ms, three looks at a crop), and even without a change a free shape costs it a fifth more. So each
    of these gets a copy of the network, made at its first use, and a batch of such pictures is run in pieces of these
    sizes as far as they go. The other runtimes do not care. For small networks only: a copy has weights of its own.

    But for that the weights are held once. profiled: steps_run will be asked what the first of them ran where. Every
    session has made a trial run of one. log: hears of what a session has to make do with at work.

    Raises ModelError: the runtime is not installed, the network cannot be loaded, or the device that was asked for is
    not the one that runs it.
    """
    assert min(count, batch_max) >= 1, (count, batch_max)
    kind = kind_of(device)
    try:
        sessions = (
            open_openvino(model_path, device, count, threads or count, batch_max, recurring)
            if kind == "openvino"
            else open_onnx_runtime(model_path, device, count, batch_max, profiled, log)
        )
        for session in sessions:
            session.run(np.zeros(session.smallest_shape, np.float32))
    except DeviceError as error:
        raise ModelError(f"{model_path.name} does not run on {error}. {way_out(kind)}") from error
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(f"the runtime for {device} is not installed ({error}): {way_out(kind)}") from error
    except Exception as error:  # the runtimes raise plain RuntimeError and classes of their own; all mean the same
        raise ModelError(f"{model_path.name} does not run on {device}: {error}. {way_out(kind)}") from error
    return list(sessions)


def steps_run(session: Session) -> Steps:
    """What a session ran where until now, by the runtime's own account; ends the account. {} where it keeps none.

    What a session offers (get_providers) proves little: a provider may be active and run nothing. OpenVINO names the
    devices that execute a network; its operators are not told apart.
    """
    assert isinstance(session, OrtSession | OpenVinoSession), type(session)
    return session.steps_run()


def nodes_by_provider(model_path: Path, device: Device) -> dict[str, int]:
    """How many steps of a network ONNX Runtime really runs where; {} for OpenVINO. Raises ModelError."""
    if kind_of(device) == "openvino":
        return {}
    (session,) = open_sessions(model_path, device, count=1, batch_max=1, profiled=True)
    return {provider: sum(steps.values()) for provider, steps in steps_run(session).items()}


def is_offered(kind: Kind) -> bool:
    """Is a runtime installed that says it can do this? Nothing is tried."""
    if kind == "openvino":
        return importlib.util.find_spec("openvino") is not None
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    return PROVIDERS[kind] in load_onnx_runtime().get_available_providers()
