# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The folder of a training run: settings, state, losses and pictures; it survives interruptions.

The folder holds

- ``settings.yaml``: all settings, resolved;
- ``origin.json``: for every start of the run its commit, packages, command line and processes;
- ``state.safetensors``: what is needed to resume (`train.runs.state`);
- ``metrics.jsonl``, ``validation.jsonl``: a line of JSON per step, and per validation;
- ``tensorboard/``, ``pictures/``.

A run that failed before the end of its first step has not begun: its folder is free for another
start with any settings. What it had computed stays, such as cached features.

A loop uses it like this; test/test_training_run.py runs exactly these lines, kills them with
``kill -9``, and compares one process with two::

    import sys
    from dataclasses import dataclass, field
    from functools import partial

    import torch

    from scenedino_ros.core.setting import setting
    from train.runs.launch import exit_code, launch, local_items, reduce_losses, stop_signals
    from train.runs.prefetch import prefetch
    from train.runs.randomness import item_generator
    from train.runs.run import RunFolder
    from train.runs.settings import Command, RunSettings, parse_command


    @dataclass(frozen=True)
    class Settings:
        learning_rate: float = setting(1e-2, "Step size of Adam", low=0.0)
        run: RunSettings = field(default_factory=RunSettings)


    def load(seed: int, places: range, step: int) -> dict[str, torch.Tensor]:
        draws = [item_generator(seed, step, place) for place in places]
        x = torch.stack([torch.randn(3, generator=draw) for draw in draws])
        return {"x": x, "y": x.sin().sum(1, keepdim=True)}


    def fit(command: Command[Settings]) -> None:
        settings, fabric = command.settings, launch(command.settings.run)
        hidden, out = torch.nn.Linear(3, 32), torch.nn.Linear(32, 1)
        network = torch.nn.Sequential(hidden, torch.nn.GELU(), out)
        optimizer = torch.optim.Adam(network.parameters(), settings.learning_rate)
        model, adam = fabric.setup(network, optimizer)
        parts = ({"network": network}, {"adam": optimizer})
        make_batch = partial(
            load, settings.run.seed, local_items(fabric, settings.run.batch_size)
        )
        with RunFolder(command.output, settings, fabric, resume=command.resume) as run:
            first, _ = run.restore(*parts)
            with (
                stop_signals() as stop,
                run.progress(first) as show,
                prefetch(make_batch, run.steps(first), workers=2, depth=4) as batches,
            ):
                for step, batch in batches:
                    batch = fabric.to_device(batch)
                    loss = (model(batch["x"]) - batch["y"]).square().mean()
                    fabric.backward(loss)
                    reduced = reduce_losses(fabric, {"loss": loss}, stop=stop.requested)
                    run.check_finite(step, reduced.values, batch)
                    adam.step()
                    adam.zero_grad()
                    run.log(step, reduced.values)
                    show(step, reduced.values)
                    if run.is_due(step, settings.run.save_every) or reduced.stop:
                        run.save(step + 1, *parts)
                    if reduced.stop:
                        raise run.stopped(step + 1)


    if __name__ == "__main__":
        command = partial(parse_command, None, Settings(), "toy", "Learn a sum of sines.")
        sys.exit(exit_code("toy", lambda: fit(command())))
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.progress import counting_steps
from train.runs.launch import Stopped
from train.runs.nonfinite import check_finite
from train.runs.origin import add_start
from train.runs.records import Records
from train.runs.settings import (
    SETTINGS_FILE,
    RunSettings,
    changed_settings,
    read_overlay,
    write_settings,
)
from train.runs.state import load_state, save_state

_STATE, _METRICS = "state.safetensors", "metrics.jsonl"
_SHOWN = 5  # changed settings named in a message


class StageSettings(Protocol):
    """Settings of a stage: a frozen dataclass with the group ``run``."""

    @property
    def run(self) -> RunSettings:
        """The settings that every run has."""


class RunFolder:
    """The folder of a run; a context manager. Only the first process writes to it.

    Attributes:
        path: The folder.
    """

    def __init__(
        self, path: Path, settings: StageSettings, fabric: Fabric, *, resume: bool
    ) -> None:
        """Make the folder of a run, or open one to resume its run.

        Args:
            path: The folder.
            settings: All settings of the run.
            fabric: The processes.
            resume: Resume the run in the folder; begin one if there is none.

        Raises:
            InputError: If the folder holds a run and `resume` is false, holds something else, is
                in use, or if settings differ from those of its run and are not live.
        """
        self.path = Path(path)
        self._run, self._fabric = settings.run, fabric
        self._open = ExitStack()
        self._records: Records | None = None
        problem = ""
        if fabric.is_global_zero:
            try:
                self._prepare(settings, resume)
            except InputError as error:
                problem = str(error)
        problem = fabric.broadcast(problem)
        if problem:  # every process raises it, so that none waits for the first
            self._open.close()
            raise InputError(problem)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def has_state(self) -> bool:
        """Whether there is a saved state; it holds all weights, and `restore` loads them."""
        return (self.path / _STATE).exists()

    def restore(
        self, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
    ) -> tuple[int, dict[str, Any]]:
        """Load the saved state into modules and optimisers; drop what was logged after it.

        Args:
            modules: Modules by name, bare or set up by Fabric.
            optimizers: Optimisers by name, likewise.

        Returns:
            Number of steps done and the `extra` values of `save`; 0 and none at first.

        Raises:
            CheckpointError: If the state is damaged or of other modules.
        """
        first, extra = 0, dict[str, Any]()
        if self.has_state:
            first, extra = load_state(self.path / _STATE, modules, optimizers)
        if self._fabric.is_global_zero:
            records = Records(self.path, first, self._run.log_every)
            self._records = self._open.enter_context(records)
            processes = self._fabric.world_size
            add_start(self.path / "origin.json", first, self._run.seed, processes)
        return first, extra

    def steps(self, first: int) -> range:
        """Return the numbers of the steps still to do, counted from 0."""
        return range(first, self._run.steps)

    def is_due(self, step: int, every: int) -> bool:
        """Return whether what is done every so many steps, and at the end, follows this step."""
        return (step + 1) % every == 0 or step + 1 == self._run.steps

    def save(
        self,
        steps_done: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Save the state; the earlier one stays until the new one is complete.

        Args:
            steps_done: Number of steps done.
            modules: Modules by name, bare or set up by Fabric.
            optimizers: Optimisers by name, likewise.
            extra: Further plain values, such as the best score so far.
        """
        if self._records:
            self._records.to_disk()
            save_state(self.path / _STATE, steps_done, modules, optimizers, extra)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step to ``metrics.jsonl``, and every few steps to TensorBoard."""
        if self._records:
            self._records.step(step, values)

    def log_validation(self, step: int, values: Mapping[str, float]) -> None:
        """Add the scores after a step to ``validation.jsonl`` and TensorBoard."""
        if self._records:
            self._records.validation(step, values)

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Save an (H, W, 3) uint8 RGB picture as PNG and in TensorBoard."""
        if self._records:
            self._records.picture(step, name, picture)

    def check_finite(self, step: int, values: Mapping[str, float], batch: Any) -> None:
        """Save the batch and stop if a value is infinite or not a number.

        Raises:
            NonFiniteError: Naming value, step and the file with the batch.
        """
        check_finite(self.path, self._fabric.global_rank, step, values, batch)

    @contextmanager
    def progress(self, first: int) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
        """Show how far the run is while the block runs, as `counting_steps` does.

        Args:
            first: Steps that were done before.

        Yields:
            A function that takes the number of a finished step, counted from 0, and its values.
        """
        if not self._fabric.is_global_zero:
            yield lambda step, values: None
            return
        with counting_steps(first, self._run.steps, self._run.log_every) as show:
            yield show

    def stopped(self, steps_done: int) -> Stopped:
        """Return the error that ends a run after a request to stop; its state is saved."""
        return Stopped(
            f"stopped after step {steps_done} of {self._run.steps}, saved in {self.path}; "
            "--resume continues from there"
        )

    def _prepare(self, settings: StageSettings, resume: bool) -> None:
        """Make or check the folder.

        Raises:
            InputError: As `__init__` says.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._open.enter_context(FileLock(self.path / ".lock", timeout=0))
        except Timeout:
            raise InputError(f"{self.path} is in use by another process") from None
        for partial in self.path.glob(".*.partial"):  # of a process that was killed
            partial.unlink()
        if (self.path / SETTINGS_FILE).exists():
            if self._has_begun():
                self._check_settings(settings, resume)
        elif any(not path.name.startswith(".") for path in self.path.iterdir()):
            raise InputError(
                f"{self.path} must be new, empty or the folder of a run; it holds other files"
            )
        write_settings(self.path / SETTINGS_FILE, settings)

    def _has_begun(self) -> bool:
        """Return whether a step of the run in the folder was ever done."""
        metrics = self.path / _METRICS
        return self.has_state or (metrics.exists() and metrics.stat().st_size > 0)

    def _check_settings(self, settings: StageSettings, resume: bool) -> None:
        if not resume:
            raise InputError(f"{self.path} holds a run already; add --resume to resume it")
        stored = read_overlay(self.path / SETTINGS_FILE)
        changed = changed_settings(stored, settings)
        if changed:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            names = ", ".join(changed[:_SHOWN])
            raise InputError(f"the run in {self.path} cannot be resumed with {names}{more}")
