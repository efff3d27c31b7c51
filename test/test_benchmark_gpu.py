# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The GPU checks: the runner goes on whatever a check does, and the checks run on a CPU."""

import itertools
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import fake_checks
import numpy as np
import pytest
import torch
from fake_checks import check
from models import TINY, lively_checkpoint
from recorded_graph import RecordedGraph, use_recorded_graphs

from scenedino_ros.benchmark import gpu_checks, gpu_repository, gpu_run
from scenedino_ros.benchmark.gpu_checks import CHECKS, check_engine, check_memory
from scenedino_ros.benchmark.gpu_page import page, save_page
from scenedino_ros.benchmark.gpu_run import (
    FAILED,
    PASSED,
    SKIPPED,
    Check,
    Found,
    Outcome,
    SkippedError,
    run_checks,
)
from scenedino_ros.benchmark.gpu_scene import Answer, GpuPlan, agreement
from scenedino_ros.benchmark.job import BenchmarkJob
from scenedino_ros.benchmark.peaks import Peaks
from scenedino_ros.checkpoints.checkpoint import build_model, save_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError
from scenedino_ros.inference.engines import selection
from scenedino_ros.inference.engines.selection import engine_maker
from scenedino_ros.inference.network_choice import NetworkChoice


def outcomes_of(folder: Path, *checks: Check, seconds: float = 6000.0) -> list[Outcome]:
    outcomes: list[Outcome] = []
    run_checks(checks, str(folder), seconds, folder / "log", outcomes.append)
    return outcomes


def test_the_next_check_runs_whatever_one_does(tmp_path: Path) -> None:
    names = ("passes", "finds_a_problem", "raises", "refuses", "skips", "crashes", "prints")
    outcomes = outcomes_of(tmp_path, *(check(getattr(fake_checks, name)) for name in names))
    assert [(o.name, o.verdict, o.line) for o in outcomes] == [
        ("passes", PASSED, f"2 of 2 {tmp_path}"),
        ("finds_a_problem", FAILED, "below 0.9; IoU 0.1"),
        (
            "raises",
            FAILED,
            "RuntimeError: CUDA error: an illegal memory access was encountered",
        ),
        ("refuses", FAILED, "precision must be float32, got 'int3'"),
        ("skips", SKIPPED, "needs the repository"),
        ("crashes", FAILED, "its process ended (SIGSEGV); see the log"),
        ("prints", PASSED, "printed"),
    ]
    assert outcomes[0].figures["done"] == 2
    assert outcomes[2].figures == {"half": True}  # what it had found before
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert "--- prints\nchatter of a library\n" in log


def test_one_process_serves_until_a_check_fails(tmp_path: Path) -> None:
    first, second, _, third = outcomes_of(
        tmp_path, *map(check, [fake_checks.passes] * 2 + [fake_checks.raises, fake_checks.passes])
    )
    assert first.figures["process"] == second.figures["process"] != third.figures["process"]


def test_a_check_that_takes_too_long_is_cut_with_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Asked at the start of all and of the check, before and at "loaded", and before each figure.
    asked = itertools.count(1)
    clock = SimpleNamespace(monotonic=lambda: 1000.0 if next(asked) > 6 else 0.0)
    monkeypatch.setattr(gpu_run, "time", clock)
    monkeypatch.setattr(gpu_run, "_PATIENCE", 600.0)
    checks = [check(fake_checks.hangs, 600), check(fake_checks.passes, 600)]
    cut, after = outcomes_of(tmp_path, *checks, seconds=1200)
    assert (cut.verdict, cut.line) == (PASSED, "so far; cut after 1000 s")
    assert cut.figures == {"frames": 7}
    assert after.verdict == PASSED
    assert (tmp_path / "cleaned").exists()  # it could end its children


def test_a_check_without_a_figure_in_its_time_fails(tmp_path: Path) -> None:
    (outcome,) = outcomes_of(tmp_path, check(fake_checks.hangs_silently, 1), seconds=0.3)
    assert outcome.verdict == FAILED
    assert re.fullmatch(r"cut after \d+ s without a figure", outcome.line)


def test_a_missing_package_skips(tmp_path: Path) -> None:
    (outcome,) = outcomes_of(tmp_path, check(fake_checks.raises, 1, "json", "no_such_package"))
    assert outcome.verdict == SKIPPED
    assert outcome.line == "needs the Python package no_such_package, which is not installed"


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []

    def press() -> None:
        while not (tmp_path / "hanging").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    checks = [check(getattr(fake_checks, name)) for name in ("passes", "hangs", "passes")]
    with pytest.raises(KeyboardInterrupt):
        run_checks(checks, str(tmp_path), 600, tmp_path / "log", outcomes.append)
    assert [(o.verdict, o.line) for o in outcomes[1:]] == [(PASSED, "so far; stopped")]
    assert (tmp_path / "cleaned").exists()


# --- the files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> GpuPlan:
    path = tmp_path_factory.mktemp("gpu") / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint(TINY))
    job = BenchmarkJob(NetworkChoice(str(path), device="cpu"), "", "camera", 1.6, 0.2, 2)
    return GpuPlan(job, frames=5, seconds=1.0)


def test_page_and_figures_are_whole_after_every_check(plan: GpuPlan, tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    outcomes = [
        Outcome("engine torch, float32", PASSED, "IoU 1.0000; " + "encode 3 ms, " * 9, 12.3, {}),
        Outcome("engine tensorrt, float32", SKIPPED, "needs the Python package tensorrt", 0.0),
    ]
    for count in (1, 2):
        save_page(output, plan, outcomes[:count], 3)
        assert [o["line"] for o in json.loads(output.read_text())["checks"]] == [
            o.line for o in outcomes[:count]
        ]
    assert json.loads(output.read_text())["plan"]["job"]["device"] == "cpu"
    text = output.with_suffix(".txt").read_text()
    assert text == page(outcomes, 3)
    lines = text.splitlines()
    assert lines[1].startswith("PASSED  engine torch, float32        12 s  IoU 1.0000")
    assert lines[-1] == "1 PASSED, 0 FAILED, 1 SKIPPED, 1 not run; 12 s; p50 / p95"
    assert max(map(len, lines)) <= 110
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.txt"]


# --- the checks ---------------------------------------------------------------------------------


def test_an_engine_is_compared_and_timed(plan: GpuPlan) -> None:
    for precision, least in (("float32", 0.999), ("bfloat16", 0.8)):
        *_, found = check_engine(plan, "torch", precision)
        assert found.problem == ""
        assert least < found.figures["iou"] <= 1
        assert 0 < found.figures["encode p50 [ms]"] <= found.figures["encode p95 [ms]"]
        assert "render " in found.line


def test_an_engine_that_answers_something_else_fails(
    plan: GpuPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, expected = gpu_checks.reference(plan.job)
    turned = Answer(np.roll(expected.classes, 3, axis=2), expected.depth)
    monkeypatch.setattr(gpu_checks, "reference", lambda job: (scene, turned))
    *_, found = check_engine(plan, "torch", "float32")
    assert found.problem == "beyond IoU 0.99, mIoU 0.97 or depth 1 %"


def test_agreement_counts_voxels_classes_and_depth() -> None:
    expected = Answer(np.array([[[0, 1, -1, 1]]]), np.array([[2.0, 4.0]]))
    found = Answer(np.array([[[0, 0, -1, -1]]]), np.array([[2.0, 5.0]]))
    same = agreement(found, expected)
    assert same.iou == pytest.approx(2 / 3)
    assert same.miou == pytest.approx((1 / 2 + 0) / 2)
    assert same.depth == pytest.approx(0.125)


def test_memory_that_grows_fails(plan: GpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, found = check_memory(plan)
    assert found.problem == ""
    used = iter((100.0, 110.0, 120.0, 130.0, 140.0))
    monkeypatch.setattr(gpu_checks, "resident_memory", lambda: next(used))
    *_, found = check_memory(plan)
    assert found.problem == "resident grows"
    assert found.line == "after 5 frames resident 140 MiB (+40.0), since frame 1"
    assert [row["frame"] for row in found.figures["series [MiB]"]] == [1, 2, 3, 4, 5]


def test_each_stage_has_its_bound(plan: GpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Peaks({"float32": 1e3}, 1e12, 1, 1)
    monkeypatch.setattr(gpu_checks, "measure_peaks", lambda device: slow)
    (found,) = gpu_checks.check_roofline(plan)
    assert re.fullmatch(r"p50 / bound: encode [\d.]+, voxels [\d.]+(, render [\d.]+)?", found.line)
    rows = found.figures["roofline"]
    assert all(row["p50 / bound"] < 1 for row in rows if row["p50 / bound"])  # so slow is nothing


def test_the_plain_network_is_compared(plan: GpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = gpu_checks.check_plain_network(plan)
    assert found.problem == ""
    assert 0 < found.figures[""]["map"] < 1e-4
    monkeypatch.setattr(gpu_checks, "_EXACT", 1e-9)
    (found,) = gpu_checks.check_plain_network(plan)
    assert "off by more than" in found.problem


def test_cuda_graphs_are_compared(plan: GpuPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SkippedError, match="needs a GPU"):
        list(gpu_checks.check_cuda_graphs(plan))
    use_recorded_graphs(monkeypatch)
    monkeypatch.setattr(gpu_checks, "_GRAPH_POINTS", 1000)
    scene, _ = gpu_checks.reference(plan.job)
    found = gpu_checks.compare_graphs(scene, torch.device("cpu"), 1)
    assert found.problem == ""
    assert {part["difference"] for part in found.figures.values()} == {0}
    assert RecordedGraph.replays == 6
    monkeypatch.setattr(RecordedGraph, "replay", lambda graph: None)  # the first answer remains
    found = gpu_checks.compare_graphs(scene, torch.device("cpu"), 1)
    assert "the graph of the densities answers something else" in found.problem


def test_what_needs_the_repository_is_skipped_without_it(
    plan: GpuPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = gpu_repository.scenedino_ros
    monkeypatch.setattr(package, "__file__", str(tmp_path / "a" / "__init__.py"))
    with pytest.raises(SkippedError, match="needs the repository, whose folder test/golden is"):
        list(gpu_repository.check_golden_vectors(plan))
    with pytest.raises(SkippedError, match="needs the repository, whose folder train is"):
        list(gpu_repository.check_semantics_step(plan, 1))


def test_tensorrt_is_skipped_on_a_processor(plan: GpuPlan) -> None:
    with pytest.raises(SkippedError, match="needs a GPU"):
        list(check_engine(plan, "tensorrt", "float32"))


def test_onnx_runtime_without_cuda_is_skipped_before_anything_is_exported(
    plan: GpuPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    gpu = torch.device("cuda")
    monkeypatch.setattr(gpu_checks, "choose_device", lambda name: gpu)
    monkeypatch.setattr(selection, "_onnx_graphs", None)  # would fail
    with pytest.raises(SkippedError, match="needs the Python package onnxruntime-gpu, got ONNX"):
        list(check_engine(plan, "onnx", "float32"))
    model = build_model(lively_checkpoint(TINY))
    with pytest.raises(InputError, match="needs the Python package onnxruntime-gpu, got ONNX"):
        engine_maker("onnx")(model, gpu, "float32", "stego_kmeans")


def test_the_log_has_what_an_interrupted_program_printed(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    script.write_text("import time\nprint('begun', flush=True)\ntime.sleep(600)\n")
    check = Check("slow", 1.0, partial(_run_slow, script=script))
    (outcome,) = outcomes_of(tmp_path, check, seconds=4.0)
    assert outcome.verdict == FAILED
    assert "begun" in (tmp_path / "log").read_text()


def _run_slow(plan: str, script: Path) -> Iterator[Found]:
    yield Found(str(gpu_repository._run_python([str(script)], script.parent)))


def test_all_checks_fit_into_eight_minutes() -> None:
    assert sum(check.seconds for check in CHECKS) < 480
    assert len({check.name for check in CHECKS}) == len(CHECKS)


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "status"), [(PASSED, 0), (FAILED, 1)])
def test_the_command_writes_a_page(
    verdict: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    given = {}

    def run(checks, plan, seconds, log, done) -> None:
        given.update(plan=plan, seconds=seconds, log=log)
        for each in checks:
            done(Outcome(each.name, verdict, "7 ms", 1.0))

    monkeypatch.setattr(gpu_run, "run_checks", run)
    output = tmp_path / "figures" / "gpu.json"
    words = ["--device", "cpu", "--minutes", "2", "--frames", "30", "-o", str(output)]
    assert main(["benchmark", "gpu", *words, "--only", "torch,memory"]) == status
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"{verdict:<7} engine torch, float32         1 s  7 ms"
    assert len(printed.splitlines()) == 4
    assert output.with_suffix(".txt").read_text() == f"scenedino benchmark gpu\n{printed}"
    assert len(json.loads(output.read_text())["checks"]) == 3
    assert given["log"] == tmp_path / "figures" / "gpu.log"
    assert (given["seconds"], given["plan"].frames, given["plan"].device) == (120, 30, "cpu")


def test_without_a_gpu_the_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["benchmark", "gpu"]) == 2
    assert capsys.readouterr().err.endswith(
        "no usable GPU was found; --device cpu runs the same checks on the processor\n"
    )


def test_an_unknown_check_is_refused(capsys) -> None:
    assert main(["benchmark", "gpu", "--device", "cpu", "--only", "tensorflow"]) == 2
    assert "unknown check 'tensorflow'" in capsys.readouterr().err
