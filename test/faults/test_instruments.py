# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""scripts/fuzz.py and scripts/soak.py find what they look for, and nothing in the package now."""

import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from promise import Reader
from readers import READERS
from recorded_rig import write_rig

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzz() -> Any:
    return script("fuzz")


def test_a_share_of_the_cases_finds_nothing(fuzz: Any, tmp_path: Path, capsys: Any) -> None:
    code = fuzz.main(["--share", "0.0005", "--seed", "0", "--output", str(tmp_path / "fuzz")])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert f"500 cases of {len(READERS)} readers" in shown
    assert "per second" in shown


def breaks(how: str) -> Any:
    """Return a reader that breaks its promise where its second number is negative."""

    def read(value: Any) -> Any:
        if value["numbers"][1] >= 0:
            return []
        if how == "hang":
            while True:
                pass
        if how == "end":
            os.abort()
        if how == "memory":
            return len(bytearray(1 << 40))
        return [np.array(np.nan)] if how == "nan" else {}[how]

    return read


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("hang", "over the limit of time"),
        ("end", "ended with -6"),
        ("memory", "MemoryError in"),
        ("nan", "a result that is not finite"),
        ("error", "KeyError in"),
    ],
)
def test_a_broken_promise_is_cut_down_and_repeated(
    fuzz: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, how: str, kind: str
) -> None:
    sound = {"numbers": [1.0, 2.0, 3.0], "text": "a", "data": b"bytes"}
    monkeypatch.setitem(READERS, "broken", Reader("broken", lambda: sound, breaks(how), 1, True))
    monkeypatch.setattr(fuzz, "MOST_CPU_SECONDS", 0.1)
    arguments = ["--only", "broken", "--cases", "60", "--output", str(tmp_path)]
    assert fuzz.main(arguments) == 1
    assert kind in capsys.readouterr().out
    (found,) = tmp_path.glob("*.json")
    ((_, path, value),) = json.loads(found.read_text())["edits"]
    assert path == ["numbers", 1]
    assert value < 0
    assert fuzz.main(["--replay", str(found)]) == 1
    assert kind in capsys.readouterr().out


def test_a_case_depends_on_seed_and_number_alone(fuzz: Any, tmp_path: Path) -> None:
    runs = [fuzz.Run(seed, tmp_path, ["transforms", "jpeg"]) for seed in (1, 1, 2)]
    first, again, other = ([repr(run.case(n)) for n in range(50)] for run in runs)
    assert first == again
    assert first != other


def test_an_unknown_reader_is_refused(fuzz: Any, capsys: Any) -> None:
    assert fuzz.main(["--only", "nothing"]) == 2
    assert "unknown reader 'nothing'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def soak() -> Any:
    pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
    return script("soak")


@pytest.mark.ros
def test_a_short_soak_of_the_real_node(soak: Any, tmp_path: Path, capsys: Any) -> None:
    write_rig(tmp_path / "drive", 3, cameras=("left",))
    options = ["--minutes", "0.05", "--short", "--every", "2", "--output", str(tmp_path)]
    code = soak.main([*options, "--rate", "30", "--line", "0", "--bag", str(tmp_path / "drive")])
    shown = capsys.readouterr().out
    assert code == 0, shown
    facts = json.loads((tmp_path / "soak.json").read_text())
    assert facts["answers"] == facts["asked"] >= 1
    assert sum(facts["faults"].values()) >= 1
    assert facts["samples"][0][1] > 100  # MiB
    assert (tmp_path / "soak.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("leak", "failures"),
    [((0.0, 0.0, 0.0), 0), ((100.0, 0.0, 0.0), 1), ((0.0, 20.0, 0.0), 1), ((0.0, 0.0, 30.0), 1)],
)
def test_growth_is_found(soak: Any, leak: tuple[float, ...], failures: int) -> None:
    rng = np.random.default_rng(0)
    hours = np.linspace(0, 1, 200)
    start = np.array([400.0, 60.0, 20.0])
    # The first minutes grow fast and then no more.
    warm = 80 * (1 - np.exp(-hours[:, None] / 0.03)) * np.array([1.0, 0.1, 0.0])
    values = start + warm + hours[:, None] * np.array(leak) + rng.normal(0, 0.5, (200, 3))
    rows = np.column_stack([3600 * hours, values, np.arange(200)])
    seen = soak.Soak(samples=rows.tolist())
    seen.judge()
    assert len(seen.failures) == failures, seen.failures


def test_missing_answers_are_a_failure(soak: Any) -> None:
    now = time.monotonic()
    seen = soak.Soak(samples=[[now + i, 1.0, 1.0, 1.0, i] for i in range(9)], asked=3, answers=2)
    seen.judge()
    assert seen.failures == ["3 frames must be answered, got 2"]
