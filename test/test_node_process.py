# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node as a process of its own, driven over topics and services as its users drive it."""

import math
import os
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from geometry_msgs.msg import PointStamped  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from models import lively_checkpoint  # noqa: E402
from ros_rig import (  # noqa: E402
    BASE_CAMERA,  # noqa: E402, I001
    CAMERA_FRAME,
    GRID_FRAME,
    HEIGHT,
    SECOND,
    START_NS,
    WIDTH,
    NodeProcess,
    Rig,
    as_stamp,
    info_message,
    picture,
)
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from scenedino_ros.cameras.from_msg import camera_from_info  # noqa: E402
from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.voxels import VoxelGrid  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery  # noqa: E402
from scenedino_ros.node.to_msg import SIMILARITY_DTYPE  # noqa: E402
from scenedino_ros.recordings.transforms import matrix_from_rotation  # noqa: E402

pytestmark = pytest.mark.ros

CYCLES = int(os.environ.get("SCENEDINO_TEST_CYCLES", "8"))
GRID = VoxelGrid((0.0, -6.4, -2.0), (32, 32, 8), 0.4)
EVERYTHING = 1e-9  # 1/m; every voxel is denser
OK, WARN, ERROR, STALE = range(4)
VOXELS, MARKERS = "/scenedino/voxels", "/scenedino/markers"
SIMILARITY = "/scenedino/similarity"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, replace(lively_checkpoint(), density_threshold=EVERYTHING))
    return path


@pytest.fixture(scope="module")
def processes(checkpoint, tmp_path_factory):
    """Start both nodes at once: most of their start is the import of torch."""
    logs = tmp_path_factory.mktemp("logs")
    common = {
        "model.checkpoint": checkpoint,
        "model.device": "cpu",
        "model.engine": "torch",
        "model.precision": "float32",  # what its voxels are held to
        "diagnostics.period": 0.1,
        "diagnostics.stale_after": 0.7,
        "grid.shape": list(GRID.shape),
        "grid.voxel_size": GRID.voxel_size,
    }
    street = {"grid.frame": GRID_FRAME, "grid.origin": list(GRID.origin), "grid.tf_timeout": 1.0}
    bag = {"input.transport": "compressed", "input.pairing": "exact"}
    bag |= {"voxels.density_threshold": 0.2}
    started = (
        NodeProcess(reserve_domain(), logs / "street.txt", {**common, **street}),
        NodeProcess(reserve_domain(), logs / "bag.txt", {**common, **bag, "use_sim_time": True}),
    )
    yield started
    for process in started:
        process.kill()


@pytest.fixture(scope="module")
def street_rig(processes):
    """A camera with TF in front of a node that started by itself."""
    rig = Rig(processes[0].domain)
    rig.open_camera()
    rig.wait_active()
    yield rig
    rig.close()


@pytest.fixture
def street(street_rig):
    """The same, with its parameters as they were, and good frames flowing to a subscriber."""
    with street_rig.subscribe(VOXELS, PointCloud2) as clouds:
        street_rig.send_until_counted("published: voxels")
        street_rig.clouds = clouds
        clouds.messages.clear()
        yield street_rig


@pytest.fixture(scope="module")
def bag_rig(processes):
    """A recording in front of a node that follows its clock."""
    rig = Rig(processes[1].domain)
    rig.wait_active()
    yield rig
    rig.close()


@pytest.fixture
def asking(street_rig):
    """Return a function that publishes a point and returns nothing; keeps the answers."""
    publisher = street_rig.node.create_publisher(PointStamped, "/scenedino/query", 1)
    street_rig.spin_until(lambda: publisher.get_subscription_count() > 0, "a node that listens")

    def ask(frame, position):
        message = PointStamped()
        message.header.frame_id = frame
        message.point.x, message.point.y, message.point.z = map(float, position)
        publisher.publish(message)

    with street_rig.subscribe(SIMILARITY, PointCloud2) as answers:
        ask.answers = answers
        yield ask
    street_rig.node.destroy_publisher(publisher)


# The street: raw images, TF, the latest camera_info.


def test_a_missing_transform_skips_the_frame_and_says_so(street_rig):
    def send_without_tf():
        stamp_ns = time.time_ns()
        street_rig.send_info(stamp_ns)
        street_rig.send_image(stamp_ns)

    with street_rig.subscribe(VOXELS, PointCloud2) as clouds:
        street_rig.send_until_counted("dropped: no transform", send_without_tf)
        assert CAMERA_FRAME in street_rig.values()["last problem"]
        assert clouds.messages == []
        street_rig.send_until_counted("images out")
        clouds.next("the first cloud")


def test_a_cloud_holds_what_the_network_finds(street, checkpoint):
    stamp_ns = street.send()
    cloud = street.clouds.next()
    while cloud.header.stamp != as_stamp(stamp_ns):
        cloud = street.clouds.next()
    assert cloud.header.frame_id == GRID_FRAME
    names = [field.name for field in cloud.fields]
    assert names == ["x", "y", "z", "rgb", "label", "confidence", "density"]
    assert (cloud.height, cloud.is_dense, cloud.point_step) == (1, True, 28)
    predictor = Predictor(lively_checkpoint(), device="cpu")
    camera = camera_from_info(info_message(as_stamp(stamp_ns)), rectified=False)
    sky = predictor.classes.ids(("sky",))
    expected = predictor.voxels(
        predictor.encode(picture(), camera),
        GRID,
        matrix_from_rotation(*BASE_CAMERA),
        VoxelQuery(EVERYTHING, hidden=sky, exposed_only=True),
    )
    values = np.frombuffer(cloud.data, np.float32).reshape(-1, 7)
    labels = np.frombuffer(cloud.data, np.uint32).reshape(-1, 7)[:, 4]
    # Another number of threads sums in another order, so a class may differ where two are close.
    assert abs(len(values) - len(expected)) <= 0.01 * len(expected)
    found = dict(zip(map(tuple, values[:, :3].round(2).tolist()), labels, strict=True))
    wanted = dict(
        zip(
            map(tuple, expected.centers().astype(np.float32).round(2).tolist()),
            expected.label,
            strict=True,
        )
    )
    same = sum(found.get(center) == label for center, label in wanted.items())
    assert same >= 0.99 * len(wanted) > 100


def test_a_point_is_answered_by_the_similarity_of_all_voxels(street, asking):
    cloud = street.clouds.messages[-1] if street.clouds.messages else street.clouds.next()
    positions = np.frombuffer(cloud.data, np.float32).reshape(-1, 7)[:, :3]
    T_base_camera = matrix_from_rotation(*BASE_CAMERA)
    wanted = positions[len(positions) // 3].astype(float)
    in_camera = T_base_camera[:3, :3].T @ (wanted - T_base_camera[:3, 3])
    for frame, position in (("", wanted), (GRID_FRAME, wanted), (CAMERA_FRAME, in_camera)):
        asking(frame, position + 0.05)  # no other image comes
        answer = asking.answers.next()
        assert answer.header.frame_id == GRID_FRAME
        points = np.frombuffer(answer.data, SIMILARITY_DTYPE)
        assert abs(len(points) - len(positions)) <= 0.01 * len(positions)
        best = points[points["intensity"].argmax()]
        assert best["intensity"] == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose([best["x"], best["y"], best["z"]], wanted, atol=1e-3)
        assert points["intensity"].min() < 0.5


def test_a_point_that_cannot_be_compared_is_explained(street, asking, processes):
    street.send_until_counted("published: voxels")
    before = street.count("published: similarity")
    for frame, position, sentence in (
        (GRID_FRAME, (900, 0, 0), "the nearest occupied voxel must be within 2 m, and is 88"),
        (
            "nowhere",
            (1, 0, 0),
            "no similarity to the point: no transform from 'nowhere' to 'base'",
        ),
        (GRID_FRAME, (math.nan, 0, 0), "its coordinates must be finite, got [nan, 0.0, 0.0]"),
    ):
        asking(frame, position)
        street.spin_until(lambda s=sentence: s in processes[0].log.read_text(), sentence)
    assert street.count("published: similarity") == before


def test_a_point_without_an_image_is_answered_by_the_next_one(street_rig, asking):
    street_rig.send_until_counted("images nobody wanted")
    asking(GRID_FRAME, (6.0, 0.0, 0.0))
    street_rig.spin_for(0.3)
    assert not asking.answers.messages
    street_rig.send_until_counted("published: similarity")
    assert asking.answers.next().width > 100


BAD_FRAMES = {
    "unknown encoding": ("bad image", "encoding", {"encoding": "purple8"}),
    "data cut short": ("bad image", "bytes", {"data": bytes(1000)}),
    "camera not calibrated": ("bad camera_info", "not calibrated", {"info": {"k": [0.0] * 9}}),
    "K not finite": ("bad camera_info", "finite", {"info": {"k": [math.nan] * 9}}),
    "wrong number of coefficients": ("bad camera_info", "coefficients", {"info": {"d": [0.1]}}),
    "size unlike camera_info": (
        "image and camera_info do not fit",
        str(WIDTH // 2),
        {"info": {"width": WIDTH // 2}},
    ),
    "another camera's frame": ("no transform", "elsewhere", {"frame_id": "elsewhere"}),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_a_bad_frame_is_explained_and_the_next_one_used(street, case):
    reason, words, changes = BAD_FRAMES[case]
    street.send_until_counted(f"dropped: {reason}", lambda: street.send(**changes))
    street.spin_until(lambda: words in street.values()["last problem"], f"'{words}' said")
    street.send_until_counted("images out")
    street.spin_until(lambda: street.verdict()[0] in (OK, WARN), "a node that is well")


def test_each_reason_is_logged_once_in_a_while(street, processes):
    for _ in range(2):
        street.send_until_counted("dropped: bad image", lambda: street.send(encoding="purple8"))
    log = processes[0].log.read_text()
    assert 1 <= log.count("image skipped, bad image") < street.count("dropped: bad image")
    assert "Traceback" not in log


def test_time_that_jumps_back_voids_transforms_and_goes_on(street):
    stamps = iter(range(time.time_ns() - 1000 * SECOND, time.time_ns(), SECOND // 10))
    street.send_until_counted("dropped: time ran backwards", lambda: street.send(next(stamps)))
    # Ten seconds of transforms are kept behind the newest: without a fresh start none of these
    # would be taken in.
    street.send_until_counted("images out", lambda: street.send(next(stamps)))
    street.spin_until(
        lambda: "behind the node's clock" in street.verdict()[1], "a word about the clock"
    )


def test_camera_info_that_is_late_is_waited_for(street):
    wait_for_all_outcomes(street)  # deactivating throws away what waits
    # Only cleaning up forgets the calibration.
    assert street.change_state(Transition.TRANSITION_DEACTIVATE)
    assert street.change_state(Transition.TRANSITION_CLEANUP)
    assert street.change_state(Transition.TRANSITION_CONFIGURE)
    assert street.change_state(Transition.TRANSITION_ACTIVATE)
    street.spin_until(lambda: street.values()["state"] == "active", "an active node")
    street.clouds.messages.clear()

    def send_without_info():
        nonlocal stamp_ns
        stamp_ns = time.time_ns()
        street.send_tf(stamp_ns)
        street.send_image(stamp_ns)

    stamp_ns = 0
    street.send_until_counted("dropped: no camera_info", send_without_info)
    street.spin_until(lambda: street.verdict()[0] == ERROR, "an error")
    assert "camera_info" in street.verdict()[1]
    street.send_info(stamp_ns)
    assert street.clouds.next().header.stamp == as_stamp(stamp_ns)


def test_a_calibration_holds_until_another_comes_whatever_its_stamp(street):
    street.send_info(SECOND)  # decades before the images

    def send_without_info():
        stamp_ns = time.time_ns()
        street.send_tf(stamp_ns)
        street.send_image(stamp_ns)

    street.send_until_counted("images out", send_without_info)
    wait_for_all_outcomes(street)  # deactivating throws away what waits
    assert street.change_state(Transition.TRANSITION_DEACTIVATE)
    assert street.change_state(Transition.TRANSITION_ACTIVATE)
    street.spin_until(lambda: street.values()["state"] == "active", "an active node")
    infos = street.count("camera_info in")
    street.send_until_counted("images out", send_without_info)
    assert street.count("camera_info in") == infos


def test_camera_info_that_changes_holds_at_once(street):
    with (
        street.subscribe("/scenedino/depth/camera_info", CameraInfo) as infos,
        street.subscribe("/scenedino/depth/image", Image) as depths,
    ):
        street.send_until_counted("published: depth/image")
        infos.messages.clear()
        for focal in (90.0, 45.0):
            stamp_ns = street.send(info={"focal": focal})
            info = infos.next()
            while info.header.stamp != as_stamp(stamp_ns):
                info = infos.next()
            assert (info.width, info.height) == (WIDTH // 4, HEIGHT // 4)
            assert info.k[0] == pytest.approx(focal / 4)
            assert info.header.frame_id == CAMERA_FRAME
        depth = depths.next()
        assert (depth.encoding, depth.width, depth.height) == ("32FC1", WIDTH // 4, HEIGHT // 4)
        values = np.frombuffer(depth.data, np.float32)
        assert (((values > 0) & (values <= 80)) | np.isposinf(values)).all()


def test_a_camera_that_stops_and_comes_back(street):
    street.spin_until(lambda: street.verdict()[0] == STALE, "a word that images stopped")
    assert "no image on /image" in street.verdict()[1]
    street.close_camera()
    street.spin_until(lambda: "nobody publishes /image" in street.verdict()[1], "no publisher")
    street.open_camera()
    street.send_until_counted("images out")
    street.spin_until(lambda: street.verdict()[0] != STALE, "a node that is well")


def test_what_nobody_subscribes_to_is_not_computed(street_rig):
    street_rig.send_until_counted("images nobody wanted")
    encoded, clouds = street_rig.count("images encoded"), street_rig.count("published: voxels")
    for _ in range(3):
        street_rig.send_until_counted("images nobody wanted")
    assert street_rig.count("images encoded") == encoded
    street_rig.spin_until(lambda: "nobody subscribes" in street_rig.verdict()[1], "the reason")
    with street_rig.subscribe("/scenedino/depth/image", Image) as depths:
        street_rig.send_until_counted("published: depth/image")
        assert depths.next().header.frame_id == CAMERA_FRAME
        assert street_rig.count("images encoded") > encoded
        assert street_rig.count("published: voxels") == clouds
    street_rig.send_until_counted("images nobody wanted")
    depths = street_rig.count("published: depth/image")
    street_rig.send_until_counted("images nobody wanted")
    assert street_rig.count("published: depth/image") == depths


def wait_for_all_outcomes(street):
    outcomes = ["images out", "images nobody wanted"]
    outcomes += [name for name in street.values() if name.startswith("dropped: ")]
    street.spin_until(
        lambda: street.count("images in") == sum(map(street.count, outcomes)), "all accounted for"
    )


def test_every_image_is_accounted_for(street):
    for _ in range(30):
        street.send()
    wait_for_all_outcomes(street)
    stages = street.status["latency"][2]
    for stage in ("wait", "decode", "transform", "encode", "voxels", "grid messages"):
        times = [float(stages[f"{stage} p{p} [ms]"]) for p in (50, 95, 99)]
        assert 0 <= times[0] <= times[1] <= times[2]


def test_live_parameters_hold_from_the_next_frame(street):
    street.send_until_counted("images out")
    everything = street.clouds.next().width
    assert street.set_parameter("voxels.density_threshold", 1e9) == (True, "")
    street.spin_for(0.1)
    street.send_until_counted("images out")
    street.send_until_counted("images out")
    assert street.clouds.messages[-1].width == 0
    assert street.set_parameter("voxels.density_threshold", 0.0) == (True, "")  # the checkpoint's
    with street.subscribe(MARKERS, MarkerArray) as arrays:
        assert street.set_parameter("voxels.max_cubes", 7) == (True, "")
        street.spin_for(0.1)
        street.send_until_counted("published: markers")
        street.send_until_counted("published: markers")
        markers = arrays.messages[-1].markers
        shown = [m for m in markers if m.action == Marker.ADD]
        assert sum(len(m.points) for m in shown) == 7
        assert {m.ns for m in shown} <= set(lively_checkpoint().classes.names)
        width = street.clouds.messages[-1].width
        assert street.count("cubes left out") == width - 7
        assert abs(width - everything) <= 0.01 * everything


def test_the_inside_of_what_is_occupied_is_published_on_request(street):
    street.send_until_counted("published: voxels")
    surface = street.clouds.next()
    assert street.set_parameter("voxels.exposed_only", False) == (True, "")
    street.spin_for(0.1)
    street.send_until_counted("published: voxels")
    street.send_until_counted("published: voxels")
    everything = street.clouds.messages[-1]
    assert street.set_parameter("voxels.exposed_only", True) == (True, "")
    some, all_of_them = (
        set(map(tuple, np.frombuffer(cloud.data, np.float32).reshape(-1, 7)[:, :3].tolist()))
        for cloud in (surface, everything)
    )
    assert 100 < len(some) < 0.9 * len(all_of_them)
    # Among other points the sum of a class rounds differently, and one may become sky.
    assert len(some - all_of_them) <= 0.01 * len(some)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("voxels.density_threshold", -1.0, "voxels.density_threshold must be in 0.0 to inf 1/m"),
        ("voxels.hidden_classes", ["dog"], "voxels.hidden_classes: unknown class 'dog'"),
        ("render.downscale", 100, "render.downscale"),
        ("grid.voxel_size", 1.0, "read-only"),
    ],
)
def test_a_wrong_change_is_refused_with_the_reason(street_rig, name, value, words):
    before = street_rig.get_parameter(name)
    accepted, reason = street_rig.set_parameter(name, value)
    assert not accepted
    assert words in reason
    assert street_rig.get_parameter(name) == before


def test_parameters_describe_themselves(street_rig):
    described = street_rig.describe("render.downscale")
    assert "divided" in described.description
    assert (described.integer_range[0].from_value, described.integer_range[0].to_value) == (1, 32)
    assert not described.read_only
    assert street_rig.describe("model.device").read_only
    assert "auto, cpu, cuda" in street_rig.describe("model.device").additional_constraints
    assert list(street_rig.get_parameter("grid.static_transform")) == []


def test_a_manager_takes_the_node_through_its_states(street_rig):
    assert street_rig.node.count_publishers(VOXELS) == 1
    assert street_rig.change_state(Transition.TRANSITION_DEACTIVATE)
    street_rig.spin_until(
        lambda: street_rig.verdict() == (WARN, "the node is inactive, not active"), "the state"
    )
    street_rig.spin_until(lambda: street_rig.node.count_publishers(VOXELS) == 0, "no topic")
    assert not street_rig.change_state(Transition.TRANSITION_DEACTIVATE)
    assert street_rig.change_state(Transition.TRANSITION_CLEANUP)
    street_rig.spin_until(
        lambda: street_rig.verdict() == (WARN, "the node is unconfigured, not active"), "the state"
    )
    assert street_rig.status["network"][1] == "not loaded"
    assert not street_rig.change_state(Transition.TRANSITION_ACTIVATE)
    assert street_rig.change_state(Transition.TRANSITION_CONFIGURE)
    assert street_rig.change_state(Transition.TRANSITION_ACTIVATE)
    street_rig.spin_until(lambda: "weights" in street_rig.status["network"][2], "the network")
    assert street_rig.status["network"][1] == lively_checkpoint().provenance["weights"]


def test_going_through_all_states_leaves_no_memory_behind(street_rig, processes):
    cycle = (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    )
    with street_rig.subscribe(VOXELS, PointCloud2):
        resident = []
        for _ in range(CYCLES):
            for transition in cycle:
                assert street_rig.change_state(transition)
            street_rig.send_until_counted("images out")
            resident.append(processes[0].resident_mib())
    growth = resident[-1] - resident[len(resident) // 4]
    assert growth < 20, f"resident memory, MiB: {[round(r) for r in resident]}"


def test_ctrl_c_ends_a_busy_node_at_once(street_rig, processes):
    for name, value in (("render.downscale", 1), ("render.n_samples", 512)):
        assert street_rig.set_parameter(name, value) == (True, "")
    with street_rig.subscribe("/scenedino/features/image", Image):
        street_rig.spin_for(0.3)
        street_rig.send()
        street_rig.spin_for(0.3)
        processes[0].interrupt()
        processes[0].interrupt()
        code, seconds = processes[0].wait()
    assert code == 0
    assert seconds < 20
    assert "Traceback" not in processes[0].log.read_text()


# The bag: compressed images, a simulated clock, camera_info of exactly the image's stamp.


def test_exact_pairs_are_found_in_any_order(bag_rig):
    jpeg = cv2.imencode(".jpg", picture())[1].tobytes()
    clock = bag_rig.node.create_publisher(Clock, "/clock", 10)
    stamps = [START_NS + i * SECOND // 10 for i in range(1000)]

    def show_time(stamp_ns):
        clock.publish(Clock(clock=as_stamp(stamp_ns + SECOND // 20)))
        bag_rig.spin_for(0.05)

    bag_rig.spin_until(
        lambda: bag_rig.verdict() == (STALE, "nobody publishes /image/compressed"), "the reason"
    )
    bag_rig.open_camera(CompressedImage)
    with bag_rig.subscribe("/scenedino/semantic/image", Image) as views:
        while not views.messages:  # until all have found each other
            show_time(stamps[0])
            bag_rig.send_jpeg(stamps[0], jpeg)
            bag_rig.send_info(stamps[0])
            bag_rig.spin_for(0.2)
            stamps.pop(0)
        views.messages.clear()
        late, lonely, early = stamps[:3]
        show_time(late)
        bag_rig.send_jpeg(late, jpeg)
        bag_rig.spin_for(0.2)
        bag_rig.send_info(late)
        while views.next().header.stamp != as_stamp(late):
            pass  # answers to the ones before, where the machine is slow
        bag_rig.send_jpeg(lonely, jpeg)
        bag_rig.send_info(early)
        bag_rig.spin_for(0.2)
        show_time(early)
        bag_rig.send_jpeg(early, jpeg)
        view = views.next()
        assert view.header.stamp == as_stamp(early)
        assert (view.encoding, view.width, view.height) == ("mono8", WIDTH // 4, HEIGHT // 4)
        bag_rig.spin_until(lambda: bag_rig.count("dropped: no camera_info") == 1, "one lonely")
        bag_rig.send_jpeg(stamps[3], jpeg[: len(jpeg) // 2])
        bag_rig.send_info(stamps[3])
        bag_rig.spin_until(lambda: bag_rig.count("dropped: bad image") == 1, "half a file")
    # By the clock of the recording, which is years behind the wall's.
    assert float(bag_rig.status["latency"][2]["stamp to publish p50 [ms]"]) < 60_000
