# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Commands of the documentation, and a shell in which they reach a function instead of a program.

Loops, functions, variables, patterns and continued lines of the documents mean what bash says they
mean; only the programs are replaced.
"""

import ast
import fcntl
import os
import re
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "MODEL_CARD.md", "docs/**/*.md")
# Functions in the shell; scripts that are called by a path are files.
PROGRAMS = (
    "scenedino scenedino_node python python3 torchrun ros2 tensorboard colcon rosdep pip git cd "
    "source jq mkdir "
    "export sudo apt apt-get docker"
).split()
SCRIPTS = ("demo.sh", "test.sh")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^\n|\A)((?: {4}.*\n)+)", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")
_STARTS = re.compile(
    r"(scenedino|scenedino_node|python -m|torchrun|ros2|tensorboard|\./\w+\.sh)(?![\w/])"
)
_END = b"\x04"  # after the last argument of a call
_PLACEHOLDER = re.compile(r"<([a-z ]+)>")


@dataclass(frozen=True)
class Snippet:
    """Lines for a shell.

    Attributes:
        place: Where they stand.
        script: The lines.
        inline: A mention within a sentence, which may leave out what is needed.
    """

    place: str
    script: str
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.script.strip().splitlines()[0]}"


def snippets_of(place: str, text: str) -> Iterator[Snippet]:
    """Yield the commands of a Markdown text."""
    for language, body in _FENCE.findall(text):
        if language in ("", "bash", "sh") and any(map(_STARTS.match, body.splitlines())):
            yield Snippet(place, body)
    rest = _FENCE.sub("", text)
    for body in _INDENTED.findall(rest):
        if _STARTS.match(body.strip()):
            yield Snippet(place, textwrap.dedent(body))
    for mention in _INLINE.findall(rest):
        words = " ".join(mention.split())
        if _STARTS.match(words):
            yield Snippet(place, words, inline=True)


def documented() -> list[Snippet]:
    """Return the commands of all documents and of the training scripts' docstrings."""
    found = []
    for pattern in DOCUMENTS:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            found += snippets_of(str(path.relative_to(ROOT)), text)
    for path in sorted((ROOT / "train").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for body in _INDENTED.findall(text + "\n"):
            if _STARTS.match(body.strip()):
                found.append(Snippet(f"train/{path.name}", textwrap.dedent(body)))
    return found


def run_in_shell(script: str, folder: Path, call: Callable[[list[str]], int]) -> None:
    """Run lines of bash in a folder; every program in them becomes a call.

    Args:
        script: The lines.
        folder: Where they run, and the user's home.
        call: Gets a program and its arguments, and returns its exit code.

    Raises:
        AssertionError: If bash does not understand them, or knows a program that is not replaced.
    """
    for name in SCRIPTS:
        relay = _function(f"./{name}", "relay")
        (folder / name).write_text(f'#!/bin/bash\n{relay}\nrelay "$@"\n')
        (folder / name).chmod(0o755)
    preamble = "\n".join(map(_function, PROGRAMS))
    request, request_end = os.pipe()
    answer_end, answer = os.pipe()
    request_end, answer_end = _moved(request_end), _moved(answer_end)
    redirect = f"exec 8>&{request_end} 9<&{answer_end}"
    script = _PLACEHOLDER.sub(lambda match: match[1].replace(" ", "-"), script)
    process = subprocess.Popen(
        ["bash", "-eu", "-o", "pipefail", "-c", f"{redirect}\n{preamble}\n{script}"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        pass_fds=(request_end, answer_end),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(request_end)
    os.close(answer_end)
    try:
        _serve(request, answer, call)
    finally:
        os.close(request)
        os.close(answer)  # a program that waits gets no answer, and bash ends
        errors = process.communicate()[1]
    assert process.returncode == 0, f"{script}\n{errors}"


def _moved(descriptor: int) -> int:
    """Return another number for an open file, which bash has no use for."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100)
    os.close(descriptor)
    return moved


def _serve(request: int, answer: int, call: Callable[[list[str]], int]) -> None:
    """Answer calls until the shell has ended."""
    words: list[str] = []
    pending = b""
    while chunk := os.read(request, 1 << 16):
        *whole, pending = (pending + chunk).split(b"\0")
        for word in whole:
            if word == _END:
                os.write(answer, f"{call(words)}\n".encode())
                words = []
            else:
                words.append(word.decode())


def _function(name: str, called: str = "") -> str:
    """Return a function of bash that sends its arguments and returns the answer."""
    return (
        f"{called or name}() {{ [ ! -p /dev/stdin ] || cat > /dev/null; "
        f"printf '%s\\0' {name} \"$@\" $'\\x04' >&8; "
        "local code; read -r code <&9; return $code; }"
    )
