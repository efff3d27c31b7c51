"""Engines by name, exported on first use and kept in the cache."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from scenedino_ros.checkpoints.published import cache_folder
from scenedino_ros.core.config import ENGINES
from scenedino_ros.core.engine import Engine, MakeEngine, TorchEngine
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model import SceneDino
from scenedino_ros.engines.exported import (
    cached_folder,
    check_exported,
    export_graphs,
    fingerprint,
    onnx_engine,
    tensorrt_engine,
)

Tell = Callable[[str], None]

_ROUNDS = 3  # pictures timed by each engine, after one that is not


def engine_maker(name: str, tell: Tell = lambda _: None) -> MakeEngine:
    """Return what makes an engine.

    Args:
        name: ``torch``, ``onnx``, ``tensorrt``, or ``auto`` for the faster of the first two.
        tell: Told in words what is going on.

    Raises:
        InputError: If there is no engine of that name.
    """
    if name == "torch":
        return TorchEngine
    makers = {"onnx": _open_onnx, "tensorrt": _open_tensorrt, "auto": _open_faster}
    if name not in makers:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, got '{name}'")
    open_engine = makers[name]

    def make(model: SceneDino, device: torch.device, precision: str, mode: str) -> Engine:
        return open_engine(model, device, precision, mode, tell)

    return make


def _open_onnx(
    model: SceneDino, device: torch.device, precision: str, mode: str, tell: Tell
) -> Engine:
    if precision != "float32":
        raise InputError(f"engine onnx runs in precision float32, got '{precision}'")
    return onnx_engine(_exported(model, mode, tell), model.config, device)


def _open_tensorrt(
    model: SceneDino, device: torch.device, precision: str, mode: str, tell: Tell
) -> Engine:
    if precision != "float32":
        raise InputError(f"engine tensorrt is built in precision float32, got '{precision}'")
    if device.type != "cuda":
        raise InputError(f"engine tensorrt needs a GPU, but the device is {device.type}")
    return tensorrt_engine(_exported(model, mode, tell), model.config, device, tell)


def _exported(model: SceneDino, mode: str, tell: Tell) -> Path:
    """Return the folder of a network's graphs, written now if it is not there."""
    identity = fingerprint(model, mode)
    folder = cached_folder(identity)
    if not folder.exists():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(cache_folder() / "graphs.lock"):  # of many workers one exports
            if not folder.exists():
                export_graphs(model, mode, folder, tell)
    check_exported(folder, identity)
    return folder


def _open_faster(
    model: SceneDino, device: torch.device, precision: str, mode: str, tell: Tell
) -> Engine:
    return faster_engine(model, device, precision, mode, tell)[1]


def faster_engine(
    model: SceneDino, device: torch.device, precision: str, mode: str, tell: Tell
) -> tuple[str, Engine]:
    """Return name and engine of what encodes a picture faster here: PyTorch or ONNX Runtime.

    Args:
        model: The network, on the CPU.
        device: Where it is to run.
        precision: Arithmetic of encoder and decoder.
        mode: Which head names the classes.
        tell: Told in words what is going on, and what was measured.
    """
    try:
        theirs = _open_onnx(model, device, precision, mode, tell)
    except InputError as error:
        tell(f"engine torch: {error}")
        return "torch", TorchEngine(model, device, precision, mode)
    ours = TorchEngine(model, device, precision, mode)
    seconds = [_encoding_time(engine, model, device) for engine in (ours, theirs)]
    name, chosen = ("torch", ours) if seconds[0] <= seconds[1] else ("onnx", theirs)
    tell(
        f"engine {name}: a picture takes PyTorch {1000 * seconds[0]:.0f} ms and ONNX Runtime "
        f"{1000 * seconds[1]:.0f} ms"
    )
    return name, chosen


@torch.inference_mode()
def _encoding_time(engine: Engine, model: SceneDino, device: torch.device) -> float:
    """Return the shortest time of some pictures, seconds."""
    image = torch.zeros(1, 3, *model.config.image_size, device=device)
    times = []
    for _ in range(1 + _ROUNDS):
        start = time.perf_counter()
        engine.hidden_map(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
