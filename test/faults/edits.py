# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Random edits of messages and files, applied to a sound one and cut down to the fewest.

A message is a nested dictionary, a file is bytes. An edit is a tuple of plain values, so that a
case can be written to a file and repeated.
"""

import base64
import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

Edit = tuple[Any, ...]

FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 90.0, 1e-3, 1e-45, 5e-324, 1e-300, 1e6, 1e39, 1e154, 1e300),
    *(-1e39, -1e300, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")),
)
INTEGERS = (
    *(0, 1, 2, 3, 7, 255, 256, 32767, 32768, 40_000, 65_535, 65_536, 1 << 20, 2**31 - 1),
    *(2**31, 2**32 - 1, -1, -(2**31)),
)
TEXTS = (
    *("", "/", "//", "a/b", "\x1b[31mred\x1b[0m", "two\nlines", "\r", "\0", "\u202eabc", "Straße"),
    *("x" * 70_000, "/" * 300, "%s%n", "plumb_bob", "equidistant", "rational_polynomial", "mei"),
    *("none", "rgb8", "mono16", "bayer_rggb8", "nv12", "jpeg", "rgb8; png compressed bgr8"),
)
# What means something in one of the formats of files.
WORDS = (
    *(b"\0", b"\xff", b"\x7f", b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\n", b"\t", b": "),
    *(b"&a [*a, *a]", b"!!python/object:os.system ", b"nan", b"inf", b"1e400", b"-1", b"[" * 3000),
    *(
        b"{" * 3000,
        b'"',
        b"'",
        b"\x1b[31m",
        b"9" * 5000,
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"---\n",
    ),
    *(
        b"1e154",
        b"1e-45",
        b"999999999999",
        b"null",
        b"~",
        b"true",
        b"\x89MCAP0\r\n",
        b"PK\x03\x04",
    ),
)
FIXED_SIZE = ("k", "r", "p", "numbers")  # arrays of messages
SIGNED = ("sec", "stamp", "when")
_MOST_EDITS = 4


def random_edits(rng: random.Random, base: Any, *, typed: bool = False) -> tuple[Edit, ...]:
    """Return one to four random edits for a message or a file.

    Args:
        rng: The source of randomness.
        base: The message, a nested dictionary, or the file: bytes, or what becomes a document.
        typed: Whether the fields keep their types and arrays of a fixed size their sizes, as in a
            message that came over the wire.
    """
    return tuple(_random_edit(rng, base, typed) for _ in range(rng.randint(1, _MOST_EDITS)))


def apply(base: Any, edits: Sequence[Edit]) -> Any:
    """Return a copy of a message or a file after the edits that still fit it."""
    value = copy.deepcopy(base)
    for edit in edits:
        value = _applied(value, edit)
    return value


def fewest(edits: Sequence[Edit], fails: Callable[[Sequence[Edit]], bool]) -> tuple[Edit, ...]:
    """Return the edits without those that a failure does not need, each as short as it can be.

    Args:
        edits: Edits that fail.
        fails: Returns whether other edits fail in the same way.

    Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
    """
    kept = list(edits)
    place = 0
    while len(kept) > 1 and place < len(kept):
        fewer = kept[:place] + kept[place + 1 :]
        if fails(fewer):
            kept = fewer
        else:
            place += 1
    for place, edit in enumerate(kept):
        while (shorter := _shorter(edit)) is not None:
            trial = [*kept[:place], shorter, *kept[place + 1 :]]
            if not fails(trial):
                break
            edit, kept = shorter, trial
    return tuple(kept)


def to_json(edits: Sequence[Edit]) -> str:
    """Return edits as JSON."""
    return json.dumps(edits, default=lambda data: {"base64": base64.b64encode(data).decode()})


def from_json(text: str) -> tuple[Edit, ...]:
    """Return the edits that `to_json` wrote."""
    hook = lambda value: base64.b64decode(value["base64"]) if "base64" in value else value  # noqa: E731
    return tuple(
        (kind, tuple(path), tuple(change) if kind == "bytes" else change)
        for kind, path, change in json.loads(text, object_hook=hook)
    )


def _random_edit(rng: random.Random, base: Any, typed: bool) -> Edit:
    path: tuple[Any, ...] = ()
    value = base
    while isinstance(value, dict | list) and value:
        sized = typed and path[-1:] and path[-1] in FIXED_SIZE
        if isinstance(value, list) and not sized and rng.random() < 0.15:
            return ("repeat", path, rng.choice((0, 1, 2, 5, 20)))
        if path and not typed and rng.random() < 0.03:
            return ("set", path, rng.choice((None, [], {}, "", 0)))
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        path, value = (*path, key), value[key]
    if isinstance(value, bytes):
        return ("bytes", path, _random_bytes_edit(rng, value))
    if isinstance(value, bool):
        return ("set", path, not value)
    if isinstance(value, int):
        near = value + rng.choice((-2, -1, 1, 2))
        number = rng.choice((*INTEGERS, near, rng.getrandbits(32)))
        return ("set", path, abs(number) if typed and path[-1] not in SIGNED else number)
    if isinstance(value, float):
        scaled = value * rng.choice((-1.0, 2.0, 1e3, 1e-3, 1.0 + 1e-9))
        exponent = rng.uniform(-320, 308)
        return ("set", path, rng.choice((*FLOATS, scaled, 10.0**exponent)))
    return ("set", path, rng.choice(TEXTS))


def _random_bytes_edit(rng: random.Random, data: bytes) -> Edit:
    place = rng.randrange(len(data) + 1)
    kind = rng.randrange(8)
    if kind == 0:
        return ("cut", place)
    if kind == 1:
        return ("drop", place, rng.choice((1, 2, 4, 8, 50, 1000)))
    if kind == 2:
        return ("put", place, bytes([rng.randrange(256)]))
    if kind == 3:  # a length or an offset
        code = rng.choice("<B <H >H <I >I <Q >Q <d".split())
        size = struct.calcsize(code)
        if code == "<d":
            return ("put", place, struct.pack(code, rng.choice(FLOATS)))
        number = rng.choice((*INTEGERS, len(data), rng.getrandbits(64), 2**63, 2**40))
        return ("put", place, struct.pack(code, number % (1 << 8 * size)))
    if kind == 4:
        return ("add", place, rng.choice(WORDS))
    if kind == 5:
        return ("put", place, rng.choice(WORDS))
    if kind == 6:
        return ("again", place, rng.choice((1, 4, 16, 100, 1000)), rng.choice((1, 2, 50)))
    return ("put", place, rng.randbytes(rng.choice((1, 2, 4, 8, 32))))


def _applied(value: Any, edit: Edit) -> Any:
    kind, path, change = edit
    if not path:
        return _edited(value, change) if kind == "bytes" else copy.deepcopy(change)
    holder = value
    try:
        for key in path[:-1]:
            holder = holder[key]
        last = path[-1]
        if kind == "bytes":
            holder[last] = _edited(holder[last], change)
        elif kind == "repeat":
            holder[last] = holder[last] * change
        elif isinstance(holder, dict) or last < len(holder):
            holder[last] = copy.deepcopy(change)
    except (KeyError, IndexError, TypeError):
        pass  # an earlier edit removed it
    return value


def _edited(data: Any, edit: Edit) -> Any:
    if not isinstance(data, bytes):
        return data
    kind, place, *rest = edit
    if kind == "cut":
        return data[:place]
    if kind == "drop":
        return data[:place] + data[place + rest[0] :]
    if kind == "put":
        return data[:place] + rest[0] + data[place + len(rest[0]) :]
    if kind == "add":
        return data[:place] + rest[0] + data[place:]
    size, times = rest
    return data[:place] + data[place : place + size] * times + data[place:]


def _shorter(edit: Edit) -> Edit | None:
    """Return an edit with half of its text or bytes; None where there is no less."""
    kind, path, change = edit
    if kind == "set" and isinstance(change, str) and len(change) > 1:
        return (kind, path, change[: len(change) // 2])
    if kind == "bytes" and change[0] in ("put", "add") and len(change[2]) > 1:
        return (kind, path, (*change[:2], change[2][: len(change[2]) // 2]))
    return None
