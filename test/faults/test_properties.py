# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Every reader gives a finite result or the package's error, whatever comes.

scripts/fuzz.py tries many more cases, in processes with limits of time and memory.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from edits import FIXED_SIZE, FLOATS, INTEGERS, SIGNED, TEXTS, WORDS, Edit, apply
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from promise import BrokenPromiseError, Reader, check
from readers import READERS

from scenedino_ros.core.errors import InputError

Path = tuple[Any, ...]
SLOW = ("MCAP", "SQLite", "metadata.yaml", "voxels", "class table", "class costs")
FEW, MANY = 5, 25  # examples
# Few letters, which hypothesis needs no tables of all characters for.
LETTERS = "aZ09_/ .,:;'\"{}[]&*!#%-\x1b\0\n\r\t\x7f\x9bé\u202e\udcff"


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Return the places of a message or a document, and what is there."""
    parts: Any = ()
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    for key, part in parts:
        yield from leaves(part, (*path, key))
    if not parts or isinstance(value, list):
        yield path, value


def edits_of(reader: Reader, path: Path, value: Any) -> st.SearchStrategy[Edit]:
    """Return the edits of one place."""
    if isinstance(value, bytes):
        place = st.integers(0, len(value))
        some = st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=16))
        changes: Any = st.one_of(
            st.tuples(st.just("cut"), place),
            st.tuples(st.just("drop"), place, st.integers(1, 64)),
            st.tuples(st.sampled_from(("put", "add")), place, some),
        )
        return changes.map(lambda change: ("bytes", path, change))
    if isinstance(value, list):
        sized = reader.typed and path[-1:] and path[-1] in FIXED_SIZE
        times = st.just(1) if sized else st.integers(0, 20)
        return times.map(lambda count: ("repeat", path, count))
    values: st.SearchStrategy[Any]
    if isinstance(value, bool):
        values = st.booleans()
    elif isinstance(value, int):
        low = -(2**31) if not reader.typed or path[-1] in SIGNED else 0
        pool = [number for number in INTEGERS if number >= low]
        values = st.one_of(st.sampled_from(pool), st.integers(low, 2**32 - 1))
    elif isinstance(value, float):
        values = st.one_of(st.sampled_from(FLOATS), st.floats())
    else:
        values = st.one_of(st.sampled_from(TEXTS), st.text(LETTERS, max_size=50))
    if not reader.typed:
        values = st.one_of(values, st.sampled_from((None, "", 0, -1.5)))
    return values.map(lambda new: ("set", path, new))


def cases(reader: Reader) -> st.SearchStrategy[list[Edit]]:
    """Return lists of one to three edits of what a reader can read."""
    places = list(leaves(reader.sound()))
    one = st.sampled_from(places).flatmap(lambda place: edits_of(reader, *place))
    return st.lists(one, min_size=1, max_size=3)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_sound_inputs_are_read(reader: Reader) -> None:
    reader.read(reader.sound())


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_whatever_comes_is_read_or_refused(reader: Reader) -> None:
    sound = reader.sound()

    @settings(
        max_examples=FEW if reader.name in SLOW else MANY,
        derandomize=True,  # the same cases in every run
        database=None,
        deadline=None,  # no test depends on how fast the machine is
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(reader))
    def holds(edits: list[Edit]) -> None:
        check(reader, apply(sound, edits))

    holds()


def raising(error: Exception) -> Any:
    def read(_: Any) -> None:
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "broken"),
    [
        (lambda _: [1.0, {"a": float("nan")}], "not finite"),
        (raising(InputError("x" * 10_000)), ""),
        (raising(KeyError("a")), "KeyError"),
    ],
)
def test_a_broken_promise_is_found(read: Any, broken: str) -> None:
    reader = Reader("broken", dict, read)
    if not broken:  # the package shortens what it quotes
        check(reader, {})
        return
    with pytest.raises((BrokenPromiseError, KeyError), match=broken if "not" in broken else "a"):
        check(reader, {})
