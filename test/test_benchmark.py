# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The benchmarks: two ways to the same answer, what is written, and what is refused."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from models import TINY, lively_checkpoint, noise_image, street_camera

from scenedino_ros.benchmark.bench import Bench, percentiles
from scenedino_ros.benchmark.drives import synthetic_drive, with_raw_images
from scenedino_ros.benchmark.grids import grid_of
from scenedino_ros.benchmark.job import BenchmarkJob, load, untrained
from scenedino_ros.benchmark.map import MapJob, T_map_cam, measure_map
from scenedino_ros.benchmark.memory import peak_memory
from scenedino_ros.benchmark.node import NodeJob, measure_node, require_ros
from scenedino_ros.benchmark.plain import PlainPredictor
from scenedino_ros.benchmark.plots import plot_node
from scenedino_ros.benchmark.stages import BFLOAT16, processor
from scenedino_ros.cameras.from_msg import rgb_from_compressed, rgb_from_image, stamp_ns
from scenedino_ros.checkpoints.checkpoint import save_checkpoint, untrained_checkpoint
from scenedino_ros.cli.main import main
from scenedino_ros.core.errors import InputError, SceneDinoError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.reporting import silent
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.demo.recording import Measurements
from scenedino_ros.demo.settings import PlayResult
from scenedino_ros.evaluation.ssc import rules as ssc
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.recordings.rosbag2.reader import BagReader


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("benchmark") / "tiny.safetensors"
    save_checkpoint(path, lively_checkpoint(TINY))
    return str(path)


def a_job(checkpoint: str, **changed) -> BenchmarkJob:
    values = {"backbone": "", "grid": "camera", "voxel_size": 1.6, "share": 0.05, "repeats": 1}
    network = NetworkChoice(checkpoint, device="cpu")
    return BenchmarkJob(network, **{**values, **changed})


def is_picture(path: Path) -> bool:
    image = cv2.imread(str(path))
    return image is not None and min(image.shape[:2]) > 100 and len(np.unique(image)) > 20


# --- the network --------------------------------------------------------------------------------


def predictors() -> tuple[PlainPredictor, Predictor]:
    return (
        PlainPredictor(lively_checkpoint(), "cpu", "stego_linear"),
        Predictor(lively_checkpoint(), device="cpu", mode="stego_linear"),
    )


def test_plain_and_folded_give_the_same_voxels() -> None:
    grid = VoxelGrid((-3.0, -2.0, 1.0), (20, 14, 24), 0.3)
    query = VoxelQuery(grow=True)
    answers = []
    for predictor in predictors():
        encoded = predictor.encode(noise_image(), street_camera())
        answers.append(predictor.voxels(encoded, grid, np.eye(4), query))
    plain, folded = answers
    assert 0.05 < (plain >= 0).mean() < 0.95
    ours = np.where(folded.occupied(), folded.label_grid(empty=0).astype(int), -1)
    assert (ours == plain).mean() > 0.999


def test_plain_and_folded_render_the_same_views() -> None:
    plain, folded = predictors()
    asked = {"downscale": 4, "n_samples": 16, "semantic": True}
    depth, label = plain.render(plain.encode(noise_image(), street_camera()), **asked)
    view = folded.render(folded.encode(noise_image(), street_camera()), **asked)
    assert depth.shape == view.depth.shape == (16, 40)
    assert np.ptp(depth) > 1
    np.testing.assert_allclose(view.depth, depth, rtol=1e-3)
    assert len(np.unique(label)) >= 3
    assert (view.label == label).mean() > 0.99


def test_the_share_of_occupied_voxels_is_that_asked_for(tiny) -> None:
    job = a_job(tiny, share=0.25, variants=("folded",))
    bench = Bench(job, load(job, lambda _: None), lambda _: None)
    seconds = bench.frame("folded")
    stages = ("encode", "voxels", "render", "frame")
    assert set(seconds) == {*stages, *map(processor, stages)}
    assert seconds["frame"] == seconds["encode"] + seconds["voxels"]
    assert seconds["frame processor"] == seconds["encode processor"] + seconds["voxels processor"]
    seen = bench.occupied["folded"]
    bench.occupy(0.5)
    bench.frame("folded")
    assert bench.occupied["folded"] == pytest.approx(2 * seen, rel=0.02)
    bench.occupy(0.25)
    bench.look_at(grid_of("camera", 0.8))
    bench.frame("folded")
    assert bench.grid.shape == (32, 8, 32)
    # Eight voxels for each one before, the same share of them.
    assert bench.occupied["folded"] == pytest.approx(8 * seen, rel=0.25)


def test_each_camera_has_a_grid_view_of_its_own(tiny) -> None:
    job = a_job(tiny, variants=("folded",), render=False)
    bench = Bench(job, load(job, silent), silent)
    answers = []
    for camera in (0, 1):
        bench.frame("folded", camera)
        answers.append(bench.answers["folded"])
    assert (answers[0] != answers[1]).any()


def test_exposed_voxels_are_those_of_the_plain_network(tiny) -> None:
    every, exposed = (
        a_job(tiny, share=0.5, voxel_size=0.8, render=False, exposed_only=only)
        for only in (False, True)
    )
    counts = []
    for job in (every, exposed):
        bench = Bench(job, load(job, silent), silent)
        for variant in job.variants:
            bench.frame(variant)
        assert bench.agreement()["IoU"] > 0.99
        assert "depth abs rel" not in bench.agreement()
        counts.append(bench.occupied["folded"])
        records = bench.profile()
        assert records["voxels"]["classify"].count == counts[-1]
    assert 0 < counts[1] < counts[0]


def test_percentiles_are_those_of_each_stage() -> None:
    timings = [{"encode": 0.001 * n, "voxels": 0.01} for n in range(101)]
    assert percentiles(timings) == pytest.approx(
        {
            "encode p50 [ms]": 50.0,
            "encode p95 [ms]": 95.0,
            "voxels p50 [ms]": 10.0,
            "voxels p95 [ms]": 10.0,
        }
    )


def test_a_grid_keeps_its_extent() -> None:
    grid = grid_of("sscbench", 0.4)
    assert (grid.shape, grid.origin, grid.voxel_size) == ((128, 128, 16), ssc.GRID.origin, 0.4)
    assert grid_of("camera", 100.0).shape == (1, 1, 1)


def test_a_network_without_classes_is_refused(tmp_path: Path) -> None:
    config = ModelConfig(backbone="dinov2_vits14", image_size=(32, 64), decoder_width=8)
    save_checkpoint(tmp_path / "field.safetensors", untrained_checkpoint(config))
    with pytest.raises(InputError, match="needs a checkpoint with a semantic head"):
        load(a_job(str(tmp_path / "field.safetensors")), lambda _: None)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(InputError, match="backbone 'resnet'"):
        untrained("resnet")


@pytest.mark.usefixtures("quick_peaks")
def test_network_prints_and_saves_all(tiny, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    measured = []

    def memory(job: BenchmarkJob) -> dict[str, float]:
        if job.variants == (BFLOAT16,):  # one process less
            return {"peak memory [MiB]": 1.0, "of it beyond imports [MiB]": 1.0}
        measured.append(job.variants)
        return peak_memory(job)

    monkeypatch.setattr("scenedino_ros.benchmark.network.peak_memory", memory)
    output = tmp_path / "figures" / "network.json"
    arguments = ["--checkpoint", tiny, "--grid", "camera", "--voxel-size", "0.8"]
    arguments += ["--repeats", "1", "--precision", "both"]
    assert main(["benchmark", "network", *arguments, "-o", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert is_picture(output.with_suffix(".png"))
    results = figures["results"]
    variants = ("folded", BFLOAT16)
    assert measured == [("plain",), ("folded",)]
    assert set(results) == {"plain", *variants}
    occupied = results["plain"]["occupied voxels"], results["folded"]["occupied voxels"]
    assert abs(occupied[0] - occupied[1]) <= 0.01 * occupied[1]
    for row in (
        "encode p50 [ms]",
        "encode processor p50 [ms]",
        "voxels p95 [ms]",
        "render p50 [ms]",
        "frame p50 [ms]",
        "first frame [ms]",
        "peak memory [MiB]",
    ):
        assert min(result[row] for result in results.values()) > 0
    printed = capsys.readouterr().out
    assert "plain / this" in printed
    assert "processor / wall" in printed
    assert results["plain"]["peak memory [MiB]"] != results["folded"]["peak memory [MiB]"]
    assert "untrained weights" in printed
    assert 0 < results["folded"]["of it beyond imports [MiB]"] < 1000
    same = figures["folded against plain"]
    assert 0.99 < same["IoU"] <= 1
    assert 0.9 < same["mIoU"] <= 1
    assert same["depth abs rel"] < 1e-4
    low = figures[f"{BFLOAT16} against plain"]
    assert 0.9 < low["IoU"] <= 1
    assert same["depth abs rel"] < low["depth abs rel"] < 0.1
    assert f"{low['IoU']:.4f} │ {low['mIoU']:.4f} │" in printed
    for variant in variants:
        rows = figures["roofline"][variant]
        assert f"roofline of the {variant} network" in printed
        assert {row["stage"] for row in rows} == {"encode", "voxels", "render"}
        assert min(row["p50 [ms]"] for row in rows if row["part"] != "rest") > 0
        assert rows[0]["precision"] == ("bfloat16" if variant == BFLOAT16 else "float32")
    assert figures["peaks"]["bandwidth"] > 0


@pytest.mark.usefixtures("quick_peaks")
def test_curves_leave_the_plain_network_out_of_large_grids(tiny, tmp_path: Path, capsys) -> None:
    output = tmp_path / "curves.json"
    arguments = ["--checkpoint", tiny, "--voxel-size", "3.2", "--voxel-sizes", "1.6,3.2"]
    arguments += ["--image-sizes", "64x160,32x80", "--plain-up-to", "1000", "--repeats", "1"]
    arguments += ["--shares", "0.5,0.1", "--cameras", "2,1"]
    assert main(["benchmark", "curves", *arguments, "-o", str(output)]) == 0
    figures = json.loads(output.read_text())
    over_voxels, over_images = figures["over voxels"], figures["over image size"]
    assert [point["voxels"] for point in over_voxels] == [8 * 2 * 8, 16 * 4 * 16]
    assert [point["plain"] is None for point in over_voxels] == [False, True]
    assert [point["image size"] for point in over_images] == [[32, 80], [64, 160]]
    assert {point["voxels"] for point in over_images} == {8 * 2 * 8}
    shares, cameras = figures["over occupied fraction"], figures["over cameras"]
    assert [point["share"] for point in shares] == [0.1, 0.5]
    few, many = (point["occupied voxels"] for point in shares)
    assert many == pytest.approx(5 * few, abs=5)
    assert shares[0]["bound"]["voxels [ms]"] < shares[1]["bound"]["voxels [ms]"]
    assert [point["cameras"] for point in cameras] == [1, 2]
    assert min(point["memory [MiB]"] for point in cameras) > 0
    for point in (*over_voxels, *over_images, *shares, *cameras):
        bound = point["bound"]
        assert bound["frame [ms]"] == bound["encode [ms]"] + bound["voxels [ms]"]
        for timing in (point["folded"], point["plain"] or point["folded"]):
            assert set(timing) == {
                f"{name(stage)} {p} [ms]"
                for stage in ("encode", "voxels", "frame")
                for name in (str, processor)
                for p in ("p50", "p95")
            }
            assert min(timing.values()) > 0
    assert is_picture(output.with_suffix(".png"))
    printed = capsys.readouterr().out
    assert "cost over voxels" in printed
    assert "cost over image size" in printed
    assert "cost over occupied fraction" in printed
    assert "cost over cameras" in printed
    assert printed.count("bound") == 8
    assert "1,024" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["network", "-o", "figures.txt"], "must be a file *.json, got 'figures.txt'"),
        (["network", "--share", "1.5"], "must be over 0 and at most 1, got '1.5'"),
        (["network", "--image-size", "192,640"], "must be HEIGHTxWIDTH"),
        (["network", "--repeats", "0"], "must be a count >= 1"),
        (["network", "--checkpoint", "a", "--backbone", "b"], "not allowed with"),
        (["curves", "--voxel-sizes", "0.2,0.2"], "must be different values, got '0.2,0.2'"),
        (["curves", "--voxel-sizes", "0"], "must be > 0"),
        (["curves", "--shares", "0.1,2"], "must be over 0 and at most 1, got '2'"),
        (["curves", "--precision", "both"], "invalid choice: 'both'"),
        (["node", "--rates", "10,-1"], "must be > 0"),
        (["messages", "--cubes", "many"], "must be a count >= 1"),
        (["everything"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_refused(arguments, sentence, capsys) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["benchmark", *arguments])
    assert refused.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("what", ["network", "curves", "node", "messages"])
def test_help_has_examples(what, capsys) -> None:
    with pytest.raises(SystemExit) as helped:
        main(["benchmark", what, "--help"])
    assert helped.value.code == 0
    assert f"scenedino benchmark {what}" in capsys.readouterr().out.split("examples:")[1]


# --- drives and the node ------------------------------------------------------------------------


def test_raw_images_are_the_compressed_ones_with_everything_else(tmp_path: Path) -> None:
    drive = synthetic_drive(tmp_path / "made_up", ssc.CAMERA.resized(82, 31))
    assert (drive.images, drive.compressed, drive.body_frame) == (10, True, "velodyne")
    told = []
    raw = with_raw_images(drive, tmp_path / "raw", 4, lambda *done: told.append(done))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (raw.images, raw.compressed) == (4, False)
    assert with_raw_images(raw, tmp_path / "again", 4, lambda *_: None) is raw
    with BagReader(drive.bag) as before, BagReader(raw.bag) as after:
        for message in after.messages(["/tf_static"], raw=True):
            assert message.message == next(before.messages(["/tf_static"], raw=True)).message
        theirs = [m.message for m in before.messages([drive.image_topic])]
        ours = [m.message for m in after.messages([raw.image_topic])]
        assert len(list(after.messages([raw.info_topic]))) == 4
    assert len(ours) == 4
    for compressed, image in zip(theirs[:4], ours, strict=True):
        assert stamp_ns(image.header) == stamp_ns(compressed.header)
        rgb = rgb_from_image(image)
        assert rgb.shape == (31, 82, 3)
        np.testing.assert_array_equal(rgb, rgb_from_compressed(compressed))


def test_a_missing_client_library_is_told(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SceneDinoError, match="client library cannot be found; source a ROS 2"):
        require_ros()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), noise_image(160, 64, number))
    return folder


@pytest.mark.ros
@pytest.mark.slow
def test_the_node_is_measured(tiny, images, tmp_path: Path, capsys) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    output = tmp_path / "node.json"
    arguments = ["--checkpoint", tiny, "--images", str(images), "--intrinsics", "80,80,79.5,31.5"]
    arguments += ["--rate", "4", "--seconds", "1", "--voxel-size", "0.8", "--device", "cpu"]
    assert main(["benchmark", "node", *arguments, "--subscribe", "grid", "-o", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert figures["transport"] == "raw"
    assert figures["subscribed"] == ["voxels", "markers"]
    assert figures["network"]["device"] == "cpu"
    (run,) = figures["runs"]
    counts, latency = run["images"], run["latency_ms"]
    assert (run["rate_hz"], counts["played"]) == (4.0, 4)
    assert 1 <= counts["processed"] <= counts["arrived_at_node"] <= 4
    assert counts["processed"] + sum(run["drops"].values()) <= 4
    assert {"decode", "encode", "voxels", "grid messages"} <= set(latency)
    assert "render" not in latency  # nobody listens to it
    assert 0 < latency["stamp to publish"]["p50"] <= latency["stamp to publish"]["p95"]
    assert is_picture(output.with_suffix(".png"))
    printed = capsys.readouterr().out
    assert "stamp to publish" in printed
    assert "dropped" in printed


def test_rates_are_played_one_after_the_other(tmp_path: Path, monkeypatch) -> None:
    drive = synthetic_drive(tmp_path / "made_up", ssc.CAMERA.resized(82, 31))
    plans = []

    class NoPlay:
        def __init__(self, plan):
            plans.append(plan)
            self.problems = ["none was played"]

        def run(self, show, interrupted):
            for done in range(plans[-1].frames):
                show("playing", done + 1, plans[-1].frames)

        def result(self):
            return PlayResult(plans[-1].frames, 1.0, 1.0, 0, 0.0, 0)

    monkeypatch.setattr("scenedino_ros.benchmark.node.Play", NoPlay)
    measured = Measurements()
    monkeypatch.setattr("scenedino_ros.benchmark.node.measure", lambda *_: measured)
    job = NodeJob(drive, "", {"grid": {"preset": "camera"}}, "voxels", (5.0, 12.0), 2.0)
    with pytest.raises(SceneDinoError, match="at 5 Hz the node answered none of 10 images"):
        measure_node(job, tmp_path / "silent", lambda _: None)
    plans.clear()
    measured.reports["frames"] = {"images out": "1"}
    said = []
    figures = measure_node(job, tmp_path / "runs", said.append)
    assert [(p.rate_hz, p.frames, p.loops, p.wait) for p in plans] == [
        (5.0, 10, 1, False),
        (12.0, 24, 3, False),
    ]
    assert len({plan.domain for plan in plans}) == 2
    assert {plan.outputs for plan in plans} == {("voxels",)}
    assert [run["images"]["played"] for run in figures["runs"]] == [10, 24]
    assert figures["runs"][0]["problems"] == ["none was played"]
    assert said[-1] == "12 Hz: playing, image 24 of 24"
    assert len(said) == 10 + 11  # of 24 images each tenth
    plot_node(tmp_path / "node.png", figures)
    assert is_picture(tmp_path / "node.png")


def test_a_grid_that_needs_a_frame_is_refused(tiny, images, capsys) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    arguments = ["--checkpoint", tiny, "--images", str(images), "--intrinsics", "80,80,79.5,31.5"]
    assert main(["benchmark", "node", *arguments, "--grid", "sscbench"]) == 2
    assert "--grid sscbench needs --grid-frame" in capsys.readouterr().err


# --- messages -----------------------------------------------------------------------------------


def some_cases():
    message_cases = pytest.importorskip(
        "scenedino_ros.benchmark.message_cases", reason="no ROS 2 client library"
    )
    from scenedino_ros.benchmark.messages import MessagesJob

    published = []
    job = MessagesJob(voxels=300, cubes=200, width=48, height=20, repeats=2)
    cases = message_cases.make_cases(job, lambda name, message: published.append((name, message)))
    return message_cases, cases, published


def test_both_ways_give_the_same_messages() -> None:
    message_cases, cases, published = some_cases()
    rows = [message_cases.time_case(case, 2) for case in cases]
    assert [row["same"] for row in rows] == [True, True, True]
    assert [row["target [ms]"] for row in rows] == [10.0, 20.0, None]
    for row in rows:
        assert row["fast"]["p50 [ms]"] <= row["fast"]["p95 [ms]"]
        assert set(row["ordinary"]) == {"p50 [ms]", "p95 [ms]"}
    names = [name for name, _ in published]
    assert names == 6 * ["voxels"] + 6 * ["markers"]  # two ways, twice and once before
    cloud = published[0][1]
    assert (cloud.width, len(cloud.data)) == (300, 300 * cloud.point_step)
    markers = published[-1][1]
    assert sum(len(marker.points) for marker in markers.markers) == 200


def test_a_difference_between_the_ways_is_found(monkeypatch) -> None:
    message_cases, cases, _ = some_cases()
    cloud, markers, image = cases
    real = message_cases.rgb_from_image
    monkeypatch.setattr(message_cases, "rgb_from_image", lambda message: real(message).copy())
    assert not image.same()
    fewer = message_cases.some_voxels(199)
    build = message_cases.markers_from_voxels
    monkeypatch.setattr(
        message_cases, "markers_from_voxels", lambda _, *rest, **kw: build(fewer, *rest, **kw)
    )
    markers.fast()
    assert not markers.same()
    monkeypatch.setattr(
        message_cases, "deserialize_message", lambda data, _: object() if data else None
    )
    assert not cloud.same()


def test_more_voxels_than_the_grid_has_are_refused() -> None:
    message_cases, _, _ = some_cases()
    with pytest.raises(InputError, match="must be at most 2097152, got 2097153"):
        message_cases.some_voxels(2097153)


@pytest.mark.ros
@pytest.mark.slow
def test_messages_prints_and_saves_everything(tmp_path: Path, capsys) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    output = tmp_path / "messages.json"
    arguments = ["--voxels", "500", "--cubes", "300", "--sent", "3", "--repeats", "1"]
    assert main(["benchmark", "messages", *arguments, "-o", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert [row["same"] for row in figures["messages"]] == [True, True, True]
    assert set(figures["transport"]) == {"shipped", "none"}
    for topics in figures["transport"].values():
        assert {topic: sent["bytes"] for topic, sent in topics.items()} == {
            "/large/image": 1408 * 376 * 3,
            "/large/cloud": 500 * 28,
        }
        assert all(sent["arrived"] <= sent["sent"] == 3 for sent in topics.values())
    assert is_picture(output.with_suffix(".png"))
    printed = capsys.readouterr().out
    assert "best-effort messages" in printed
    assert " of 3" in printed


@pytest.mark.ros
@pytest.mark.slow
def test_a_sender_that_cannot_do_it_says_why(capsys) -> None:
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    assert main(["benchmark", "messages", "--voxels", "3000000", "--repeats", "1"]) == 2
    assert "voxels and cubes must be at most 2097152, got 3000000" in capsys.readouterr().err


# --- the map ------------------------------------------------------------------------------------


@pytest.mark.parametrize("road_only", [False, True])
def test_the_map_is_timed_over_the_size_of_its_box(tiny: str, road_only: bool) -> None:
    sizes = ((8.0, 8.0, 2.4), (16.0, 12.0, 2.4))
    network = NetworkChoice(tiny, device="cpu")
    figures = measure_map(MapJob(network, sizes, 0.4, 12, road_only=road_only), silent)
    json.dumps(figures)
    small, large = figures["results"]
    assert (small["voxels"], large["voxels"]) == (20 * 20 * 6, 40 * 32 * 6)  # whole tiles of 4
    assert small["voxels asked"] < large["voxels asked"]
    assert 0 < large["voxels published"] < large["voxels"]
    assert large["map [MiB]"] == pytest.approx(small["map [MiB]"] * 40 * 32 / (20 * 20))
    for step in ("density", "surfaces", "classes", "rest"):
        assert 0 <= large[f"{step} p50 [ms]"] < large["fuse p95 [ms]"]
    assert large["resident, end [MiB]"] > large["map [MiB]"]


def test_the_camera_drives_along_a_circle() -> None:
    step = np.linalg.inv(T_map_cam(0)) @ T_map_cam(1)
    assert np.linalg.norm(step[:3, 3]) == pytest.approx(0.8, rel=1e-3)
    assert step[2, 3] == pytest.approx(0.8, rel=1e-3)  # ahead, along the optical axis
    later = np.linalg.inv(T_map_cam(899)) @ T_map_cam(900)
    np.testing.assert_allclose(later, step, atol=1e-9)


def test_the_benchmark_of_the_map_prints_a_table_and_draws_it(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "map.json"
    arguments = ["--size", "8,8,2.4", "--voxel-size", "0.4", "--frames", "2", "-o", str(output)]
    assert main(["benchmark", "map", "--checkpoint", tiny, "--device", "cpu", *arguments]) == 0
    told = capsys.readouterr().out
    assert "fuse p50 [ms]" in told
    assert "8 x 8 x 2.4 m" in told
    assert json.loads(output.read_text())["job"]["frames"] == 2
    assert is_picture(output.with_suffix(".png"))
    assert main(["benchmark", "map", "--checkpoint", tiny, "--size", "0.1,8,2"]) == 2
    assert "map.size must be three lengths" in capsys.readouterr().err
