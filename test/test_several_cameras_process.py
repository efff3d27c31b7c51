# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Front and two sides of a synthetic drive, played into one node in a process of its own."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")
pytest.importorskip("open3d", reason="Open3D cannot be imported")

from lifecycle_msgs.msg import Transition  # noqa: E402
from models import lively_checkpoint  # noqa: E402
from plain_street import plain_street  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from ros_rig import NodeProcess, Rig, as_stamp  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2  # noqa: E402
from std_srvs.srv import SetBool  # noqa: E402

from scenedino_ros.cameras.from_msg import camera_from_info, rgb_from_compressed  # noqa: E402
from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.voxels import VoxelGrid  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.inference.predictor import Predictor  # noqa: E402
from scenedino_ros.inference.query import VoxelQuery  # noqa: E402
from scenedino_ros.node.health import Level  # noqa: E402
from scenedino_ros.node.tf_message_type import TF_STATIC_QOS, tf_message_class  # noqa: E402
from scenedino_ros.recordings.rosbag2.reader import BagReader  # noqa: E402
from scenedino_ros.streets import drive, render  # noqa: E402
from scenedino_ros.streets.record import DriveRecorder  # noqa: E402
from scenedino_ros.streets.rig import RigSettings  # noqa: E402

pytestmark = pytest.mark.ros

# By the camera's name at the node: its name in the recording, which has rectified images ahead
# and fisheye images to the sides, and the axis of base_link that it looks along.
CAMERAS = {
    "front": ("camera_00", "image_rect", (1, 0)),
    "left": ("camera_02", "image_raw", (0, 1)),
    "right": ("camera_03", "image_raw", (0, -1)),
}
GRID = VoxelGrid((-6.4, -6.4, -2.0), (32, 32, 8), 0.4)  # around the car
EVERYTHING = 1e-9  # 1/m; every voxel is denser
SMALL = render.RenderSettings(
    RigSettings(tuple(name for name, *_ in CAMERAS.values()), width=160, fisheye_width=96), 1
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Return a recording of one frame, as `scenedino synthesize` writes them."""
    path = tmp_path_factory.mktemp("drive") / "street"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "make_street", plain_street)
        drive._street.cache_clear()
        render._renderer.cache_clear()
        street = drive.StreetDrive(frames=1)
        with DriveRecorder(path, street, SMALL) as recorder:
            for frames in render.render_drive(street, SMALL, workers=1):
                recorder.write(frames)
    drive._street.cache_clear()
    render._renderer.cache_clear()
    return path


class CarRig(Rig):
    """The cameras of the car, which send the frame of the recording as often as asked."""

    def __init__(self, domain: int, recording: Path) -> None:
        super().__init__(domain)
        with BagReader(recording) as bag:
            self._found = {message.topic: message.message for message in bag.messages(raw=True)}
        self._static = self.node.create_publisher(tf_message_class(), "/tf_static", TF_STATIC_QOS)
        self._static.publish(self._found["/tf_static"])
        self._images = {name: self._publisher(CompressedImage, name, "image") for name in CAMERAS}
        self._infos = {name: self._publisher(CameraInfo, name, "camera_info") for name in CAMERAS}

    def _publisher(self, kind: type, name: str, topic: str) -> Any:
        suffix = "/compressed" if kind is CompressedImage else ""
        return self.node.create_publisher(kind, f"/{name}/{topic}{suffix}", 10)

    def image(self, name: str) -> CompressedImage:
        camera, kind, _ = CAMERAS[name]
        return deserialize_message(self._found[f"/{camera}/{kind}/compressed"], CompressedImage)

    def info(self, name: str) -> CameraInfo:
        return deserialize_message(self._found[f"/{CAMERAS[name][0]}/camera_info"], CameraInfo)

    def play(self, *names: str, infos: bool = True, stamp_ns: int | None = None) -> None:
        """Send one frame of some cameras, at one stamp."""
        stamp = as_stamp(time.time_ns() if stamp_ns is None else stamp_ns)
        for name in names:
            image, info = self.image(name), self.info(name)
            image.header.stamp = info.header.stamp = stamp
            if infos:
                self._infos[name].publish(info)
            self._images[name].publish(image)

    def play_until(self, happened, what: str, *names: str, **options: Any) -> None:
        """Send frames of some cameras, all of them by default, until something has happened."""

        def again() -> bool:
            if not happened():
                self.play(*(names or CAMERAS), **options)
                self.spin_for(0.1)
            return happened()

        self.spin_until(again, what)

    def pause(self, paused: bool) -> str:
        answer = self.call(SetBool, "/scenedino/pause", SetBool.Request(data=paused))
        assert answer.success
        return answer.message


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    save_checkpoint(
        folder / "tiny.safetensors", replace(lively_checkpoint(), density_threshold=EVERYTHING)
    )
    process = NodeProcess(
        reserve_domain(),
        folder / "log.txt",
        {
            "model.checkpoint": folder / "tiny.safetensors",
            "model.device": "cpu",
            "model.engine": "torch",
            "model.precision": "float32",
            "voxels.exposed_only": False,
            "diagnostics.period": 0.1,
            "diagnostics.stale_after": 0.7,
            "input.cameras": list(CAMERAS),
            "input.transport": "compressed",
            "grid.frame": "base_link",
            "grid.origin": list(GRID.origin),
            "grid.shape": list(GRID.shape),
            "grid.voxel_size": GRID.voxel_size,
            "grid.tf_timeout": 1.0,
            "map.frame": "base_link",  # the car stands
            "map.robot_frame": "base_link",
            "map.size": [16.0, 16.0, 4.0],
            "map.below": 1.0,
            "map.voxel_size": GRID.voxel_size,
            "map.rate": 100.0,
        },
    )
    yield process
    process.kill()


@pytest.fixture(scope="module")
def car(node, recording):
    rig = CarRig(node.domain, recording)
    rig.wait_active("front")
    yield rig
    rig.close()


@pytest.fixture
def clouds(car):
    inboxes = {name: car.subscribe(f"/scenedino/{name}/voxels", PointCloud2) for name in CAMERAS}
    yield inboxes
    for inbox in inboxes.values():
        inbox.close()


def all_answered(car, clouds):
    return lambda: all(inbox.messages for inbox in clouds.values())


def wait_for_all_outcomes(car):
    def outcomes(name: str) -> int:
        drops = [key for key in car.values(name) if key.startswith("dropped: ")]
        return sum(car.count(key, name) for key in ("images out", "images nobody wanted", *drops))

    car.spin_until(
        lambda: all(car.count("images in", name) == outcomes(name) for name in CAMERAS),
        "all images accounted for",
    )


def test_each_camera_has_its_cloud_where_tf_puts_it(car, clouds):
    car.play_until(all_answered(car, clouds), "clouds of all cameras")
    predictor, rig = Predictor(lively_checkpoint(), device="cpu"), SMALL.rig.rig()
    query = VoxelQuery(EVERYTHING, hidden=predictor.classes.ids(("sky",)))
    for name, (camera, _, axis) in CAMERAS.items():
        cloud = clouds[name].messages[0]
        assert cloud.header.frame_id == "base_link"
        expected = predictor.voxels(
            predictor.encode(
                rgb_from_compressed(car.image(name)),
                camera_from_info(car.info(name), rectified=False),
            ),
            GRID,
            rig[camera].T_base_cam,
            query,
        )
        found = np.frombuffer(cloud.data, np.float32).reshape(-1, 7)[:, :3]
        centers = {
            tuple(center) for center in expected.centers().astype(np.float32).round(2).tolist()
        }
        common = len(centers & {tuple(point) for point in found.round(2).tolist()})
        # A class may differ where two are close, and so may whether it is sky.
        assert common >= 0.99 * max(len(found), len(centers)) > 100
        assert (found[:, :2] @ np.array(axis)).mean() > 1.0


def test_one_map_has_what_all_cameras_see(car):
    sides = dict.fromkeys(CAMERAS, False)
    with car.subscribe("/scenedino/map/voxels", PointCloud2) as maps:

        def seen_to_all_sides() -> bool:
            for cloud in maps.messages[-1:]:
                assert cloud.header.frame_id == "base_link"
                found = np.frombuffer(cloud.data, np.float32).reshape(-1, 8)[:, :2]
                for name, (_, _, axis) in CAMERAS.items():
                    along = found @ np.array(axis)
                    across = np.abs(found @ np.array([-axis[1], axis[0]]))
                    sides[name] = bool(((along > 4) & (across < 1)).any())
            return all(sides.values())

        car.play_until(seen_to_all_sides, f"voxels on all sides, {sides}")


def test_only_topics_of_cameras_are_there(car):
    topics = dict(car.node.get_topic_names_and_types())
    assert {f"/scenedino/{name}/depth/image" for name in CAMERAS} <= set(topics)
    assert "/scenedino/voxels" not in topics
    assert car.node.count_subscribers("/image/compressed") == 0


def test_a_silent_camera_is_reported_while_the_others_are_answered(car, clouds, node):
    def reported() -> bool:
        level, sentence = car.verdict("right")
        return level == Level.STALE and "no image on /right/image/compressed" in sentence

    car.play_until(reported, "a report about the silent camera", "front", "left")
    done = {name: car.count("images out", name) for name in CAMERAS}
    car.play_until(
        lambda: all(car.count("images out", name) > done[name] for name in ("front", "left")),
        "answers for the others",
        *("front", "left"),
    )
    assert car.count("images out", "right") == done["right"]
    assert car.verdict("front")[0] != Level.STALE
    assert "latency left" in car.status
    log = node.log.read_text()
    assert "[scenedino.right]: nothing comes out: no image on /right/image" in log
    assert "active: /left/image/compressed -> /scenedino/left/voxels" in log
    assert "Traceback" not in log


def test_time_that_runs_backwards_is_the_matter_of_one_camera(car, clouds):
    car.play_until(all_answered(car, clouds), "clouds of all cameras")
    car.play("left", stamp_ns=time.time_ns() - 100_000_000_000)
    counted = "dropped: time ran backwards"
    car.spin_until(lambda: car.count(counted, "left") > 0, "the jump to be counted")
    assert [car.count(counted, name) for name in CAMERAS] == [0, 1, 0]
    for inbox in clouds.values():
        inbox.messages.clear()
    car.play_until(all_answered(car, clouds), "clouds of all cameras")


def test_a_paused_node_drops_images_and_says_so(car, clouds, node):
    assert car.pause(False) == "not paused: images are processed as before"
    car.play_until(all_answered(car, clouds), "clouds of all cameras")
    assert car.pause(True).startswith("paused: images are dropped until")
    car.spin_until(lambda: "paused for" in car.verdict("front")[1], "the pause in diagnostics")
    wait_for_all_outcomes(car)  # the image at work is finished
    encoded = {name: car.count("images encoded", name) for name in CAMERAS}
    dropped = "dropped: paused"
    car.play_until(
        lambda: all(car.count(dropped, name) >= 3 for name in CAMERAS), "images dropped"
    )
    assert all(car.verdict(name)[0] == Level.OK for name in CAMERAS)
    for name in CAMERAS:
        clouds[name].messages.clear()
        assert car.count("images encoded", name) == encoded[name]
    assert car.pause(True).startswith("paused already, for ")
    answer = car.pause(False)
    assert answer.startswith("images are processed again after a pause of ")
    car.spin_until(lambda: "paused" not in car.verdict("front")[1], "the end of the pause")
    total = sum(car.count(dropped, name) for name in CAMERAS)
    assert answer.endswith(f"; images dropped meanwhile: {total}")
    car.play_until(all_answered(car, clouds), "clouds of all cameras")
    assert "image skipped, paused" not in node.log.read_text()


def test_each_calibration_outlives_deactivation(car, clouds):
    car.play_until(all_answered(car, clouds), "clouds of all cameras")
    assert car.change_state(Transition.TRANSITION_DEACTIVATE)
    assert car.change_state(Transition.TRANSITION_ACTIVATE)
    for inbox in clouds.values():
        inbox.messages.clear()
    car.play_until(all_answered(car, clouds), "clouds of all cameras", infos=False)
