# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""demo.sh, test.sh and the environment they share, tried with stand-ins for what takes minutes.

Each test runs the real scripts/environment.sh in a small copy of the clone. Python interpreters,
apt-get, sudo and the installer are stand-ins that write down how they were called.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ("demo.sh", "test.sh", ".ci/run")
PROGRAMS = "bash cat mkdir rm dirname flock sha256sum df awk chmod mv sleep tail id sed".split()


@pytest.fixture
def clone(tmp_path):
    """A copy of scripts and requirements, in a folder whose name has a blank."""
    folder = tmp_path / "a clone"
    (folder / ".ci").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in (*SCRIPTS, *(p.name for p in ROOT.glob("requirements*.txt"))):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def programs(tmp_path):
    """A folder for the search path: a few real programs, and the stand-ins a test adds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(shutil.which(name))
    return folder


def stand_in(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def python_stand_in(folder: Path, name: str, version: str, rclpy: str = "none") -> None:
    """Add an interpreter that gives the three lines examine_interpreter asks for."""
    place = folder / name
    stand_in(folder, name, f"printf '%s\\n' {version} '{place}' '{rclpy}'")


def run(script: str, clone: Path, programs: Path, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [programs / "bash", "-c", f"set -euo pipefail\nsource scripts/environment.sh\n{script}"],
        cwd=clone,
        env={"PATH": str(programs), "HOME": str(clone), **variables},
        # Where the tests run in the background Ctrl-C is ignored, and bash would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Replaces the slow steps but for the installation of the requirements.
NO_PACKAGES = """
CANDIDATES=(python3)
check_system_packages() { :; }
make_empty_environment() {
  rm -rf "$ENVIRONMENT"
  mkdir -p "$ENVIRONMENT/bin" "$ENVIRONMENT/lib/python$VERSION/site-packages"
  cat "$BASE" >"$ENVIRONMENT/bin/python"
  chmod +x "$ENVIRONMENT/bin/python"
}
check_imports() { :; }
"""
# Replaces that as well; each call leaves a line in the file `installations`.
QUICK = (
    NO_PACKAGES
    + """
install_requirements() { echo "$FLAVOUR" >>"$ROOT/installations"; }
"""
)


def installations(clone: Path) -> list[str]:
    file = clone / "installations"
    return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run(name):
    assert os.access(ROOT / name, os.X_OK)
    for script in (ROOT / name, ROOT / "scripts/environment.sh"):
        subprocess.run(["bash", "-n", script], check=True, timeout=60)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"SCENEDINO_ROS_WHEELS": "humble"}, "no wheels of ROS 2 Humble"),
        ({"SCENEDINO_ROS_WHEELS": "lyrical"}, "no wheels of ROS 2 Lyrical: source its setup.bash"),
        ({"SCENEDINO_ROS_WHEELS": "foxy"}, "must be kilted or jazzy, got 'foxy'"),
        ({"SCENEDINO_PYTHON": "no-such-python"}, "no-such-python is not found"),
    ],
)
def test_a_wrong_setting_ends_with_one_sentence(clone, name, variables, message):
    environment = {key: value for key, value in os.environ.items() if key != "ROS_DISTRO"}
    result = subprocess.run(
        [clone / name],
        cwd="/",
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (clone / ".venv").exists()


def test_the_first_suitable_interpreter_is_taken(clone, programs):
    stand_in(programs, "python3", "echo is Python 3.9; exit 3")
    stand_in(programs, "python3.12", "exit 127")  # as a version manager's stand-in does
    python_stand_in(programs, "python3.11", "3.11")
    python_stand_in(programs, "python3.10", "3.10")
    script = 'choose_client_library; choose_interpreter; echo "$VERSION $BASE $FLAVOUR"'
    result = run(script, clone, programs)
    assert result.stdout.split() == ["3.11", str(programs / "python3.11"), "kilted"]
    result = run(script, clone, programs, SCENEDINO_PYTHON="python3.10")
    assert result.stdout.split() == ["3.10", str(programs / "python3.10"), "kilted"]


def test_unsuitable_interpreters_are_listed(clone, programs):
    stand_in(programs, "python3", "echo is Python 3.9; exit 3")
    result = run("CANDIDATES=(python3 python3.12); prepare_environment", clone, programs)
    assert result.returncode == 2
    assert "python3 is Python 3.9, python3.12 is not found" in result.stderr


def test_a_real_interpreter_is_examined(clone, programs):
    stand_in(programs, "python3", f"exec '{sys.executable}' \"$@\"")
    result = run("SOURCED=0; examine_interpreter python3", clone, programs)
    version, path, rclpy = result.stdout.splitlines()
    assert version in ("3.10", "3.11", "3.12", "3.13", "3.14")
    assert os.access(path, os.X_OK)
    assert rclpy == "none"
    result = run("SOURCED=1; examine_interpreter python3", clone, programs, PYTHONPATH="/none")
    assert result.returncode == (0 if "rclpy" in result.stdout.split("/") else 1)


@pytest.mark.parametrize(
    ("distribution", "version"), [("jazzy", "3.12"), ("lyrical", "3.14"), ("lyrical", "3.12")]
)
def test_a_sourced_ros_is_used(clone, programs, distribution, version):
    ros = f"/opt/ros/{distribution}"
    python_stand_in(programs, "python3", version, f"{ros}/rclpy/__init__.py")
    script = f"{QUICK}\nprepare_environment\n" + 'echo "$PYTHONPATH|${REQUIREMENTS[*]##*/}"'
    result = run(script, clone, programs, ROS_DISTRO=distribution, PYTHONPATH=f"{ros}/lib")
    assert result.returncode == 0, result.stderr
    path, files = result.stdout.strip().split("|")
    assert path == f"{clone}:{ros}/lib"
    assert files == "requirements.txt requirements-test.txt"
    assert (clone / f".venv/{version}-ros-{distribution}/.ready").is_file()


def test_a_sourced_ros_that_no_interpreter_can_use_is_an_error(clone, programs):
    stand_in(programs, "python3", "echo 'cannot import the sourced rclpy (why)'; exit 3")
    result = run("CANDIDATES=(python3); prepare_environment", clone, programs, ROS_DISTRO="humble")
    assert result.returncode == 2
    assert "ROS 2 humble is sourced" in result.stderr
    assert "python3 cannot import the sourced rclpy (why)" in result.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"ROS_DISTRO": "humble", "SCENEDINO_ROS_WHEELS": "jazzy"},
        {"ROS_DISTRO": "noetic", "ROS_VERSION": "1"},
    ],
)
def test_wheels_are_kept_apart_from_a_sourced_ros(clone, programs, tmp_path, variables):
    other = tmp_path / "ros/lib"
    other.mkdir(parents=True)
    (other / "librcl.so").touch()
    script = (
        "choose_client_library\n"
        'echo "$FLAVOUR ${PYTHONPATH:-} ${AMENT_PREFIX_PATH:-} ${ROS_DISTRO:-} $LD_LIBRARY_PATH"'
    )
    result = run(
        script,
        clone,
        programs,
        PYTHONPATH="/opt/ros/humble/lib",
        AMENT_PREFIX_PATH="/opt/ros/humble",
        LD_LIBRARY_PATH=f"{other}:/my libraries::/x/ros_rclpy.libs",
        **variables,
    )
    flavour = variables.get("SCENEDINO_ROS_WHEELS", "kilted")
    assert result.stdout.strip() == f"{flavour}    /my libraries"


def test_an_environment_is_made_once(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    for _ in range(2):
        result = run(f"{QUICK}\nprepare_environment", clone, programs)
        assert result.returncode == 0, result.stderr
    assert installations(clone) == ["kilted"]
    assert "making" not in result.stderr


def test_what_an_environment_depends_on_makes_it_anew(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    script = f"{QUICK}\nprepare_environment"
    run(script, clone, programs)
    with (clone / "requirements.txt").open("a") as file:
        file.write("another-package>=1,<2\n")
    run(script, clone, programs)
    assert len(installations(clone)) == 2
    python_stand_in(programs, "other-python", "3.11")
    run(script, clone, programs, SCENEDINO_PYTHON="other-python")
    assert len(installations(clone)) == 3
    run(script, clone, programs, SCENEDINO_ROS_WHEELS="jazzy", SCENEDINO_PYTHON="other-python")
    assert installations(clone)[-1] == "jazzy"
    moved = clone.with_name("moved")
    clone.rename(moved)
    run(script, moved, programs, SCENEDINO_PYTHON="other-python")
    assert len(installations(moved)) == 5


def test_an_interrupted_installation_starts_again(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    broken = QUICK + 'install_requirements() { : >"$ENVIRONMENT/half"; kill -INT $$; }'
    result = run(f"{broken}\nprepare_environment; echo used", clone, programs)
    assert result.returncode == 130
    assert "used" not in result.stdout
    assert "interrupted" in result.stderr
    assert (clone / ".venv/3.11-kilted/half").exists()
    result = run(f"{QUICK}\nprepare_environment", clone, programs)
    assert result.returncode == 0
    assert installations(clone) == ["kilted"]
    assert not (clone / ".venv/3.11-kilted/half").exists()


@pytest.mark.parametrize("sourced", ["0", "1"])
def test_an_empty_environment_holds_nothing_of_an_older_one(clone, programs, sourced):
    old = clone / ".venv/x/old"
    old.parent.mkdir(parents=True)
    old.touch()
    stand_in(programs, "base", 'shift 2; [[ $# == 0 ]] || mkdir "${!#}"; echo "$*"')
    script = f"SOURCED={sourced} BASE='{programs}/base' ENVIRONMENT=\"$ROOT/.venv/x\""
    result = run(f"{script}\nmake_empty_environment", clone, programs)
    assert result.returncode == 0, result.stderr
    assert list(old.parent.iterdir()) == []
    called = (clone / ".venv/venv.log").read_text().strip()
    assert called == ("--system-site-packages " if sourced == "1" else "") + str(old.parent)


def test_a_failed_installation_is_never_used(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    script = "install_requirements() { return 1; }\nprepare_environment; echo used"
    result = run(f"{QUICK}\n{script}", clone, programs)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "the requirements could not be installed" in result.stderr
    script = "check_imports() { echo torch does not import; return 1; }\nprepare_environment"
    result = run(f"{QUICK}\n{script}", clone, programs)
    assert result.returncode == 2
    assert "not usable: torch does not import" in result.stderr
    assert not (clone / ".venv/3.11-kilted/.ready").exists()


def test_two_at_once_install_once(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    script = f"""{QUICK}
install_requirements() {{ echo begin >>"$ROOT/installations"; sleep 0.5; }}
(prepare_environment) & (prepare_environment) & (prepare_environment) & wait"""
    result = run(script, clone, programs)
    assert result.returncode == 0, result.stderr
    assert installations(clone) == ["begin"]
    assert "waiting for another installation" in result.stderr


def test_pip_takes_over_where_uv_fails(clone, programs):
    log = clone / "calls"
    python_stand_in(programs, "python3", "3.11")
    stand_in(programs, "uv", f'echo "uv $*" >>"{log}"; [[ $1 == --version ]]')
    base = (programs / "python3").read_text()
    stand_in(programs, "python3", f'{base}\necho "python $*" >>"{log}"')
    result = run(f"{NO_PACKAGES}\nprepare_environment", clone, programs)
    assert result.returncode == 0, result.stderr
    assert "uv did not succeed: trying pip" in result.stderr
    calls = log.read_text()
    assert "uv pip install" in calls
    assert "python -m pip install" in calls
    assert calls.index("uv pip install") < calls.index("python -m pip install")
    assert f"-r {clone}/requirements-ros-kilted.txt" in calls


@pytest.mark.parametrize(
    ("version", "numpy", "held"),
    [
        ("3.12", "1.26.4", True),
        ("3.12", "2.1.0", False),
        ("3.12", None, True),
        ("3.13", None, False),
        ("3.14", None, False),
    ],
)
def test_a_sourced_ros_keeps_its_numpy(clone, programs, tmp_path, version, numpy, held):
    log = clone / "calls"
    if numpy:
        (tmp_path / "numpy.py").write_text(f"__version__ = '{numpy}'\n")
    stand_in(programs, "base", f"PYTHONPATH='{tmp_path}' exec '{sys.executable}' -S \"$@\"")
    stand_in(programs, "uv", f'echo "uv $*" >>"{log}"')
    script = (
        f"SOURCED=1 VERSION={version} BASE='{programs}/base' ENVIRONMENT=x REQUIREMENTS=(a.txt)\n"
        "install_requirements"
    )
    result = run(script, clone, programs)
    assert result.returncode == 0, result.stderr
    assert ("numpy<2" in log.read_text()) == held


def test_missing_libraries_are_told_to_those_who_may_not_install(clone, programs):
    stand_in(programs, "python3", f"exec '{sys.executable}' \"$@\"")
    stand_in(programs, "id", "echo 1000")
    stand_in(programs, "sudo", "exit 1")
    stand_in(programs, "apt-get", "echo called >&2; exit 1")
    script = (
        "SYSTEM_LIBRARIES=(libnosuch.so.1:libnosuch1 libc.so.6:libc6 libabsent.so:libabsent-2)\n"
        "BASE=python3 check_system_packages; echo used"
    )
    result = run(script, clone, programs)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "error: missing system packages; run: "
        "sudo apt-get update && sudo apt-get install -y libnosuch1 libabsent-2\n"
    )


def test_present_libraries_ask_for_nothing(clone, programs):
    stand_in(programs, "python3", f"exec '{sys.executable}' \"$@\"")
    script = "SYSTEM_LIBRARIES=(libc.so.6:libc6)\nBASE=python3 check_system_packages; echo used"
    assert run(script, clone, programs).stdout == "used\n"


@pytest.mark.parametrize("user", ["0", "1000"])
def test_system_packages_are_installed_where_that_is_allowed(clone, programs, user):
    calls = clone / "calls"
    stand_in(programs, "id", f"echo {user}")
    stand_in(programs, "sudo", f'echo "sudo" >>"{calls}"; [[ $1 == -n ]] && shift; "$@"')
    # The first attempt fails, as it does where package lists are absent.
    stand_in(
        programs,
        "apt-get",
        f'echo "$*" >>"{calls}"\n[[ $* == *update* || $(grep -c install "{calls}") == 2 ]]',
    )
    for name in ("env", "grep"):
        (programs / name).symlink_to(shutil.which(name))
    result = run("install_system_packages libone libtwo; echo done", clone, programs)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n"
    lines = [line for line in calls.read_text().splitlines() if line != "sudo"]
    assert [("update" in line, "libone libtwo" in line) for line in lines] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert ("sudo" in calls.read_text().split()) == (user != "0")


# Replaces the making of an empty environment by a quick one, with a real interpreter.
REAL_PYTHON = (
    QUICK
    + """
make_empty_environment() { "$BASE" -m venv --without-pip "$ENVIRONMENT"; }
"""
)


def package_of(clone: Path, main: str) -> None:
    """Write a package with this function `main` into a clone."""
    package = clone / "scenedino_ros/cli"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(main)


def test_the_commands_of_the_package_are_in_the_environment(clone, programs):
    stand_in(programs, "python3", f"exec '{sys.executable}' \"$@\"")
    package_of(clone, "import sys\n\n\ndef main():\n    return len(sys.argv)\n")
    script = f"""{REAL_PYTHON}
prepare_environment
cd /
status=0
scenedino first "second word" || status=$?
echo "$status"
"""
    result = run(script, clone, programs)
    assert result.stdout == "3\n", result.stderr


def test_commands_may_spawn_processes(clone, programs):
    """Spawned processes read the command again and must not do its work again."""
    stand_in(programs, "python3", f"exec '{sys.executable}' \"$@\"")
    main = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def main():
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        print(sum(pool.map(abs, [-3, 4])))
"""
    package_of(clone, main)
    result = run(f"{REAL_PYTHON}\nprepare_environment\nscenedino", clone, programs)
    assert result.stdout == "7\n", result.stderr


def test_commands_of_an_earlier_version_are_replaced_without_an_installation(clone, programs):
    python_stand_in(programs, "python3", "3.11")
    run(f"{QUICK}\nprepare_environment", clone, programs)
    command = clone / ".venv/3.11-kilted/bin/scenedino"
    text = command.read_text()
    command.write_text("of an earlier version")
    command.chmod(0o600)
    result = run(f"{QUICK}\nprepare_environment", clone, programs)
    assert result.returncode == 0, result.stderr
    assert command.read_text() == text
    assert os.access(command, os.X_OK)
    assert sorted(path.name for path in command.parent.glob("scenedino*")) == [
        "scenedino",
        "scenedino_node",
    ]
    assert installations(clone) == ["kilted"]
