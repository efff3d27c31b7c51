# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Evaluations as functions: what ``scenedino evaluate`` runs, for notebooks and scripts.

Each function takes the folder of the data, the folder of the run, the network and the settings of
the evaluation, and returns what it also writes into the folder of the run: numbers by key
(`RunResult.scores`), tables, notes, figures, and the items whose files are missing or damaged.
Called again with the same arguments, it resumes the run.

The default network stretches images, as the published evaluation and the commands do. Give another
`NetworkChoice` ``fit=EVALUATION_FIT`` where its numbers are to be compared.

All of them raise `InputError` if the data, the folder or a setting does not fit, and
`SceneDinoError` if the network cannot be read or run.
"""
# ruff: noqa: B008  (the defaults are frozen)

from pathlib import Path

from scenedino_ros.core.config import EVALUATION_FIT
from scenedino_ros.core.errors import InputError
from scenedino_ros.evaluation.consistency.data import open_pairs
from scenedino_ros.evaluation.consistency.evaluation import ConsistencyEvaluation
from scenedino_ros.evaluation.consistency.feature_sources import TokenChoice
from scenedino_ros.evaluation.consistency.flow import choose_flow
from scenedino_ros.evaluation.consistency.report import consistency_summary
from scenedino_ros.evaluation.depth.data import open_depth
from scenedino_ros.evaluation.depth.evaluation import DepthEvaluation
from scenedino_ros.evaluation.depth.report import depth_summary
from scenedino_ros.evaluation.geometry.data import open_drive
from scenedino_ros.evaluation.geometry.evaluation import GeometryEvaluation
from scenedino_ros.evaluation.geometry.report import geometry_summary
from scenedino_ros.evaluation.map.data import open_map_drives
from scenedino_ros.evaluation.map.evaluation import MapEvaluation
from scenedino_ros.evaluation.map.report import map_summary
from scenedino_ros.evaluation.probe.data import open_split
from scenedino_ros.evaluation.probe.evaluation import ProbeEvaluation, fit
from scenedino_ros.evaluation.probe.report import probe_summary
from scenedino_ros.evaluation.result import RunResult
from scenedino_ros.evaluation.runner import RunOptions, run_evaluation, settled
from scenedino_ros.evaluation.segmentation.data import open_images
from scenedino_ros.evaluation.segmentation.evaluation import SegmentationEvaluation
from scenedino_ros.evaluation.segmentation.report import segmentation_summary
from scenedino_ros.evaluation.settings import (
    ConsistencySettings,
    DepthSettings,
    GeometrySettings,
    MapEvaluationSettings,
    ProbeSettings,
    SegmentationSettings,
    SscSettings,
)
from scenedino_ros.evaluation.ssc.data import open_sscbench
from scenedino_ros.evaluation.ssc.evaluation import SscEvaluation
from scenedino_ros.evaluation.ssc.report import ssc_summary
from scenedino_ros.evaluation.workers import all_ranks
from scenedino_ros.inference.network_choice import NetworkChoice

# As the published evaluation, whatever the aspect ratio of the images.
_DEFAULT = NetworkChoice(fit=EVALUATION_FIT)


def evaluate_ssc(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: SscSettings = SscSettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score semantic scene completion by the rules of SSCBench-KITTI-360.

    Args:
        data: Folder of SSCBench-KITTI-360, or of drives in its layout.
        output: Folder of the run.
        network: The network, by default the package's model.
        settings: What is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `ssc_summary`.

    Example:
        >>> network = NetworkChoice("ssc-kitti-360-dino", fit=EVALUATION_FIT)
        >>> result = evaluate_ssc("KITTI-360", "runs/ssc", network)
        >>> result.scores["network"]["0.2"]["hungarian"]["miou"]["51.2"]
    """
    benchmark, baseline = open_sscbench(data, settings)
    network = settled(network, output, run.report)
    evaluation = SscEvaluation(benchmark, network, settings, baseline)
    evaluation.prediction_files()  # refuses those of other images before the run begins
    return run_evaluation(evaluation, ssc_summary, output, run)


def evaluate_geometry(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: GeometrySettings = GeometrySettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score predicted occupancy on a drive with occupancy grids, without classes.

    Args:
        data: A drive with occupancy grids, or with the voxels of SSCBench-KITTI-360.
        output: Folder of the run.
        network: The network, by default the package's model.
        settings: What is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `geometry_summary`.

    Example:
        >>> settings = GeometrySettings(thresholds=(0.2, 0.4))
        >>> result = evaluate_geometry("kitti360_sequence", "runs/geometry", settings=settings)
        >>> result.scores["all"]["network"]["0.4"]["iou"]["12.8"]
    """
    drive = open_drive(data)
    evaluation = GeometryEvaluation(drive, settled(network, output, run.report), settings)
    return run_evaluation(evaluation, geometry_summary, output, run)


def evaluate_map(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: MapEvaluationSettings = MapEvaluationSettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score the map of many images beside one image, on drives with poses and occupancy grids.

    Args:
        data: A drive with poses and occupancy grids, or with the voxels of SSCBench-KITTI-360; or
            a data set of such drives.
        output: Folder of the run.
        network: The network, by default the package's model.
        settings: What is fused and scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `map_summary`.

    Example:
        >>> settings = MapEvaluationSettings(half_life=5.0, position_noise=(0.0,))
        >>> result = evaluate_map("kitti360_sequence", "runs/map", settings=settings)
        >>> result.scores["all"]["occupancy"]["view"]["map"]["none"]["0"]["iou"]["51.2"]
    """
    drives = open_map_drives(data)
    network = settled(network, output, run.report)
    evaluation = MapEvaluation(Path(data), drives, network, settings)
    return run_evaluation(evaluation, map_summary, output, run)


def evaluate_segmentation(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: SegmentationSettings = SegmentationSettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score unsupervised segmentation of images, with and without a dense CRF.

    Args:
        data: Folder of KITTI-360, Cityscapes or BDD100K, or a frame store with labels.
        output: Folder of the run.
        network: The network, by default the package's model.
        settings: What is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `segmentation_summary`.

    Example:
        >>> result = evaluate_segmentation("cityscapes", "runs/seg", run=RunOptions(workers=2))
        >>> result.scores["matched_crf"]["miou"]
    """
    images = open_images(data, settings)
    evaluation = SegmentationEvaluation(images, settled(network, output, run.report), settings)
    evaluation.label_files()  # refuses those of other images before the run begins
    return run_evaluation(evaluation, segmentation_summary, output, run)


def evaluate_probe(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: ProbeSettings = ProbeSettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Fit probes to labels on the features of a frozen network, and score them on other images.

    Args:
        data: Images to score on, as for `evaluate_segmentation`.
        output: Folder of the run; it gets the network with its probes, too.
        network: The network, by default the package's model.
        settings: How probes are fitted, what is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `probe_summary`.

    Example:
        >>> settings = ProbeSettings(train=(Path("other.store"),), epochs=5)
        >>> result = evaluate_probe("street.store", "runs/probe", settings=settings)
        >>> result.scores["stego"]["miou"]
    """
    images, training = open_split(data, settings)
    network = settled(network, output, run.report)
    evaluation = ProbeEvaluation(images, training, network, Path(output), settings)
    with all_ranks():
        fit(evaluation, run)
        return run_evaluation(evaluation, probe_summary, output, run)


def evaluate_consistency(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: ConsistencySettings = ConsistencySettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score whether features of the same surface agree in two frames of a video.

    Args:
        data: A KITTI-360 drive, a frame store, or RealEstate10K.
        output: Folder of the run.
        network: The network whose field is rendered, by default the package's model.
        settings: What is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `consistency_summary`.

    Example:
        >>> settings = ConsistencySettings(features=("dinov2_vitb14",))
        >>> result = evaluate_consistency("street.store", "runs/cons", settings=settings)
        >>> result.scores["plain"]["dinov2_vitb14"]["pixels"]["cosine"]
    """
    if len(set(settings.features)) < len(settings.features):
        raise InputError(f"features must differ, got {', '.join(settings.features)}")
    pairs = open_pairs(data, settings)
    has_depth = pairs.geometry(pairs.items()[0]) is not None
    flow = choose_flow(settings.flow, settings.raft_weights, has_depth=has_depth)
    tokens = tuple(TokenChoice.parse(text) for text in settings.features)
    network = settled(network, output, run.report)
    evaluation = ConsistencyEvaluation(pairs, network, flow, tokens, settings)
    return run_evaluation(evaluation, consistency_summary, output, run)


def evaluate_depth(
    data: Path | str,
    output: Path | str,
    network: NetworkChoice = _DEFAULT,
    settings: DepthSettings = DepthSettings(),
    run: RunOptions = RunOptions(),
) -> RunResult:
    """Score depth rendered from one image against LiDAR scans or exact depth.

    Args:
        data: A KITTI-360 drive with Velodyne scans, or a frame store with depth maps.
        output: Folder of the run.
        network: The network, by default the package's model.
        settings: What is scored, and how.
        run: Worker processes, and callbacks.

    Returns:
        The result, with the scores of `depth_summary`.

    Example:
        >>> settings = DepthSettings(above=0.3)
        >>> result = evaluate_depth("kitti360_sequence", "runs/depth", settings=settings)
        >>> result.scores["all"]["axis"]["all"]["model"]["none"]["abs_rel"]
    """
    depths = open_depth(data, settings)
    evaluation = DepthEvaluation(depths, settled(network, output, run.report), settings)
    return run_evaluation(evaluation, depth_summary, output, run)
