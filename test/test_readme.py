"""README's tables say what the code does."""

import re
from pathlib import Path

import pytest

from scenedino_ros.checkpoints.names import PUBLISHED
from scenedino_ros.cli.main import SUBCOMMANDS
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.outputs import OUTPUTS, Output
from scenedino_ros.core.parameter_tree import Setting, walk_settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    section = README.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"((?:^\|.*\|\n)+)", section, re.MULTILINE).group(1).splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


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


def test_parameters_table_is_that_of_the_code() -> None:
    expected = [parameter_row(setting) for setting in walk_settings(NodeSettings())]
    assert rows("### Parameters") == expected


def test_topics_table_is_that_of_the_code() -> None:
    table = {name.strip("`"): row for row in rows("### Topics") for name in row[0].split(", ")}
    published = {name: row for name, row in table.items() if row[2] == "out"}
    assert published.pop("/diagnostics")
    assert published == {f"~/{output.name}": output_row(output) for output in OUTPUTS}
    assert {"image", "camera_info", "/tf"} <= set(table)


def test_commands_and_checkpoints_are_those_of_the_code() -> None:
    commands = [row[0].strip("`").split()[1] for row in rows("## Command line")]
    assert sorted(commands) == sorted(entry.name for entry in SUBCOMMANDS)
    assert [row[0].strip("`") for row in rows("## Weights")] == list(PUBLISHED)


def test_example_without_ros_runs() -> None:
    code = README.split("```python\n", 1)[1].split("```", 1)[0]
    names = re.findall(r"^from (scenedino_ros\S+) import (.+)$", code, re.MULTILINE)
    assert len(names) >= 4
    compile(code, "README.md", "exec")
    for module, imported in names:
        loaded = __import__(module, fromlist=["*"])
        for name in imported.split(", "):
            assert hasattr(loaded, name)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link
