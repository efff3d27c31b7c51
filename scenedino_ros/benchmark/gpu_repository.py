# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The GPU checks that run what is only in the repository: parity tests and training steps."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scenedino_ros
from scenedino_ros.benchmark.gpu_run import Found, SkippedError
from scenedino_ros.benchmark.gpu_scene import GpuPlan
from scenedino_ros.core.errors import SceneDinoError

# Cases that cost little: tolerances are computed on the processor, in float64.
_GOLDEN = "s8_64x160 or s14_64x160 or b14_96x320"
_LOSSES = {"training float32": 1e-2, "training bfloat16": 1e-1}  # largest differences of losses


def check_golden_vectors(plan: GpuPlan) -> Iterator[Found]:
    """Run the parity tests of the repository on the device."""
    root = _repository("test/golden")
    command = ["-m", "pytest", "test/test_golden_model.py", "-q", "-k", _GOLDEN]
    command += ["--device", plan.device]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        status, last = _run_python([*command, "--parity-report", str(report)], root)
        if not report.is_file():
            raise SceneDinoError(f"the tests did not run: {last}")
        counts = json.loads(report.read_text())
    words = (
        f"{counts['passed']} tests passed, {counts['failed']} failed; largest deviation "
        f"{100 * counts['deviation']:.0f} % of what is allowed"
    )
    yield Found(words, counts, "some golden vectors are missed" if status else "")


def check_field_step(plan: GpuPlan, repeats: int) -> Iterator[Found]:
    """Time the training step of stage 1 beside the reference step."""
    figures = _training("benchmark_field", "field_default", plan, repeats)
    results = figures["results"]
    words, problems = [], []
    for name, values in results.items():
        words.append(f"{name} {values['p50 [ms]']:,.0f} ms")
        worst = max(values.get("differences", {"": 0.0}).values())
        if worst > _LOSSES.get(name, 0.0):
            problems.append(f"a loss of {name} differs by {worst:.1e}")
    items = figures["items per step"]
    yield Found(f"a step of {items} items: {', '.join(words)}", figures, "; ".join(problems))


def check_semantics_step(plan: GpuPlan, repeats: int) -> Iterator[Found]:
    """Time the training step of stage 2 beside the reference step."""
    figures = _training("benchmark_semantics", "semantics_default", plan, repeats)
    results = figures["results"].items()
    words = ", ".join(f"{name} {values['step [ms]']:,.0f} ms" for name, values in results)
    yield Found(f"a step: {words}", figures)


def _training(module: str, config: str, plan: GpuPlan, repeats: int) -> dict[str, Any]:
    """Return the figures of a training benchmark of the repository, with random weights."""
    root = _repository("train")
    if importlib.util.find_spec("lightning_fabric") is None:
        raise SkippedError("needs the Python package lightning-fabric, which is not installed")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        arguments = ["--config", f"train/configs/{config}.yaml", "--run.device", plan.device]
        if module == "benchmark_field":
            arguments += ["--encoder.weights", "random", "--data.resident", "true"]
            arguments += ["--run.batch_size", "8"]
        arguments += ["--repeats", str(repeats), "-o", str(output)]
        status, last = _run_python(["-m", f"train.{module}", *arguments], root)
        if status:
            raise SceneDinoError(f"python -m train.{module} failed: {last}")
        figures: dict[str, Any] = json.loads(output.read_text())
    return figures


def _repository(part: str) -> Path:
    """Return the root of the repository that the package runs from.

    Raises:
        SkippedError: If it has not this part, as where only the package is installed.
    """
    root = Path(scenedino_ros.__file__).resolve().parents[1]
    if not (root / part).is_dir():
        raise SkippedError(f"needs the repository, whose folder {part} is not installed")
    return root


def _run_python(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run Python in a folder; return its exit code and its last line.

    If this process is ended meanwhile, so are the other one and its children; the log has what it
    printed until then.
    """
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            text = output.read()
            os.write(2, text)
    lines = text.decode(errors="replace").strip().splitlines() or ["no output"]
    return process.returncode, lines[-1]
