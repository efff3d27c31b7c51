# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Options and fixtures shared by all tests."""

import contextlib
import fcntl
import functools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_arrays import WORST, Arrays, load_arrays

from scenedino_ros.demo import domains

GOLDEN = Path(__file__).parent / "golden"
# A golden file is of the kind whose array it holds.
_KINDS = {"point_case": "sigma", "voxel_case": "final_label"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that points the parity tests at another set of golden vectors."""
    parser.addoption(
        "--golden",
        type=Path,
        default=GOLDEN,
        metavar="DIR",
        help="folder of golden vectors to hold the package to (default: test/golden)",
    )
    parser.addoption(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="device on which test_golden_model.py runs the network (default: cpu)",
    )
    parser.addoption(
        "--parity-report",
        type=Path,
        metavar="FILE",
        help="write there as JSON how the tests went (for scripts/parity_matrix.py)",
    )


def pytest_configure() -> None:
    """Let the processes that tests start be interrupted.

    A shell starts jobs in the background with SIGINT ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once per golden file of the kind it asks for; without any it is skipped."""
    folder = metafunc.config.getoption("--golden")
    for fixture, key in _KINDS.items():
        if fixture in metafunc.fixturenames:
            files = _golden_files(folder).get(key, [])
            metafunc.parametrize(
                fixture, files, ids=[f.stem for f in files], indirect=True, scope="module"
            )


@functools.cache
def _golden_files(folder: Path) -> dict[str, list[Path]]:
    """Return the golden files of each kind; refuse a folder that has none of any."""
    kinds: dict[str, list[Path]] = {}
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as arrays:
            for key in _KINDS.values():
                if key in arrays.files:
                    kinds.setdefault(key, []).append(file)
    scores = ("ssc_frames", "seg2d", "consistency", "depth_occ")
    others = [folder / "training", folder / "evaluation", *(folder / f"{s}.npz" for s in scores)]
    if not kinds and not any(path.exists() for path in others):
        raise pytest.UsageError(f"--golden: no golden vectors in {folder}")
    return kinds


@pytest.fixture
def quick_peaks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shorten the measurement of the machine's peaks; return the bytes that it moves."""
    nbytes = 1 << 20
    names = ("_SECONDS", "_SIZES", "_LEAST", "_MOST")
    for name, value in zip(names, (0.0, (64,), nbytes, nbytes), strict=True):
        monkeypatch.setattr(f"scenedino_ros.benchmark.peaks.{name}", value)
    return nbytes


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Handle signals after a test as before it: processes inherit which ones are ignored."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module", autouse=True)
def _domains() -> Iterator[None]:
    """Give back the DDS domains of a module once all of its processes have ended."""
    yield
    domains.held.clear()


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Callable[[str], Arrays]:
    """Return a function that loads one file of golden vectors of the training arithmetic."""
    folder = request.config.getoption("--golden") / "training"
    return lambda name: load_arrays(folder / f"{name}.npz")


@pytest.fixture(scope="session")
def golden_scores(request: pytest.FixtureRequest) -> Callable[[str], dict[str, np.ndarray]]:
    """Return a function that loads one file of golden vectors of the evaluation."""
    root = request.config.getoption("--golden")
    folder = root / "evaluation" if (root / "evaluation").is_dir() else root

    def load(name: str) -> dict[str, np.ndarray]:
        path = folder / f"{name}.npz"
        if not path.exists():
            pytest.skip(f"the golden folder has no {path.parent.name}/{path.name}")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    return load


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the deviations that a process of pytest-xdist has seen to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["worst"] = WORST
    else:
        _remove_dead_segments()


def _remove_dead_segments() -> None:
    """Remove the shared memory of Fast DDS that processes killed by tests have left.

    It would stay until the machine is started again, 67 MB for each node. A living process holds a
    lock on the file that ends with _el.
    """
    for lock in Path("/dev/shm").glob("fast*_*_el"):
        with contextlib.suppress(OSError), lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
            lock.unlink()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Take the deviations that a process of pytest-xdist has seen; tell how it died, if it did."""
    if error:  # it may have said nothing
        code = node.gateway._io.popen.wait(10)
        sys.stderr.write(f"\n{node.gateway.id} ended with exit code {code}\n")
    WORST.update(getattr(node, "workeroutput", {}).get("worst", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show how close the package is to the golden vectors."""
    if WORST:
        terminalreporter.section("largest deviation from the golden vectors, of what is allowed")
        for test, share in sorted(WORST.items()):
            terminalreporter.line(f"{share:.1e}  {test}")
    if file := config.getoption("--parity-report"):
        counts = {
            name: len(terminalreporter.getreports(name))
            for name in ("passed", "failed", "error", "skipped")
        }
        counts["failed"] += counts.pop("error")
        test = max(WORST, key=WORST.__getitem__, default="")
        used = {
            "kernels": torch.backends.cpu.get_cpu_capability().lower(),
            "threads": torch.get_num_threads(),
        }
        file.write_text(
            json.dumps({**counts, **used, "deviation": WORST.get(test, 0.0), "test": test})
        )
