# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What a predictor asks of its engine: how many points, how many bytes, and how long it takes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scenedino_ros.inference.engines.engine import Engine, Points
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.network.folded_head import FoldedHead


@dataclass
class Asked:
    """What one method of an engine was asked for.

    Attributes:
        count: Points, pixels or images.
        lookups: Positions in the map that were looked up: points, or rays for all points on them.
        bytes_in: Bytes of the tensors that went in, without the map.
        bytes_out: Bytes of the answers, without what `samples` returns to be blended: an engine
            that does it all at once need not write it.
        map_bytes: Bytes of the map that points were looked up in.
        row_bytes: Bytes of one of its rows.
        precision: Type of the arithmetic at points, as PyTorch names it.
        code_units: Hidden units of the distilled code that the head computes; None: all.
        needs_norm: Whether the head computes the norm of full features.
        seconds: Time that the calls took; on a GPU until their answers were there.
        processor_seconds: Processor time of all threads meanwhile.
    """

    count: int = 0
    lookups: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    map_bytes: int = 0
    row_bytes: int = 0
    precision: str = "float32"
    code_units: int | None = None
    needs_norm: bool = True
    seconds: float = 0.0
    processor_seconds: float = 0.0

    @property
    def map_bytes_read(self) -> int:
        """Bytes of the map that must be read: all of it, or four rows a lookup if fewer."""
        return min(self.map_bytes, 4 * self.lookups * self.row_bytes)


class Record(defaultdict[str, Asked]):
    """What an engine was asked for in a stage of a frame, by the names of its methods.

    ``stage`` is the time of the whole stage, ``encoder`` and ``fuse`` that of the image part up to
    the transformer's and up to the decoder's end, where PyTorch runs it as it is written.
    """

    def __init__(self) -> None:
        """Record nothing yet."""
        super().__init__(Asked)


class CountingEngine:
    """An `Engine` that another engine runs; it counts and times the calls while it is asked to."""

    concurrent = False  # calls are timed one after the other

    def __init__(self, engine: Engine) -> None:
        """Pass everything on to an engine."""
        self.engine = engine
        self._record: Record | None = None

    def __getattr__(self, name: str) -> Any:
        """Return what only the engine itself has."""
        return getattr(self.engine, name)

    @contextmanager
    def counting(self, record: Record) -> Iterator[None]:
        """Count and time the body and all calls in it. On a GPU each call waits for its answer."""
        self._record = record
        try:
            with _image_parts(self.engine, record), stopwatch(record["stage"]):
                yield
        finally:
            self._record = None

    @contextmanager
    def _call(self, method: str) -> Iterator[Asked]:
        if self._record is None:
            yield Asked()
            return
        asked = self._record[method]
        with stopwatch(asked):
            yield asked

    def describe(self) -> str:
        """Return a few words on what runs the network."""
        return self.engine.describe()

    def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
        """Return the map of an image."""
        with self._call("hidden_map") as asked:
            hidden = self.engine.hidden_map(image)
        asked.count += len(image)
        asked.bytes_in += image.nbytes
        asked.bytes_out += hidden.nbytes
        return hidden

    def density(self, rows: torch.Tensor, points: Points) -> torch.Tensor:
        """Return the densities of points."""
        with self._call("density") as asked:
            density = self.engine.density(rows, points)
        _add_points(asked, rows, points, density)
        return density

    def samples(self, rows: torch.Tensor, points: Points) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the densities of points, and what may be blended."""
        with self._call("samples") as asked:
            density, linear = self.engine.samples(rows, points)
        _add_points(asked, rows, points, density)
        asked.precision = _name(linear.dtype)
        return density, linear

    def ray_density(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> torch.Tensor:
        """Return the densities of points on rays."""
        with self._call("ray_density") as asked:
            density = self.engine.ray_density(rows, rays, depth_code)
        _add_points(asked, rows, rays, density)
        asked.bytes_in += depth_code.nbytes
        return density

    def ray_samples(
        self, rows: torch.Tensor, rays: Points, depth_code: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the densities of points on rays, and what may be blended."""
        with self._call("ray_samples") as asked:
            density, linear = self.engine.ray_samples(rows, rays, depth_code)
        _add_points(asked, rows, rays, density)
        asked.bytes_in += depth_code.nbytes
        asked.precision = _name(linear.dtype)
        return density, linear

    def feature(self, blended: torch.Tensor, total: torch.Tensor | None = None) -> torch.Tensor:
        """Return the features of what `samples` returned."""
        with self._call("feature") as asked:
            feature = self.engine.feature(blended, total)
        asked.count += feature.shape[:-1].numel()
        asked.bytes_in += blended.nbytes
        asked.bytes_out += feature.nbytes
        asked.precision = _name(blended.dtype)
        return feature

    def classify(self, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the classes of features."""
        with self._call("classify") as asked:
            label, confidence = self.engine.classify(feature)
        asked.count += len(feature)
        asked.bytes_in += feature.nbytes
        asked.bytes_out += label.nbytes + confidence.nbytes
        if isinstance(self.engine, TorchEngine):
            head = self.engine.network.head
            if isinstance(head, FoldedHead):
                asked.code_units, asked.needs_norm = head.code_units, head.needs_norm
        return label, confidence


@contextmanager
def _image_parts(engine: Engine, record: Record) -> Iterator[None]:
    """Also time the parts of the image part in the body."""
    if type(engine) is not TorchEngine:  # a graph or a compiler merges them
        yield
        return
    network = engine.network
    parts = ((network.plain.encoder, "forward", "encoder"), (network, "fuse", "fuse"))
    with ExitStack() as stack:
        for owner, method, name in parts:
            stack.enter_context(_timed_method(owner, method, record, name))
        yield


@contextmanager
def _timed_method(owner: nn.Module, method: str, record: Record, name: str) -> Iterator[None]:
    original = getattr(owner, method)

    def timed(*arguments: Any) -> Any:
        with stopwatch(record[name]):
            return original(*arguments)

    setattr(owner, method, timed)  # hides the method of its class
    try:
        yield
    finally:
        delattr(owner, method)


@contextmanager
def stopwatch(asked: Asked) -> Iterator[None]:
    """Add the time of the body, with all that it started on a GPU."""
    wait()
    start, processor = time.perf_counter(), time.process_time()
    yield
    wait()
    asked.seconds += time.perf_counter() - start
    asked.processor_seconds += time.process_time() - processor


def wait() -> None:
    """Wait for what was started on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _add_points(asked: Asked, rows: torch.Tensor, points: Points, answer: torch.Tensor) -> None:
    asked.count += answer.numel()
    asked.lookups += len(answer)
    asked.bytes_in += sum(column.nbytes for column in points)
    asked.bytes_out += answer.nbytes
    asked.map_bytes, asked.row_bytes = rows.nbytes, rows[:1].nbytes
    asked.precision = _name(rows.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
