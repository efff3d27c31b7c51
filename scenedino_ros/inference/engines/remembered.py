# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which engine was the fastest, remembered in the cache for each machine and network."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scenedino_ros.core.cache_folder import cache_folder, make_cache_folder
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.processor import describe_processor
from scenedino_ros.core.reading import read_json, reading
from scenedino_ros.core.reporting import Report
from scenedino_ros.inference.engines.packages import installed_version

_FORMAT = "scenedino_ros engines/1"
_FOLDER = "engines"
_PACKAGES = ("torch", "onnxruntime", "openvino")

# An engine and its precision.
Candidate = tuple[str, str]


class Timings(NamedTuple):
    """What was measured.

    Attributes:
        seconds: Time of one image by each engine that ran.
        fastest: The engine that was taken.
    """

    seconds: dict[Candidate, float]
    fastest: Candidate


def situation(identity: str, candidates: list[Candidate], device: torch.device) -> dict[str, Any]:
    """Return everything that decides which engine is the fastest.

    Args:
        identity: Fingerprint of the network, which covers mode and image size.
        candidates: The engines that are compared.
        device: Where they run.
    """
    is_gpu = device.type == "cuda"
    return {
        "format": _FORMAT,
        "network": identity,
        "candidates": [list(pair) for pair in candidates],
        "processor": describe_processor(),
        "gpu": torch.cuda.get_device_name(device) if is_gpu else None,
        "threads": torch.get_num_threads(),
        "versions": {name: installed_version(name) for name in _PACKAGES},
    }


def recall(situation: dict[str, Any], report: Report) -> Timings | None:
    """Return what was measured in a situation; None: nothing, or it cannot be read.

    Args:
        situation: See `situation`.
        report: Receives why a file cannot be read.
    """
    try:
        path = _path(situation)
    except InputError:  # there is no folder for the cache
        return None
    try:
        with reading(str(path)):  # values of any type may stand anywhere in it
            if not path.exists():
                return None
            stored = read_json(path)
            times = stored["ms"].items()
            seconds = {_candidate(words): float(value) / 1000 for words, value in times}
            timings = Timings(seconds, _candidate(stored["fastest"]))
            known = stored["situation"] == situation and timings.fastest in seconds
            known = known and list(timings.fastest) in situation["candidates"]
            known = known and all(map(math.isfinite, seconds.values()))
    except InputError as error:
        report(f"{error}: engines are measured again")
        return None
    if not known:
        report(f"{path} does not hold the timings of this machine: engines are measured again")
        return None
    return timings


def remember(situation: dict[str, Any], timings: Timings) -> None:
    """Store what was measured in a situation.

    Raises:
        InputError: If the cache cannot be written.
    """
    content = {
        "situation": situation,
        "ms": {in_words(pair): 1000 * value for pair, value in timings.seconds.items()},
        "fastest": in_words(timings.fastest),
    }
    make_cache_folder(_FOLDER)
    path = _path(situation)
    try:
        write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def in_words(candidate: Candidate) -> str:
    """Return the words for an engine and its precision."""
    return "{} in {}".format(*candidate)


def _candidate(words: str) -> Candidate:
    engine, precision = words.split(" in ")
    return engine, precision


def _path(situation: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(situation, sort_keys=True).encode()).hexdigest()
    return cache_folder() / _FOLDER / f"{digest[:16]}.json"
