"""Random draws that depend on seed, step and item alone, so that nothing has to be remembered.

A run resumed at a step, or spread over several processes, draws the same numbers as one that was
never interrupted in one process.
"""

import numpy as np
import torch

# What a hash is for; numbers with different purposes have nothing to do with each other.
_ITEM, _STEP, _ORDER = 0, 1, 2


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


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch's global generators for one step: what layers such as dropout draw from.

    Args:
        seed: Seed of the run, >= 0.
        step: Number of the step, >= 0.
        rank: Number of the process; processes draw different numbers.
    """
    torch.manual_seed(_hash(_STEP, seed, step, rank))


def items_of_step(seed: int, step: int, batch_size: int, n_items: int) -> list[int]:
    """Return which items of a data set a step takes, over all processes.

    The items are passed through in an order shuffled anew for every pass, so each is taken once
    before any is taken again.

    Args:
        seed: Seed of the run, >= 0.
        step: Number of the step, >= 0.
        batch_size: Items of a step.
        n_items: Items of the data set, >= 1.
    """
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {n: _order(seed, n, n_items) for n in {place // n_items for place in places}}
    return [int(orders[place // n_items][place % n_items]) for place in places]


def _order(seed: int, number: int, n_items: int) -> np.ndarray:
    sequence = np.random.SeedSequence((_ORDER, seed, number))
    return np.random.Generator(np.random.PCG64(sequence)).permutation(n_items)


def _hash(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])
