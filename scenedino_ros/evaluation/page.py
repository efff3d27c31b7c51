# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Several runs on one HTML page, which contains all figures and opens offline."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from scenedino_ros.core.file_limits import MESSAGE_BYTES
from scenedino_ros.core.printable import printable
from scenedino_ros.core.reading import read_bytes, reading
from scenedino_ros.evaluation.result import (
    RunResult,
    Table,
    missing_sentences,
    partial_warning,
    settings_lines,
)

_LONGEST = 100_000  # characters of a paragraph
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1e222a; background: #fafafc;
       max-width: 1280px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; } h2 { font-size: 21px; margin-top: 48px; border-top: 1px solid #d5d8e0;
       padding-top: 20px; } h3 { font-size: 16px; margin-bottom: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 9px; text-align: right; border-bottom: 1px solid #e3e5ea; }
th:first-child, td:first-child { text-align: left; }
th { background: #eef0f5; vertical-align: bottom; }
tr:hover td { background: #f1f4fb; }
.partial { background: #fdecea; border-left: 4px solid #be1e1e; padding: 8px 14px; }
figure { margin: 18px 0; } figure img { max-width: 100%; border: 1px solid #e3e5ea; }
figcaption, .faint { color: #6e7480; font-size: 13px; }
pre { background: #f0f1f5; padding: 10px; overflow-x: auto; font-size: 12px; }
"""


def check_run(folder: Path, result: RunResult) -> None:
    """Refuse a run of which a figure is missing, or that cannot be put on a page.

    Raises:
        InputError: Naming the first problem.
    """
    with reading(f"the result of {folder}"):
        _section(0, folder, result)


def page(runs: Sequence[tuple[Path, RunResult]], title: str) -> str:
    """Return the page as text.

    Args:
        runs: Folder and result of each run.
        title: Heading of the page.

    Raises:
        InputError: If a figure of a run is missing.
    """
    contents = "".join(
        f'<li><a href="#run{number}">{_text(result.title)}</a> — {_text(result.dataset)}; '
        f"{_text(result.coverage)}</li>"
        for number, (_, result) in enumerate(runs)
    )
    sections = "".join(
        _section(number, folder, result) for number, (folder, result) in enumerate(runs)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_text(title)}</h1><ul>{contents}</ul>{sections}</body></html>\n"
    )


def _section(number: int, folder: Path, result: RunResult) -> str:
    parts = [f'<h2 id="run{number}">{_text(result.title)}</h2>']
    if not result.complete:
        parts.append(f'<p class="partial"><b>{_text(partial_warning(result))}</b></p>')
    facts = "<br>".join(f"{name}: {_text(text)}" for name, text in result.facts.items())
    parts.append(f"<p>{facts}</p>")
    parts += [_table(table) for table in result.tables]
    if result.notes:
        parts.append("<h3>What these numbers mean</h3>" + _list(result.notes))
    parts += [_figure(folder / figure.file, figure.caption) for figure in result.figures]
    if result.missing:
        parts.append("<h3>Missing</h3>" + _list(missing_sentences(result)))
    settings = html.escape("\n".join(settings_lines(result)))
    parts.append(f"<details><summary>Settings</summary><pre>{settings}</pre></details>")
    return "".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(table.text(cell))}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    notes = "".join(f'<p class="faint">{_text(note)}</p>' for note in table.notes)
    return (
        f'<h3>{_text(table.title)}</h3><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{notes}"
    )


def _figure(path: Path, caption: str) -> str:
    with reading(f"picture {path}"):
        content = base64.b64encode(read_bytes(path, MESSAGE_BYTES)).decode("ascii")
    return (
        f'<figure><img alt="{_text(caption)}" src="data:image/png;base64,{content}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _text(text: str) -> str:
    """Return text as HTML; ``**bold**``, ``*stressed*`` and code in backticks as Markdown has."""
    text = html.escape(printable(text, _LONGEST))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    return re.sub(r"\*([^*]+)\*", r"<i>\1</i>", text)
