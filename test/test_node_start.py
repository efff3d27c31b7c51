# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Starts of the node that end early, and its help."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

import rclpy  # noqa: E402
from ros_rig import (  # noqa: E402
    DEADLINE,
    ISOLATED,
    ROOT,
    NodeProcess,
    Rig,
)

from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node.main import main, spin_briefly  # noqa: E402

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "grid.voxel_sizes:=1.0"], "did you mean 'grid.voxel_size'?"),
        (["-p", "voxels.density_threshold:=-3.0"], "must be in 0.0 to inf 1/m, got -3.0"),
        (["-p", "grid.preset:=sscbench"], "grid.frame must name one"),
        (["--params-file", "nowhere.yaml"], "nowhere.yaml"),
        (["-p", "model.checkpoint:=nowhere.safetensors"], "'nowhere.safetensors' is neither"),
    ],
)
def test_a_wrong_start_ends_with_a_sentence(arguments, sentence, monkeypatch, capfd):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(reserve_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    assert main(["scenedino_node", "--ros-args", *arguments]) == 1
    errors = capfd.readouterr().err
    assert sentence in errors
    assert "Traceback" not in errors
    assert not rclpy.ok()


def test_a_wrong_argument_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["scenedino_node", "image.png"])
    assert "unrecognized arguments: image.png" in capsys.readouterr().err


def test_a_node_without_autostart_waits_and_ends_on_a_termination_signal(tmp_path):
    process = NodeProcess(reserve_domain(), tmp_path / "log.txt", {"autostart": False})
    rig = Rig(process.domain)
    try:
        assert rig.state() == "unconfigured"
        process.interrupt(signal.SIGTERM)
        code, seconds = process.wait()
    finally:
        process.kill()
        rig.close()
    assert code == 0
    assert seconds < 20
    lines = process.log.read_text().splitlines()
    assert all("the node is unconfigured, not active" in line for line in lines), lines


def test_ctrl_c_while_loading_ends_the_process(tmp_path):
    process = NodeProcess(reserve_domain(), tmp_path / "log.txt", {})
    try:
        deadline = time.monotonic() + DEADLINE
        while "libtorch" not in Path(f"/proc/{process.process.pid}/maps").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.interrupt()
        process.interrupt()
        code, _ = process.wait()
    finally:
        process.kill()
    assert code == 0
    assert "Traceback" not in process.log.read_text()


def test_help_needs_no_ros(tmp_path):
    code = (
        "import sys\n"
        "sys.modules['rclpy'] = None\n"
        "from scenedino_ros.node.main import main\n"
        "main(['scenedino_node'] + sys.argv[1:])\n"
    )
    environment = {**os.environ, **ISOLATED, "PYTHONPATH": str(ROOT)}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", f"{code}", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    helped = run("--help")
    assert helped.returncode == 0
    assert "grid.voxel_size" in helped.stdout
    started = run()
    assert "the ROS 2 client library cannot be loaded" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "20000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_threads_that_wait_sleep_soon_unless_the_user_chose(
    monkeypatch: pytest.MonkeyPatch, chosen: dict[str, str], expected: dict[str, str]
) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    for name in names:
        monkeypatch.setenv(name, chosen.get(name, ""))  # restored whatever happens
        if name not in chosen:
            monkeypatch.delenv(name)
    spin_briefly()
    assert {name: os.environ[name] for name in names if name in os.environ} == expected
