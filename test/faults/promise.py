# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What every reader of messages and files promises, whatever comes.

It returns a finite result, or raises the package's own error with a sentence that can be shown.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scenedino_ros.core.errors import SceneDinoError

MOST_WORDS = 4200  # characters of an error, which may list many keys of a checkpoint


class BrokenPromiseError(AssertionError):
    """A reader returned a number that is not finite, or an error that cannot be shown."""


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of message or file.

    Attributes:
        name: Its name in reports.
        sound: Returns an input that it can read: a nested dictionary for a message, bytes for a
            file, or a dictionary that `encode` turns into the file.
        read: Reads an input; returns what must be finite.
        weight: How many cases it gets, relative to the others: slow readers get few.
        typed: Whether inputs are messages, whose fields always have their types.
    """

    name: str
    sound: Callable[[], Any]
    read: Callable[[Any], Any]
    weight: int = 1
    typed: bool = False


def check(reader: Reader, value: Any) -> None:
    """Read an input.

    Raises:
        BrokenPromiseError: If the result is not finite, or the error cannot be shown.
        Exception: Whatever else the reader raises that is no `SceneDinoError`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = reader.read(value)
    except SceneDinoError as error:
        check_sentence(str(error))
    except argparse.ArgumentTypeError:
        pass  # quotes what the user has typed
    else:
        _check_finite(result)


def check_sentence(sentence: str) -> None:
    if len(sentence) > MOST_WORDS:
        raise BrokenPromiseError(f"a long error: {len(sentence)} characters, {sentence[:80]}...")
    raw = [c for c in sentence if not c.isprintable() and c != "\n"]
    if raw:
        raise BrokenPromiseError(f"an error with raw control characters: {sentence[:200]!r}")


def _check_finite(value: Any) -> None:
    for array in _arrays(value):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BrokenPromiseError(f"a result that is not finite: of shape {array.shape}")


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray | float):
        yield np.asarray(value)
    elif isinstance(value, torch.Tensor):
        yield value.detach().float().numpy()
    elif isinstance(value, dict):
        for part in value.values():
            yield from _arrays(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _arrays(part)
