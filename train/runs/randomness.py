# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Random draws that depend only on seed, step and item, so no generator state has to be saved.

A run resumed at a step, or spread over several processes, draws the same numbers as one that was
never interrupted in one process.
"""

import numpy as np
import torch

# Begin the words of a seed; a seed for another purpose needs another number.
_ITEM, _COPY, _RAYS = 0, 1, 2


def item_generator(seed: int, step: int, item: int) -> torch.Generator:
    """Return the generator of all draws for one item of one step, on the CPU.

    Args:
        seed: Seed of the run, >= 0.
        step: Number of the step, >= 0.
        item: Place of the item in the step's batch over all processes, >= 0.
    """
    generator = torch.Generator()
    generator.manual_seed(_hash(_ITEM, seed, step, item))
    return generator


def copy_generator(camera: str, frame: int, number: int) -> torch.Generator:
    """Return the generator of all draws for one changed copy of an image, on the CPU.

    Args:
        camera: Name of the camera.
        frame: Index of the frame.
        number: Of the copy.
    """
    generator = torch.Generator()
    generator.manual_seed(_hash(_COPY, *camera.encode(), frame, number))
    return generator


def ray_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of the rays that a process draws on its device in one step.

    Args:
        seed: Seed of the run, >= 0.
        step: Number of the step, >= 0.
        rank: Number of the process.
    """
    return _hash(_RAYS, seed, step, rank)


def _hash(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
