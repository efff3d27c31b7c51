# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Opens an engine by its name, or the fastest by measurement."""

import copy
import time
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock

from scenedino_ros.core.cache_folder import make_cache_folder
from scenedino_ros.core.config import ENGINES
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.inference.engines.compiled_engine import CompiledEngine
from scenedino_ros.inference.engines.engine import Engine, MakeEngine
from scenedino_ros.inference.engines.graph_folder import (
    cached_folder,
    check_exported,
    export_graphs,
    fingerprint,
    onnx_engine,
    tensorrt_engine,
)
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino

# Images timed with each engine, after one that is not; no more of them after so many seconds.
_ROUNDS = 3
_ENOUGH = 1.0
# Engines with the precisions in which they run.
_PAIRS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("compiled", "float32"),
    ("compiled", "bfloat16"),
    ("onnx", "float32"),
    ("tensorrt", "float32"),
)
# The candidates of auto; compiling takes a minute, TensorRT longer.
_AUTO = ("torch", "onnx")


class Opened(NamedTuple):
    """An engine that runs.

    Attributes:
        name: ``torch``, ``compiled``, ``onnx`` or ``tensorrt``.
        precision: ``float32`` or ``bfloat16``.
        engine: The engine.
    """

    name: str
    precision: str
    engine: Engine


def engine_maker(name: str, report: Report = silent, warn: Report | None = None) -> MakeEngine:
    """Return a function that makes an engine; ``auto`` in name or precision takes the fastest.

    Args:
        name: One of ``config.ENGINES``.
        report: Receives a few words on each long step.
        warn: Receives why an engine cannot be used; None: ``report`` does.

    Raises:
        InputError: If there is no engine of that name.
    """
    if name not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, got '{name}'")

    def make(model: SceneDino, device: torch.device, precision: str, mode: str) -> Engine:
        return fastest_engine(name, model, device, precision, mode, report, warn).engine

    return make


def fastest_engine(
    name: str,
    model: SceneDino,
    device: torch.device,
    precision: str,
    mode: str,
    report: Report,
    warn: Report | None = None,
) -> Opened:
    """Open the engine that encodes an image fastest here, of those that fit the settings.

    Args:
        name: One of ``config.ENGINES``; ``auto`` stands for ``torch`` or ``onnx``.
        model: The network, on the CPU; it must not be used afterwards.
        device: Where it is to run.
        precision: ``float32``, ``bfloat16``, or ``auto`` for any that the engine runs in.
        mode: Which head names the classes.
        report: Receives a few words on each long step, and what was measured.
        warn: Receives why an engine cannot be used; None: ``report`` does.

    Raises:
        InputError: If engine and precision are named and do not fit each other or the device.
    """
    candidates = _candidates(name, precision)
    if len(candidates) == 1:
        return _open(candidates[0], model, device, mode, report)
    timed: list[tuple[float, Opened]] = []
    for candidate in candidates:
        # An engine may change the weights it is made of.
        own = model if candidate == candidates[-1] else copy.deepcopy(model)
        words = "engine {} in {}".format(*candidate)
        try:
            opened = _open(candidate, own, device, mode, report)
            seconds = _encoding_time(opened.engine, model, device)
        except Exception as error:
            # An optional library may raise anything; PyTorch remains.
            if candidate[0] == "torch" and not isinstance(error, InputError):
                raise
            (warn or report)(f"{words} is left out: {error}")
            continue
        report(f"{words} takes {1000 * seconds:.0f} ms for an image")
        timed = [min([*timed, (seconds, opened)], key=lambda entry: entry[0])]  # frees the slower
    return timed[0][1]


def _candidates(name: str, precision: str) -> list[tuple[str, str]]:
    """Return the engines and precisions that fit the settings, as pairs."""
    if "auto" not in (name, precision):
        return [(name, precision)]
    names = _AUTO if name == "auto" else (name,)
    fitting = [pair for pair in _PAIRS if pair[0] in names and precision in ("auto", pair[1])]
    if not fitting:
        raise InputError(f"precision must be float32, bfloat16 or auto, got '{precision}'")
    return fitting


def _open(
    candidate: tuple[str, str], model: SceneDino, device: torch.device, mode: str, report: Report
) -> Opened:
    name, precision = candidate
    if name == "torch":
        engine: Engine = TorchEngine(model, device, precision, mode)
    elif name == "compiled":
        engine = CompiledEngine(model, device, precision, mode)
    elif precision != "float32":
        raise InputError(f"engine {name} runs in precision float32, got '{precision}'")
    elif name == "onnx":
        engine = onnx_engine(_exported(model, mode, report), model.config, device)
    elif device.type != "cuda":
        raise InputError(f"engine tensorrt needs a GPU, but the device is {device.type}")
    else:
        engine = tensorrt_engine(_exported(model, mode, report), model.config, device, report)
    return Opened(name, precision, engine)


def _exported(model: SceneDino, mode: str, report: Report) -> Path:
    """Return the folder of a network's graphs in the cache, written now if it is missing."""
    identity = fingerprint(model, mode)
    folder = cached_folder(identity)
    if not folder.exists():
        with FileLock(make_cache_folder() / "graphs.lock"):  # of many workers one exports
            if not folder.exists():
                export_graphs(model, mode, folder, report)
    check_exported(folder, identity)
    return folder


@torch.inference_mode()
def _encoding_time(engine: Engine, model: SceneDino, device: torch.device) -> float:
    """Return the shortest time of a few images, seconds."""
    image = torch.zeros(1, 3, *model.config.image_size, device=device)
    times: list[float] = []
    while len(times) <= _ROUNDS and sum(times[1:]) < _ENOUGH:
        start = time.perf_counter()
        engine.hidden_map(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
