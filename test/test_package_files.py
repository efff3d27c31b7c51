# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The files around the code: citation, changelog, containers, CI and pages of documentation."""

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import scenedino_ros

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What README gives to type on a machine that has nothing yet.
COMMANDS = re.findall(r"^(\./\w+\.sh)\b", README.split("```")[1], re.MULTILINE)
UBUNTUS = ["22.04", "24.04", "26.04"]
PAGES = ("*.md", "docs/**/*.md", "train/*.md")


def document(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_changelog_has_a_dated_section_for_the_version() -> None:
    changelog = pytest.importorskip("catkin_pkg.changelog", reason="catkin_pkg is not installed")
    sections = changelog.get_changelog_from_path(ROOT / "CHANGELOG.rst").foreach_version()
    dates = {version: str(date.date()) for version, date, _ in sections}
    assert (
        document("CITATION.cff")["date-released"].isoformat() == dates[scenedino_ros.__version__]
    )


def test_citation_is_that_of_the_version_and_of_readme() -> None:
    citation = document("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == scenedino_ros.__version__
    paper = citation["preferred-citation"]
    bibtex = README.split("```bibtex\n")[1].split("```")[0].replace(r"{\'c}", "ć")
    pairs = re.findall(r"(\w+) *= \{(.*?)\}(?=,?\n)", bibtex, re.DOTALL)
    fields = {key: " ".join(re.sub("[{}]", "", value).split()) for key, value in pairs}
    assert paper["title"] == fields["title"]
    names = [f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]]
    assert " and ".join(names) == fields["author"]
    assert paper["conference"]["name"] == fields["booktitle"]
    assert str(paper["year"]) == fields["year"]
    assert paper["url"] in README


def test_containers_run_the_commands_of_readme() -> None:
    assert len(COMMANDS) == 2
    services = document("compose.yaml")["services"]
    assert [service["command"] for service in services.values()] == COMMANDS
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    values = dict(steps)
    assert len(values) == len(steps)
    assert values["FROM"] in [f"ubuntu:{version}" for version in UBUNTUS]
    assert values["RUN"].split()[0] in COMMANDS
    assert ast.literal_eval(values["CMD"]) == [COMMANDS[0]]
    text = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
    assert all(f"docker compose run --rm {name} " in text for name in services)


def test_workflow_runs_ci_on_each_ubuntu_of_readme() -> None:
    assert all(version in README for version in UBUNTUS)
    (job,) = document(".github/workflows/ci.yaml")["jobs"].values()
    assert job["strategy"]["matrix"] == {"ubuntu": UBUNTUS}
    assert job["container"] == "ubuntu:${{ matrix.ubuntu }}"
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci/run", os.X_OK)
    (cache,) = (s["with"] for s in job["steps"] if s.get("uses", "").startswith("actions/cache@"))
    assert cache["path"] == job["env"]["UV_CACHE_DIR"]


def test_quality_declaration_is_linked_and_names_every_ros_dependency() -> None:
    manifest = (ROOT / "package.xml").read_text(encoding="utf-8")
    text = (ROOT / "QUALITY_DECLARATION.md").read_text(encoding="utf-8")
    assert "(QUALITY_DECLARATION.md)" in README
    table = text.split("### Direct Runtime ROS Dependencies")[1].split("\n### ")[0]
    needed = {
        n for n in re.findall("<exec_depend>(.*)</", manifest) if not n.startswith("python3-")
    }
    assert needed == set(re.findall(r"`(\w+)`", table))


def pages() -> list[Path]:
    return sorted(path.relative_to(ROOT) for glob in PAGES for path in ROOT.glob(glob))


@pytest.mark.parametrize("page", pages(), ids=str)
def test_pages_and_what_they_link_to_are_in_the_documentation(page: Path) -> None:
    """A link to a folder, or to a file that doc/ does not reach, is a warning of rosdoc2."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    copy = ROOT / "doc" / page
    for file in (copy, *(copy.parent / link for link in links)):
        assert file.is_file(), file
        assert file.resolve().is_relative_to(ROOT)


def test_documentation_lists_the_public_rooms() -> None:
    """sphinx-apidoc makes a page of each module below them."""
    settings = ast.parse((ROOT / "doc/conf.py").read_text(encoding="utf-8"))
    (rooms,) = (
        ast.literal_eval(node.value)
        for node in settings.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "API"
    )
    index = (ROOT / "doc/index.rst").read_text(encoding="utf-8")
    assert re.findall(r"^   scenedino_ros\.(\w+)$", index, re.MULTILINE) == list(rooms)
    for room in rooms:
        folders = {path.parent for path in (ROOT / "scenedino_ros" / room).rglob("*.py")}
        assert folders
        assert all((folder / "__init__.py").is_file() for folder in folders)
