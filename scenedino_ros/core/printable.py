# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Text from messages and files, made safe for a terminal, a log or a report."""

LONGEST = 1000  # characters of one sentence: the longest list of known names, with its context


def printable(text: object, length: int = LONGEST, *, keep_lines: bool = False) -> str:
    r"""Return text without control characters, and of bounded length.

    A control character could colour or clear a terminal, forge a line of a log, or reverse the
    order of what is read. Each becomes its escape sequence, such as ``\x1b``, so that the reader
    still sees that it is there. Of text that is too long, the middle is left out: sentences name
    their subject at the start, and what was expected or came at the end. Applying the function
    twice changes nothing more.

    Args:
        text: Anything; its `str` is taken.
        length: Most characters of the result.
        keep_lines: Keep line feeds, for text that may have several lines.

    Returns:
        The text; only characters for which `str.isprintable` holds, and line feeds where they are
        kept.
    """
    text = str(text)
    if len(text) > length:
        text = _shortened(text, length)
    if not text.isprintable():
        kept = "\n" if keep_lines else ""
        text = "".join(c if c.isprintable() or c in kept else _escaped(c) for c in text)
        if len(text) > length:
            text = _shortened(text, length)
    return text


def _shortened(text: str, length: int) -> str:
    """Return the start and the end of a text, and how much is left out between them."""
    mark = f" [... {len(text) - length} more characters ...] "
    head = max(0, (length - len(mark)) * 2 // 3)
    tail = max(0, length - len(mark) - head)
    return (text[:head] + mark + text[len(text) - tail :])[:length]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
