# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The network that a run begins with."""

from scenedino_ros.checkpoints.checkpoint import Checkpoint, load_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.network_choice import NetworkChoice
from train.runs.run import RunFolder


def network_of_run(run: RunFolder, copy: str, named: str, what: str) -> Checkpoint:
    """Return the network that a run begins with.

    A resumed run reads its own copy, which never changes.

    Args:
        run: The run.
        copy: Name of the copy in its folder.
        named: File or name that ``--checkpoint`` gives.
        what: What it must name, for the error.

    Raises:
        InputError: If no checkpoint is named.
        CheckpointError: If it cannot be read.
    """
    if run.has_state and (run.path / copy).exists():
        return load_checkpoint(run.path / copy)
    if not named:
        raise InputError(f"--checkpoint must name {what}, got none")
    return NetworkChoice(named).load()
