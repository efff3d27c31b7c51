# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node's map over real messages: what it publishes, refuses, saves and forgets."""

import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from models import lively_checkpoint  # noqa: E402
from nav_msgs.msg import OccupancyGrid  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile  # noqa: E402
from ros_rig import GRID_FRAME, SECOND, NodeProcess, Rig  # noqa: E402
from sensor_msgs.msg import PointCloud2  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402
from visualization_msgs.msg import MarkerArray  # noqa: E402

from scenedino_ros.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from scenedino_ros.core.config import InputSettings, MapSettings, NodeSettings  # noqa: E402
from scenedino_ros.core.errors import InputError  # noqa: E402
from scenedino_ros.core.voxels import VoxelGrid  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node.params import check_map  # noqa: E402
from scenedino_ros.node.to_msg import MAP_POINT_DTYPE, occupancy_grid_from_values  # noqa: E402
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms  # noqa: E402
from scenedino_ros.recordings.transforms import StampedTransform  # noqa: E402
from scenedino_ros.viewing.voxel_files import read_npz  # noqa: E402

pytestmark = pytest.mark.ros

ODOM = "odom"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NO_TURN = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """A robot with odometry in front of a node that keeps a small map."""
    folder = tmp_path_factory.mktemp("map")
    save_checkpoint(folder / "tiny.safetensors", lively_checkpoint())
    parameters = {
        "model.checkpoint": folder / "tiny.safetensors",
        "model.device": "cpu",
        "diagnostics.period": 0.1,
        "grid.tf_timeout": 0.2,
        "map.frame": ODOM,
        "map.robot_frame": GRID_FRAME,
        "map.size": [16.0, 16.0, 4.0],
        "map.below": 1.0,
        "map.ground_height": -0.2,
        "map.voxel_size": 0.4,
        "map.rate": 100.0,
        "map.folder": folder / "saved",
    }
    process = NodeProcess(reserve_domain(), folder / "node.txt", parameters)
    rig = Rig(process.domain)
    rig.folder = folder / "saved"
    rig.open_camera()
    rig.wait_active()
    yield rig
    rig.close()
    process.kill()


def drive(rig: Rig, x: float = 0.0, stamp_ns: int | None = None) -> int:
    """Send odometry at a place, and an image taken there."""
    stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
    pose = StampedTransform(ODOM, GRID_FRAME, stamp_ns, (x, 0.0, 0.0), NO_TURN)
    rig._tf.publish(cdr_from_transforms([pose]))
    return rig.send(stamp_ns)


def of_map(rig: Rig, key: str) -> int:
    return int(rig.status["map"][2][key])


def drive_until(rig: Rig, key: str, act=None) -> None:
    """Drive until the diagnostics count one more under a key."""
    rig.spin_until(lambda: "map" in rig.status, "an entry of the map")
    before = of_map(rig, key)
    while of_map(rig, key) == before:
        (act or (lambda: drive(rig)))()
        rig.spin_for(0.3)


def array_of(cloud: PointCloud2) -> np.ndarray:
    assert [field.name for field in cloud.fields] == list(MAP_POINT_DTYPE.names)
    return np.frombuffer(bytes(cloud.data), MAP_POINT_DTYPE)


def columns_of(grid: OccupancyGrid, cloud: PointCloud2) -> set[tuple[int, int]]:
    """Return the cells (x, y) of a grid in which a cloud of the same image has points."""
    assert cloud.header == grid.header
    points, origin = array_of(cloud), grid.info.origin.position
    x, y = (
        np.floor((points[name] - start) / grid.info.resolution).astype(int).tolist()
        for name, start in (("x", origin.x), ("y", origin.y))
    )
    return set(zip(x, y, strict=True))


def cells_of(grid: OccupancyGrid, chosen: np.ndarray) -> set[tuple[int, int]]:
    rows = chosen.reshape(grid.info.height, grid.info.width)
    return {(int(x), int(y)) for y, x in np.argwhere(rows)}


def test_nothing_is_fused_while_nobody_subscribes(rig):
    rig.spin_until(lambda: "map" in rig.status, "an entry of the map")
    for _ in range(3):
        drive(rig)
        rig.spin_for(0.2)
    assert of_map(rig, "images fused") == 0
    answer = rig.call(Trigger, "/scenedino/save_map", Trigger.Request())
    assert not answer.success
    assert "the map is empty: no image was fused" in answer.message


def test_map_is_published_in_the_fixed_frame_and_latched(rig):
    late = []
    with (
        rig.subscribe("/scenedino/map/voxels", PointCloud2) as voxels,
        rig.subscribe("/scenedino/occupancy_grid", OccupancyGrid) as grids,
        rig.subscribe("/scenedino/obstacles", PointCloud2) as obstacles,
        rig.subscribe("/scenedino/ground", PointCloud2) as ground,
        rig.subscribe("/scenedino/map/markers", MarkerArray) as markers,
    ):
        drive_until(rig, "images fused")
        cloud = voxels.next()
        points = array_of(cloud)
        assert cloud.header.frame_id == ODOM
        assert len(points) > 100
        assert (points["occupancy"] > 0.5).all()
        assert (points["age"] >= 0).all()
        assert points["x"].max() > 4  # the camera looks along x of the base
        grid = grids.next()
        assert grid.header.frame_id == ODOM
        assert (grid.info.width, grid.info.height) == (40, 40)
        assert grid.info.resolution == pytest.approx(0.4)
        assert grid.info.origin.position.z == pytest.approx(-0.2)  # the ground under the robot
        values = np.array(grid.data)
        assert set(np.unique(values)) <= set(range(-1, 101))
        assert (values == -1).any()
        assert (values >= 0).any()
        lethal, met = cells_of(grid, values == 100), columns_of(grid, obstacles.next())
        assert lethal
        assert lethal <= met  # also where the obstacle is not exposed
        assert columns_of(grid, ground.next()) <= cells_of(grid, values >= 0)
        assert sum(len(marker.points) for marker in markers.next().markers) == len(points)
        rig.node.create_subscription(PointCloud2, "/scenedino/map/voxels", late.append, LATCHED)
        rig.spin_until(lambda: late, "the latched map")


def test_map_stays_where_it_is_when_the_robot_moves_and_is_saved(rig):
    with rig.subscribe("/scenedino/map/voxels", PointCloud2) as voxels:
        drive_until(rig, "images fused", lambda: drive(rig, x=0.0))
        drive_until(rig, "images fused", lambda: drive(rig, x=2.0))
        rig.spin_for(0.3)
        points = array_of(voxels.messages[-1])
        lattice = (points["x"] - 0.2) / 0.4
        assert np.abs(lattice - lattice.round()).max() < 1e-4
    answer = rig.call(Trigger, "/scenedino/save_map", Trigger.Request())
    assert answer.success, answer.message
    saved = sorted(path.name for path in rig.folder.iterdir())
    assert len(saved) == 2
    assert saved[0] in answer.message
    assert len(read_npz(rig.folder / saved[0])) > 100


def test_image_without_odometry_is_answered_but_not_fused(rig):
    with (
        rig.subscribe("/scenedino/map/voxels", PointCloud2),
        rig.subscribe("/scenedino/voxels", PointCloud2) as voxels,
    ):
        drive_until(rig, "images fused")
        voxels.messages.clear()
        ahead = lambda: rig.send(time.time_ns() + 20 * SECOND)  # noqa: E731
        drive_until(rig, "images not fused: no transform", ahead)
        rig.spin_until(lambda: voxels.messages, "the voxels of that image")
        level, sentence, _ = rig.status["map"]
        assert level == 2
        assert "the last image was not fused: " in sentence
        assert ODOM in sentence
    rig.spin_for(0.1)


def test_jump_of_the_pose_starts_the_map_anew(rig):
    jumped = time.time_ns() + 30 * SECOND  # later than all stamps before
    with rig.subscribe("/scenedino/map/voxels", PointCloud2) as voxels:
        drive_until(rig, "images fused", lambda: drive(rig, 0.0, jumped))
        drive_until(
            rig, "restarts: the pose jumped", lambda: drive(rig, 50.0, jumped + SECOND // 20)
        )
        rig.spin_for(0.3)
        assert array_of(voxels.messages[-1])["x"].min() > 40


def test_reset_empties_the_map(rig):
    before = of_map(rig, "restarts: on request")
    late = []
    with rig.subscribe("/scenedino/map/voxels", PointCloud2) as voxels:
        drive_until(rig, "images fused")
        voxels.messages.clear()
        answer = rig.call(Trigger, "/scenedino/reset", Trigger.Request())
        assert not len(array_of(voxels.next()))
    assert answer.success
    assert "the map is empty; it had" in answer.message
    rig.node.create_subscription(OccupancyGrid, "/scenedino/occupancy_grid", late.append, LATCHED)
    rig.spin_until(lambda: late, "the latched grid")
    assert set(late[-1].data) == {-1}
    rig.spin_until(lambda: of_map(rig, "restarts: on request") == before + 1, "the count")
    assert not rig.call(Trigger, "/scenedino/save_map", Trigger.Request()).success


def test_paused_node_fuses_nothing(rig):
    with rig.subscribe("/scenedino/map/voxels", PointCloud2):
        assert rig.call(SetBool, "/scenedino/pause", SetBool.Request(data=True)).success
        rig.spin_for(0.3)
        before = of_map(rig, "images fused")
        for _ in range(3):
            drive(rig, 50.0, time.time_ns() + 40 * SECOND)
            rig.spin_for(0.2)
        assert of_map(rig, "images fused") == before
        assert rig.call(SetBool, "/scenedino/pause", SetBool.Request(data=False)).success


def test_a_map_far_from_the_origin_of_its_frame_is_warned_of(rig):
    with rig.subscribe("/scenedino/map/voxels", PointCloud2):
        drive_until(rig, "images fused", lambda: drive(rig, 5_400_000.0))
        rig.spin_until(
            lambda: "clouds round its points to 0.5 m" in rig.status["map"][2]["last problem"],
            "the warning",
        )


@pytest.mark.parametrize(
    ("of_map", "cameras", "sentence"),
    [
        ({"obstacle_heights": (2.0, 0.3)}, (), "must be two heights, the lower one first"),
        ({"obstacle_heights": (0.3,)}, (), "must be two heights"),
        ({"size": (1.0, 2.0)}, (), "map.size must be three lengths"),
        ({"frame": ODOM}, ("left", "right"), "map.robot_frame must name the robot's frame"),
        ({"frame": ODOM, "ground_height": -3.0}, (), "from -2.4 to 4 m.*from -3.2 to -1 m"),
        ({"frame": ODOM, "ground_height": 2.5}, (), "from -2.4 to 4 m.*from 2.3 to 4.5 m"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(of_map, cameras, sentence):
    settings = NodeSettings(
        map=replace(MapSettings(), **of_map), input=replace(InputSettings(), cameras=cameras)
    )
    with pytest.raises(InputError, match=sentence):
        check_map(settings)


def test_a_box_that_just_holds_ground_and_obstacles_is_accepted():
    fitting = replace(MapSettings(), frame=ODOM, below=0.3, voxel_size=0.3, size=(6.0, 6.0, 2.3))
    check_map(NodeSettings(map=fitting))  # 2.3 - 0.3 is less than 2


def test_rows_of_the_occupancy_grid_run_along_x():
    grid = VoxelGrid((-1.0, 2.0, 0.0), (3, 2, 4), 0.5)
    values = np.array([[0, 10], [-1, 20], [100, 30]], np.int8)
    header = OccupancyGrid().header
    message = occupancy_grid_from_values(values, grid, -0.25, header)
    assert (message.info.width, message.info.height) == (3, 2)
    assert list(message.data) == [0, -1, 100, 10, 20, 30]
    place = message.info.origin.position
    assert (place.x, place.y, place.z) == (-1.0, 2.0, -0.25)
