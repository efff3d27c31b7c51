# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What colcon, rosdep and pip see: manifest, requirements, data files, an installed package."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import scenedino_ros
from scenedino_ros.demo.domains import reserve_domain

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ROOT / "docs" / "install.md"
NAME = "scenedino_ros"

# Import name, where it differs from the name of the distribution in requirements.txt.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "huggingface_hub": "huggingface-hub",
    "lightning_fabric": "lightning-fabric",
    "open3d": "open3d-cpu",
    "yaml": "pyyaml",
}
# ROS packages that come with another one of package.xml or that are only asked about.
ROS_PACKAGE = re.compile(
    r"rclpy|cv_bridge|launch|launch_ros|tf2_\w+|tf_transformations|message_filters|ament_\w+"
    r"|rosbag2_py|sensor_msgs_py|\w+_msgs|\w+_srvs|\w+_interfaces"
)


def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def dependencies() -> list[str]:
    return [e.text or "" for e in manifest() if e.tag.endswith("depend")]


def requirements(name: str) -> dict[str, Requirement]:
    lines = (line.split("  #")[0].strip() for line in (ROOT / name).read_text().splitlines())
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {r.name.lower().replace("_", "-"): r for r in parsed}


def imported_roots(*folders: str) -> set[str]:
    """Return the top-level names that the files of some folders import."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    roots = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add((node.module or "").split(".")[0])
    return roots - set(sys.stdlib_module_names) - {NAME, "train"}


def colcon(*arguments: str, cwd: Path) -> str:
    """Run colcon of this environment, or the one on the path, and return what it prints."""
    beside = Path(sys.executable).with_name("colcon")
    program = str(beside) if beside.exists() else shutil.which("colcon")
    if program is None:
        pytest.skip("colcon is not installed")
    result = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**os.environ, "COLCON_LOG_PATH": str(cwd / "log"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace built outside the clone as docs/install.md says, by an environment's Python."""
    pytest.importorskip("colcon_core", reason="colcon is not installed")
    folder = tmp_path_factory.mktemp("workspace")
    venv.create(folder / ".venv", symlinks=True)
    packages = next(folder.glob(".venv/lib/python*/site-packages"))
    # Stands for the system's packages, which such an environment sees.
    (packages / "system.pth").write_text(sysconfig.get_path("purelib"))
    left = ("build", "install", "log", f"{NAME}.egg-info")
    before = [name for name in left if (ROOT / name).exists()]
    build = ("build", "--paths", str(ROOT), "--build-base", "build", "--install-base", "install")
    result = run_outside(folder, folder / ".venv/bin/python", "-m", "colcon", *build)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [n for n in left if (ROOT / n).exists()] == before, "building leaves files behind"
    return folder


def run_outside(folder: Path, *command: str | Path, **variables: str) -> Any:
    """Run a command in a folder, in a shell that has no environment of Python active."""
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "COLCON_LOG_PATH": str(folder / "log")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(workspace):
    return workspace / "install" / NAME


def test_colcon_sees_an_ament_python_package(tmp_path):
    assert f"{NAME}\t{ROOT}\t(ros.ament_python)" in colcon(
        "list", "--paths", str(ROOT), cwd=tmp_path
    )


def test_colcon_would_show_an_invalid_manifest(tmp_path):
    for name in ("package.xml", "setup.py", "setup.cfg", "resource"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    text = (tmp_path / "package.xml").read_text()
    (tmp_path / "package.xml").write_text(re.sub(r'email="[^"]*"', 'email="a@b.c"', text))
    assert "(ros.ament_python)" not in colcon("list", "--paths", str(tmp_path), cwd=tmp_path)


def test_manifest_is_valid():
    package = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is not installed")
    warnings: list[str] = []
    parsed = package.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    parsed.validate(warnings)
    assert warnings == []
    assert parsed.package_format == 3
    assert parsed.get_build_type() == "ament_python"
    assert (ROOT / parsed.licenses[0].file).is_file()
    assert len(dependencies()) == len(set(dependencies()))


def test_a_node_on_a_robot_installs_neither_viewer_nor_bag_tools():
    chosen = {name for name in dependencies() if name.startswith(("rviz", "ros2bag", "rosbag2"))}
    assert chosen == set()
    words = INSTALL.read_text()
    assert all(name in words for name in ("rviz2", "ros2bag", "rosbag2-storage-mcap"))


def test_document_leaves_to_pip_what_rosdep_would_install_by_pip():
    """Where the system's Python refuses pip, `rosdep install` would end there."""
    skipped = re.search(r'rosdep install .* --skip-keys "(.*)"', INSTALL.read_text())
    assert skipped is not None
    keys = skipped.group(1).split()
    assert {"python3-pytorch-pip", "python3-transforms3d"} == set(keys) <= set(dependencies())
    assert {"torch", "torchvision", "transforms3d"} <= set(requirements("requirements.txt"))


def test_manifest_names_every_ros_package_that_is_imported():
    used = {
        name for name in imported_roots(NAME, "launch", "train") if ROS_PACKAGE.fullmatch(name)
    }
    assert "rclpy" in used
    assert sorted(used - set(dependencies())) == []


def test_requirements_name_every_other_package_that_is_imported():
    used = {name for name in imported_roots(NAME, "train") if not ROS_PACKAGE.fullmatch(name)}
    listed = requirements("requirements.txt")
    assert {"torch", "numpy"} <= used
    assert sorted(n for n in used if DISTRIBUTIONS.get(n, n) not in listed) == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_requirements_are_met_here(name):
    if not Path(sys.prefix).is_relative_to(ROOT / ".venv"):
        pytest.skip("not in the environment that test.sh makes")
    for distribution, requirement in requirements(name).items():
        if requirement.marker is None or requirement.marker.evaluate():
            version = importlib.metadata.version(distribution)
            assert requirement.specifier.contains(version), f"{distribution} {version}"


def test_requirements_have_lower_and_upper_bounds():
    for requirement in requirements("requirements.txt").values():
        assert {s.operator for s in requirement.specifier} == {">=", "<"}, requirement


@pytest.mark.parametrize("distribution", ["jazzy", "kilted"])
def test_client_library_covers_what_is_imported(distribution):
    listed = requirements(f"requirements-ros-{distribution}.txt")
    assert all(name.startswith(f"ros-{distribution}-") for name in listed)
    assert f"ros-{distribution}-rmw-fastrtps-cpp" in listed
    other = {n.removeprefix("ros-jazzy-") for n in requirements("requirements-ros-jazzy.txt")}
    assert {n.removeprefix(f"ros-{distribution}-") for n in listed} == other
    # Not to be had as wheels: the package has a path of its own for each.
    absent = {"cv_bridge", "launch", "launch_ros", "tf2_msgs", "tf2_ros", "vision_msgs"}
    absent |= {"tf_transformations", "ament_index_python"}
    used = {name for name in imported_roots(NAME, "train") if ROS_PACKAGE.fullmatch(name)}
    needed = {f"ros-{distribution}-{name.replace('_', '-')}" for name in used - absent}
    assert sorted(needed - set(listed)) == []


def test_one_version_everywhere():
    setup = (ROOT / "setup.py").read_text()
    assert f'version="{scenedino_ros.__version__}"' in setup
    assert manifest().findtext("version") == scenedino_ros.__version__


def test_manifest_and_setup_agree():
    setup = (ROOT / "setup.py").read_text()
    maintainer = manifest().find("maintainer")
    assert maintainer is not None
    assert f'maintainer_email="{maintainer.get("email")}"' in setup
    assert f'license="{manifest().findtext("license")}"' in setup
    assert f'author="{manifest().findtext("author")}"' in setup
    assert not manifest().findall("url")  # until the package has a public home
    assert "url" not in setup
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_share_holds_what_launching_needs(installed):
    share = installed / "share" / NAME
    assert (installed / "share/ament_index/resource_index/packages" / NAME).is_file()
    assert (share / "package.xml").is_file()
    for folder in ("config", "launch"):
        sources = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pyc" not in str(p)]
        assert sources, f"{folder} is empty"
        for source in sources:
            copy = share / source.relative_to(ROOT)
            assert copy.is_file(), f"{source.relative_to(ROOT)} is not installed"
            assert copy.read_bytes() == source.read_bytes()


def test_every_module_and_command_is_installed(installed):
    library = next(installed.glob("lib/python*/site-packages"))
    sources = {p.relative_to(ROOT) for p in (ROOT / NAME).rglob("*.py")}
    copies = {p.relative_to(library) for p in (library / NAME).rglob("*.py")}
    assert copies == sources
    assert not (library / "train").exists()
    assert not (library / "test").exists()
    for command in ("scenedino", "scenedino_node"):
        assert os.access(installed / "lib" / NAME / command, os.X_OK)


def test_the_python_that_builds_the_workspace_runs_its_commands(workspace, installed):
    library = next(installed.glob("lib/python*/site-packages"))
    for command in ("scenedino", "scenedino_node"):
        program = installed / "lib" / NAME / command
        assert program.read_text().splitlines()[0] == f"#!{workspace / '.venv/bin/python'}"
        # The path is what install/setup.bash sets.
        helped = run_outside(workspace, program, "--help", PYTHONPATH=str(library))
        assert helped.returncode == 0, helped.stderr
        assert command in helped.stdout


def test_a_python_without_torch_is_told():
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    code = (
        "import sys; sys.modules['torch'] = None; from scenedino_ros.node.main import main;"
        "sys.exit(main(['scenedino_node']))"
    )
    started = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ROS_DOMAIN_ID": str(reserve_domain())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 1
    assert "Traceback" not in started.stderr
    assert f"the node, {sys.executable}, has no package 'torch'; install requ" in started.stderr
    assert "python3 -m colcon build" in started.stderr


def test_commands_exist_where_setup_says():
    for target in re.findall(r'"\w+ = ([\w.]+:\w+)"', (ROOT / "setup.py").read_text()):
        module, function = target.split(":")
        tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text())
        assert function in [n.name for n in tree.body if isinstance(n, ast.FunctionDef)], target


def files_with(*suffixes: str) -> list[Path]:
    folders = ("config", "launch", ".ci", "resource", NAME, "test")
    found = [p for p in ROOT.iterdir() if p.is_file()]
    found += [p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file()]
    return [p for p in found if p.suffix in suffixes]


@pytest.mark.parametrize("path", files_with(".xml"), ids=lambda p: str(p.relative_to(ROOT)))
def test_xml_is_well_formed(path):
    ElementTree.parse(path)


# Calibration files of KITTI-360 are OpenCV's dialect, which YAML readers refuse.
OURS = [path for path in files_with(".yaml", ".yml", ".rviz") if "golden" not in path.parts]


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_is_well_formed(path):
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))  # rosdoc2 wants two
    assert documents
    assert None not in documents


def test_checks_before_a_commit_are_those_of_the_tests():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = " ".join(hook["entry"] for hook in hooks)
    script = (ROOT / "test.sh").read_text()
    for check in ("ruff check", "ruff format", "mypy", "codespell"):
        assert check in entries
        assert check in script
