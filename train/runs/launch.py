# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Starts a training script on one CPU or many GPUs, and ends it with an exit code."""

import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.inference.device import choose_device
from train.runs.settings import RunSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Parameters are the same in every process after a step. The loop keeps buffers equal itself:
# sending those of the semantic head at every step would cost more than the step. Newer releases of
# torch have another name for this option.
_NEWER = "forward_sync_buffers"
_KNOWN = inspect.signature(DistributedDataParallel).parameters
_KEEP_BUFFERS: dict[str, Any] = {_NEWER if _NEWER in _KNOWN else "broadcast_buffers": False}
_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bf16-mixed": "bf16-mixed"}


class Stopped(SceneDinoError):  # noqa: N818 - an ending, not an error
    """A signal asked the run to stop; its state is saved."""


def launch(settings: RunSettings) -> Fabric:
    """Start the processes of a run, or join those that torchrun or a cluster has started.

    It seeds torch, so weights that are drawn afterwards are the same in every process.

    Args:
        settings: Device, number of processes, precision, seed.

    Raises:
        InputError: If a GPU is asked for and there is none.
    """
    here, world = settings.devices, settings.devices * settings.nodes
    if torch.distributed.is_torchelastic_launched():  # torchrun decides
        here, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    strategy = DDPStrategy(**_KEEP_BUFFERS) if world > 1 else "auto"
    fabric = Fabric(
        accelerator=choose_device(settings.device).type,
        devices=here,
        num_nodes=world // here,
        strategy=strategy,
        precision=_PRECISIONS[settings.precision],
    )
    fabric.launch()
    torch.manual_seed(settings.seed)
    return fabric


def local_items(fabric: Fabric, batch_size: int) -> range:
    """Return the places in the batch of a step that belong to this process.

    Args:
        fabric: The processes.
        batch_size: Items of a step over all processes.

    Raises:
        InputError: If processes would get different numbers of items; losses would weigh
            unequally.
    """
    if batch_size % fabric.world_size:
        raise InputError(
            f"run.batch_size must be a multiple of the {fabric.world_size} processes, "
            f"got {batch_size}"
        )
    return range(fabric.global_rank, batch_size, fabric.world_size)


@dataclass(frozen=True)
class Reduced:
    """Losses of a step over all processes.

    Attributes:
        values: Losses by name, means over the processes.
        stop: Whether any process got a signal to stop.
    """

    values: dict[str, float]
    stop: bool


def reduce_losses(fabric: Fabric, losses: Mapping[str, torch.Tensor], *, stop: bool) -> Reduced:
    """Average losses over the processes and agree on stopping; waits for the device once.

    Args:
        fabric: The processes.
        losses: Scalars by name; the same names in every process.
        stop: Whether this process got a signal to stop.
    """
    numbers = [loss.detach().float() for loss in losses.values()]
    flag = torch.tensor(float(stop), device=fabric.device)
    mean: torch.Tensor = fabric.all_reduce(torch.stack([*numbers, flag]), reduce_op="mean")
    *values, stopping = mean.tolist()
    return Reduced(dict(zip(losses, values, strict=True)), stopping > 0)


class StopRequest:
    """Whether a signal asked the process to stop.

    Attributes:
        requested: True after Ctrl-C or a termination signal.
    """

    def __init__(self) -> None:
        self.requested = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        self.requested = True


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Catch Ctrl-C and termination signals while the block runs, for the loop to obey.

    Yields:
        Whether one has come. Only in the main thread.
    """
    request = StopRequest()
    before = {number: signal.signal(number, request.ask) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(name: str, body: Callable[[], None]) -> int:
    """Run the body of a script, and print in one sentence why it ended early.

    Args:
        name: What the user started.
        body: The work.

    Returns:
        0 done; 2 an error; 130 stopped on request.
    """
    code = 0
    try:
        body()
    except (Stopped, KeyboardInterrupt) as stopped:
        print(f"{name}: {str(stopped) or 'stopped'}", file=sys.stderr)
        code = 130
    except SceneDinoError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        reason = " ".join(str(error).split())
        print(f"{name}: out of memory, smaller batches help: {reason}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"{name}: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    # Without this, threads of gloo sometimes abort a process that is done.
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    return code
