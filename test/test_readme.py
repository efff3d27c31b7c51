# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""README and the pages in docs: their tables agree with the code, and what they name exists."""

import inspect
import os
import re
from pathlib import Path

import pytest
from test_import_rules import IMPORTED_BY, ROOMS

from scenedino_ros.checkpoints.names import PUBLISHED
from scenedino_ros.cli.main import SUBCOMMANDS
from scenedino_ros.core.config import ENGINES, NodeSettings
from scenedino_ros.core.outputs import OUTPUTS, SERVICES, Output
from scenedino_ros.core.parameter_tree import Setting, walk_settings
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.inference.engines import graph_export as graphs

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in ("*.md", "docs/**/*.md", "train/*.md")
    for path in sorted(ROOT.glob(pattern))
}
# Where a document's paths of Python files may begin.
FOLDERS = (
    ROOT,
    *(ROOT / name for name in ("scenedino_ros", "train", "test", "launch", "launch/examples")),
)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_PYTHON_FILE = re.compile(r"(?<![\w./*])\w[\w./]*\.py\b")
_ROOM = re.compile(r"`(\w[\w/]*/)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of a page, without its head."""
    section = re.split(rf"^#+ {re.escape(heading)}$", TEXTS[page], flags=re.MULTILINE)[1]
    table = re.search(r"((?:^\|.*\|\n)+)", section, re.MULTILINE).group(1).splitlines()
    return [[cell.strip() for cell in _CELL_BORDER.split(line)[1:-1]] for line in table[2:]]


def names(cell: str) -> list[str]:
    """Return the code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def shown(value: object) -> str:
    """Return a value as the table writes it."""
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return (
        f"`{str(value).lower()}`"
        if isinstance(value, bool)
        else f"`{value if value != '' else chr(34) * 2}`"
    )


def parameter_row(setting: Setting) -> list[str]:
    """Return the table's row of a parameter."""
    metadata = setting.metadata
    live = "live" if metadata["live"] else ""
    return [f"`{setting.name}`", shown(setting.value), metadata["unit"], live, metadata["doc"]]


def output_row(output: Output) -> list[str]:
    """Return the table's row of an output."""
    kind = output.type.replace("/msg/", "/")
    return [f"`~/{output.name}`", f"`{kind}`", "out", output.meaning]


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a text."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_parameters_are_those_of_the_code() -> None:
    expected = [parameter_row(setting) for setting in walk_settings(NodeSettings())]
    assert rows("docs/parameters.md", "All parameters") == expected


def test_grids_are_those_of_the_code() -> None:
    table = {row[0]: row[1:3] for row in rows("docs/parameters.md", "Grids")}
    assert table == {
        f"`{name}`": [" x ".join(map(str, grid.shape)), f"{grid.voxel_size:g} m"]
        for name, grid in GRID_PRESETS.items()
    }


def test_topics_are_those_of_the_code() -> None:
    table = {name: row for row in rows("docs/topics.md", "Topics") for name in names(row[0])}
    published = {name: row for name, row in table.items() if row[2] == "out"}
    assert published.pop("/diagnostics")
    assert published == {f"~/{output.name}": output_row(output) for output in OUTPUTS}
    assert {"image", "camera_info", "/tf"} <= set(table)
    services = [row[0].strip("`") for row in rows("docs/topics.md", "Services")]
    assert services == [f"~/{name}" for name in SERVICES]
    for row in rows("README.md", "ROS 2"):
        for name in names(row[0]):
            assert row[1] in table[name][1], name


def test_launch_arguments_are_those_of_the_launch_file() -> None:
    source = (ROOT / "launch/scenedino.launch.py").read_text(encoding="utf-8")
    declared = re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', source)
    table = [name for row in rows("docs/install.md", "Launch") for name in names(row[0])]
    assert sorted(table) == sorted(declared)


def test_commands_and_checkpoints_are_those_of_the_code() -> None:
    commands = [row[0].strip("`").split()[1] for row in rows("docs/commands.md", "Commands")]
    assert sorted(commands) == sorted(entry.name for entry in SUBCOMMANDS)
    table = rows("docs/weights.md", "Published checkpoints")
    assert [row[0].strip("`") for row in table] == list(PUBLISHED)


def test_engines_and_graphs_are_those_of_the_code() -> None:
    table = rows("docs/engines.md", "Engines and precision")
    assert [row[0].strip("`") for row in table] == list(ENGINES)
    parts = {
        graphs.IMAGE: graphs.ImagePart,
        graphs.POINTS: graphs.PointPart,
        graphs.CLASSES: graphs.ClassPart,
    }
    written = inspect.getsource(graphs.write_graphs)
    table = rows("docs/engines.md", "Graphs")
    assert [row[0].strip("`") for row in table] == list(parts)
    for (_, inputs, outputs), part in zip(table, parts.values(), strict=True):
        assert names(inputs) == list(inspect.signature(part.forward).parameters)[1:]
        assert names(outputs)
        assert [name for name in names(outputs) if f'"{name}"' not in written] == []


def test_rooms_are_those_of_the_import_rules() -> None:
    table = rows("CONTRIBUTING.md", "Rooms")
    assert [row[0].strip("`/") for row in table] == [*ROOMS, "train"]
    only = {row[0].strip("`/"): tuple(n.strip("/") for n in names(row[3])) for row in table}
    assert {room: importers for room, importers in only.items() if importers} == {
        room: importers for room, importers in IMPORTED_BY.items() if importers
    }


def test_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^\*\*(.+?)\.\*\*", TEXTS["docs/glossary.md"], re.MULTILINE)
    assert len(terms) > 50
    assert terms == sorted(terms, key=str.casefold)


def test_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(TEXTS[page]):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(TEXTS[os.path.relpath(path.resolve(), ROOT)]), link


@pytest.mark.parametrize("page", TEXTS)
def test_python_files_that_are_named_exist(page: str) -> None:
    text = re.sub(r"```python.*?```", "", TEXTS[page], flags=re.DOTALL)
    found = set(_PYTHON_FILE.findall(text))
    missing = [n for n in found if not any((folder / n).is_file() for folder in FOLDERS)]
    assert missing == []


def test_folders_that_engineers_are_sent_to_exist() -> None:
    found = set(_ROOM.findall(TEXTS["CONTRIBUTING.md"]))
    assert {f"{room}/" for room in ROOMS} <= found
    assert [n for n in found if not any((folder / n).is_dir() for folder in FOLDERS)] == []
