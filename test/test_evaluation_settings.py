# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Settings of evaluations: one home for their defaults, and ranges that hold from Python, too."""

import inspect
from types import SimpleNamespace

import pytest

from scenedino_ros.cli.evaluation import chosen_settings
from scenedino_ros.cli.main import build_parser
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation import evaluate
from scenedino_ros.evaluation.depth.evaluation import DepthEvaluation
from scenedino_ros.evaluation.settings import (
    ConsistencySettings,
    DepthSettings,
    EvaluationSettings,
    GeometrySettings,
    MapEvaluationSettings,
    ProbeSettings,
    SegmentationSettings,
    SscSettings,
)
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.terminal.network_arguments import network_values

SETTINGS = {
    "ssc": SscSettings,
    "geometry": GeometrySettings,
    "map": MapEvaluationSettings,
    "segmentation": SegmentationSettings,
    "probe": ProbeSettings,
    "consistency": ConsistencySettings,
    "depth": DepthSettings,
}


def chosen(kind: str, *words: str) -> EvaluationSettings:
    command = ["evaluate", kind, "data", "-o", "run", *words]
    return chosen_settings(SETTINGS[kind], build_parser(command).parse_args(command))


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_a_command_has_the_defaults_of_its_settings(kind: str) -> None:
    assert chosen(kind) == SETTINGS[kind]()


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_a_function_runs_the_network_of_its_command(kind: str) -> None:
    command = ["evaluate", kind, "data", "-o", "run"]
    options = build_parser(command).parse_args(command)
    function = getattr(evaluate, f"evaluate_{kind}")
    default = inspect.signature(function).parameters["network"].default
    assert default == NetworkChoice(**network_values(options))


def test_a_run_knows_which_frames_its_mean_depth_comes_from() -> None:
    data = SimpleNamespace(settings=dict)
    choices = DepthSettings(train_frames=(3, 4, 5, 9))
    settings = DepthEvaluation(data, NetworkChoice("untrained"), choices).settings()
    assert settings["train_frames"] == [3, 5, 9, 9]  # first and last of each range


def test_options_become_settings() -> None:
    words = ("--no-crf", "--drive", "3,9", "--panels", "0")
    assert chosen("segmentation", *words) == SegmentationSettings(
        crf=False, drives=(3, 9), panels=0
    )
    words = ("--features", "dino_vitb8", "--features", "dino_vits8:timm")
    assert chosen("consistency", *words) == ConsistencySettings(
        features=("dino_vitb8", "dino_vits8:timm")
    )


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (SscSettings, {"split": "all"}, "split must be one of train, val, test, got 'all'"),
        (SscSettings, {"refinement": 0}, "refinement must be in 1 to inf, got 0"),
        (ConsistencySettings, {"flow": "best"}, "flow must be one of auto, raft, exact, dis"),
        (DepthSettings, {"limits": (-1.0, 50.0)}, "limits must be in 0 to inf m"),
        (
            DepthSettings,
            {"limits": (50.0, 1.0)},
            "limits must be a smallest and a larger z-depth, got 50,1",
        ),
        (DepthSettings, {"limits": (1.0, 1.0)}, "a larger z-depth, got 1,1"),
        (DepthSettings, {"limits": (1.0,)}, "a larger z-depth, got 1"),
        (DepthSettings, {"panels": 101}, "panels must be in 0 to 100, got 101"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: type[EvaluationSettings], values: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        settings(**values)
