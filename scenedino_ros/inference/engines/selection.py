# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Opens an engine by its name, or the fastest by measurement."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock

from scenedino_ros.core.cache_folder import make_cache_folder
from scenedino_ros.core.config import ENGINES
from scenedino_ros.core.disk_space import bytes_in_words, free_bytes
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import replacing_folder
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
from scenedino_ros.inference.engines.int8_graph import (
    INT8,
    known_agreement,
    read_agreement,
    write_int8,
    write_int8_card,
)
from scenedino_ros.inference.engines.onnx_graph import require_provider
from scenedino_ros.inference.engines.openvino_engine import OpenVinoEngine
from scenedino_ros.inference.engines.openvino_folder import FLOAT, export_openvino
from scenedino_ros.inference.engines.openvino_graph import has_bfloat16
from scenedino_ros.inference.engines.packages import installed_version
from scenedino_ros.inference.engines.remembered import (
    Candidate,
    Timings,
    in_words,
    recall,
    remember,
    situation,
)
from scenedino_ros.inference.engines.shared_weights import release_image_part, shared_copy
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.model import SceneDino

# Images timed with each engine, after one that is not; no more of them after so many seconds.
_ROUNDS = 3
_ENOUGH = 1.0
# An engine that takes so many times as long as the fastest so far is timed no longer.
_SLOWER = 1.2
# Engines with the precisions in which they run; those that are probably faster first.
_PAIRS: tuple[Candidate, ...] = (
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("openvino", "float32"),
    ("torch", "bfloat16"),
    ("torch", "float32"),
    ("compiled", "bfloat16"),
    ("compiled", "float32"),
    ("onnx", "float32"),
    ("tensorrt", "float32"),
)
# The candidates of auto; compiling takes a minute, TensorRT longer.
_AUTO = ("torch", "onnx", "openvino")


class _CacheError(InputError):
    """The graphs of an engine cannot be written to the cache."""


class Opened(NamedTuple):
    """An engine that runs.

    Attributes:
        name: One of ``config.ENGINES`` but ``auto``.
        precision: One in which that engine runs.
        engine: The engine.
    """

    name: str
    precision: str
    engine: Engine


@dataclass
class _Network:
    """A network that an engine is made of.

    Attributes:
        model: The plain network, on the CPU.
        device: Where it is to run.
        mode: Which head names the classes.
    """

    model: SceneDino
    device: torch.device
    mode: str

    @cached_property
    def identity(self) -> str:
        """Its fingerprint, which is taken before an engine changes the weights."""
        return fingerprint(self.model, self.mode)

    def copy(self) -> "_Network":
        """Return the same network for one more engine."""
        other = _Network(shared_copy(self.model), self.device, self.mode)
        other.identity = self.identity
        return other


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
    *,
    again: bool = False,
) -> Opened:
    """Open the engine that encodes an image fastest here, of those that fit the settings.

    It is measured once: the cache remembers the result for this machine and this network.

    Args:
        name: One of ``config.ENGINES``; ``auto`` stands for ``torch``, ``openvino`` where it is
            installed, and ``onnx`` where the graphs have been exported.
        model: The network, on the CPU; it must not be used afterwards.
        device: Where it is to run.
        precision: ``float32``, ``bfloat16``, ``int8``; or ``auto`` for any of the engine's;
            for int8 only if its agreement with float32 was found to be enough.
        mode: Which head names the classes.
        report: Receives a few words on each long step, and what was measured.
        warn: Receives why an engine cannot be used; None: ``report`` does.
        again: Measure, whatever is remembered.

    Raises:
        InputError: If engine and precision are named and do not fit each other or the device.
    """
    warn = warn or report
    network = _Network(model, device, mode)
    candidates = _candidates(name, precision, network)
    if len(candidates) == 1:
        return _open(candidates[0], network, report)
    now = situation(network.identity, candidates, device)
    known = None if again else recall(now, report)
    if known is not None:
        try:
            opened = _open(known.fastest, network.copy(), report)
        except Exception as error:  # an optional library may raise anything
            warn(f"engine {in_words(known.fastest)} was the fastest, but cannot be used: {error}")
        else:
            taken = _milliseconds(known.seconds[known.fastest])
            report(f"remembered: engine {in_words(known.fastest)} takes {taken} for an image")
            release_image_part(model)  # the engine has a copy
            return opened
    opened, timings = _measure(candidates, network, report, warn)
    try:
        if timings is not None:
            remember(now, timings)
    except InputError as error:
        warn(f"{error}; the engines are measured at each start")
    release_image_part(model)  # the engine has a copy
    return opened


def _measure(
    candidates: list[Candidate], network: _Network, report: Report, warn: Report
) -> tuple[Opened, Timings | None]:
    """Open each engine, keep the fastest, and return what each took.

    None instead of the timings: the cache had no room for an engine, which may be the fastest.
    """
    seconds: dict[Candidate, float] = {}
    unwritten: dict[str, _CacheError] = {}  # by engine, whatever its precision
    best: Opened | None = None
    for candidate in candidates:
        try:
            if candidate == ("openvino", "bfloat16") and not has_bfloat16():
                continue
            opened = _open(candidate, network.copy(), report)
            least = min(seconds.values(), default=float("inf"))
            taken = _encoding_time(opened.engine, network, _SLOWER * least)
        except Exception as error:
            # An optional library may raise anything; PyTorch remains.
            if candidate[0] == "torch" and not isinstance(error, InputError):
                raise
            failure = error
            if isinstance(error, _CacheError):
                unwritten[candidate[0]] = error
            else:
                warn(f"engine {in_words(candidate)} is left out: {error}")
            continue
        report(f"engine {in_words(candidate)} takes {_milliseconds(taken)} for an image")
        seconds[candidate] = taken
        if taken < least:
            best = opened
        del opened  # the slower one, before the next is opened
    if best is None:
        raise failure
    for name, problem in unwritten.items():
        warn(f"engine {name} is left out: {problem}; the engines are measured at each start")
    timings = Timings(seconds, (best.name, best.precision))
    return best, None if unwritten else timings


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _candidates(name: str, precision: str, network: _Network) -> list[Candidate]:
    """Return the engines and precisions that fit the settings."""
    if "auto" not in (name, precision):
        return [(name, precision)]
    names = [name] if name != "auto" else [known for known in _AUTO if _is_ready(known, network)]
    fitting = [pair for pair in _PAIRS if pair[0] in names and precision in ("auto", pair[1])]
    if not fitting:
        offered = "; ".join(f"{each} in {_precisions(each)}" for each in names)
        raise InputError(f"no engine runs in precision '{precision}' here, but {offered}")
    if precision == "auto" and not _int8_is_enough(network):
        fitting = [pair for pair in fitting if pair[1] != "int8"]
    return fitting


def _int8_is_enough(network: _Network) -> bool:
    """Return whether int8 is known to agree well enough with float32."""
    found = known_agreement(network.identity)
    if _has_folder(network, INT8):
        found = read_agreement(cached_folder(network.identity, INT8))
    return found is not None and found.is_enough


def _is_ready(name: str, network: _Network) -> bool:
    """Return whether auto may take an engine: it is installed, and its graphs cost seconds."""
    if name == "onnx":
        return _has_folder(network)
    if name == "openvino":
        return network.device.type == "cpu" and installed_version("openvino") is not None
    return True


def _has_folder(network: _Network, kind: str = "") -> bool:
    try:
        return cached_folder(network.identity, kind).exists()
    except (InputError, OSError):  # there is no folder for the cache, or it may not be read
        return False


def _open(candidate: Candidate, network: _Network, report: Report) -> Opened:
    name, precision = candidate
    model, device, mode = network.model, network.device, network.mode
    if candidate not in _PAIRS:
        raise InputError(f"engine {name} runs in precision {_precisions(name)}, got '{precision}'")
    if name in ("torch", "compiled"):
        make = TorchEngine if name == "torch" else CompiledEngine
        engine: Engine = make(model, device, precision, mode)
    elif name == "openvino":
        folder = (_int8_graphs if precision == "int8" else _openvino_graphs)(network, report)
        engine = OpenVinoEngine(model, device, precision, mode, folder)
    elif name == "onnx":
        require_provider(device)  # before graphs are exported
        engine = onnx_engine(_onnx_graphs(network, report), model.config, device)
    elif device.type != "cuda":
        raise InputError(f"engine tensorrt needs a GPU, but the device is {device.type}")
    else:
        engine = tensorrt_engine(_onnx_graphs(network, report), model.config, device, report)
    return Opened(name, precision, engine)


def _precisions(name: str) -> str:
    *others, last = sorted(pair[1] for pair in _PAIRS if pair[0] == name)
    return f"{', '.join(others)} or {last}" if others else last


def _onnx_graphs(network: _Network, report: Report) -> Path:
    """Return the folder of a network's ONNX graphs in the cache."""

    def export(folder: Path) -> None:
        export_graphs(shared_copy(network.model), network.mode, folder, report)

    return _in_cache(network, "", export)


def _openvino_graphs(network: _Network, report: Report) -> Path:
    """Return the folder of a network's graph for OpenVINO in the cache."""

    def export(folder: Path) -> None:
        export_openvino(network.model, network.mode, network.identity, folder, report)

    return _in_cache(network, FLOAT, export)


def _int8_graphs(network: _Network, report: Report) -> Path:
    """Return the folder of a network's graph in int8 in the cache."""
    if _has_folder(network, INT8):
        found = cached_folder(network.identity, INT8)
        check_exported(found, network.identity)
        return found
    _openvino_graphs(network, report)  # which verifies that OpenVINO computes it right

    def export(folder: Path) -> None:
        agreement = known_agreement(network.identity)
        with replacing_folder(folder) as partial:
            write_int8(network.model, network.mode, partial)
            write_int8_card(
                partial, network.model.config, network.mode, network.identity, agreement
            )

    return _in_cache(network, INT8, export)


def _in_cache(network: _Network, kind: str, export: Callable[[Path], None]) -> Path:
    """Return a folder in the cache, verified, and written now if it is missing."""
    if not _has_folder(network, kind):
        _write_to_cache(network, kind, export)
    folder = cached_folder(network.identity, kind)
    check_exported(folder, network.identity)
    return folder


def _write_to_cache(network: _Network, kind: str, export: Callable[[Path], None]) -> None:
    try:
        folder, cache = cached_folder(network.identity, kind), make_cache_folder()
    except InputError as error:
        raise _CacheError(str(error)) from error
    try:
        with FileLock(cache / "graphs.lock"):  # of many workers one exports
            if not _has_folder(network, kind):
                export(folder)
    except (OSError, RuntimeError) as error:  # OpenVINO has no class of error of its own
        raise _CacheError(
            f"its graphs cannot be written to the cache {cache}, which has "
            f"{bytes_in_words(free_bytes(cache))} left ({error})"
        ) from error


@torch.inference_mode()
def _encoding_time(engine: Engine, network: _Network, limit: float) -> float:
    """Return the shortest time of a few images, seconds; of fewer if it is above a limit."""
    device = network.device
    image = torch.zeros(1, 3, *network.model.config.image_size, device=device)
    times: list[float] = []
    while len(times) <= _ROUNDS and sum(times[1:]) < _ENOUGH:
        start = time.perf_counter()
        engine.hidden_map(image)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if times[1:] and times[-1] > limit:
            break
    return min(times[1:])
