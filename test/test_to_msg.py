# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Voxels as clouds and markers, and the other messages the node publishes."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("visualization_msgs.msg", reason="needs the ROS message packages")
pytest.importorskip("rclpy", reason="needs rclpy")

from models import same_camera  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402
from sensor_msgs.msg import PointField  # noqa: E402
from std_msgs.msg import ColorRGBA, Header  # noqa: E402
from visualization_msgs.msg import Marker, MarkerArray  # noqa: E402

from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera  # noqa: E402
from scenedino_ros.cameras.from_msg import camera_from_info, rgb_from_image  # noqa: E402
from scenedino_ros.core.errors import InputError, SceneDinoError  # noqa: E402
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable  # noqa: E402
from scenedino_ros.core.voxels import SemanticVoxels, VoxelGrid  # noqa: E402
from scenedino_ros.node import marker_cdr, to_msg  # noqa: E402
from scenedino_ros.node.marker_cdr import MarkerSerializer  # noqa: E402
from scenedino_ros.viewing.heat_colors import color_similarity  # noqa: E402

pytestmark = pytest.mark.ros

GRID = VoxelGrid((0.0, -25.6, -2.0), (64, 128, 32), 0.2)
TABLE = ClassTable(
    ("road", "pole", "car"), ((10, 20, 30), (40, 50, 60), (255, 128, 0)), (7, 13, 1)
)


def header(frame: str = "map") -> Header:
    message = Header(frame_id=frame)
    message.stamp.sec, message.stamp.nanosec = 17, 250_000_000
    return message


def voxels_of(labels, density=None, grid=GRID, seed=0) -> SemanticVoxels:
    """Return voxels with the given labels at random places."""
    rng = np.random.default_rng(seed)
    count = len(labels)
    return SemanticVoxels(
        grid,
        np.sort(rng.choice(grid.size, count, replace=False)).astype(np.int64),
        np.asarray(labels, np.uint8),
        rng.random(count, np.float32),
        rng.random(count, np.float32) if density is None else np.asarray(density, np.float32),
    )


def random_voxels(count: int, classes: int = 19) -> SemanticVoxels:
    return voxels_of(np.random.default_rng(7).integers(0, classes, count))


def points_of(cloud) -> np.ndarray:
    """Read a cloud by what its fields say, as any subscriber does."""
    types = {PointField.FLOAT32: "<f4", PointField.UINT32: "<u4"}
    dtype = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [types[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, dtype)


# Clouds


def test_cloud_holds_what_the_voxels_hold():
    voxels = voxels_of([0, 1, 2, 2, 255])
    cloud = to_msg.cloud_from_voxels(voxels, TABLE, header())
    assert (cloud.header.frame_id, cloud.header.stamp.sec) == ("map", 17)
    assert (cloud.height, cloud.width, cloud.is_dense, cloud.is_bigendian) == (1, 5, True, False)
    assert (cloud.point_step, cloud.row_step, len(cloud.data)) == (28, 140, 140)
    points = points_of(cloud)
    expected = np.array(GRID.origin) + 0.2 * (
        np.stack(np.unravel_index(voxels.index, GRID.shape), axis=-1) + 0.5
    )
    np.testing.assert_allclose(
        np.stack([points["x"], points["y"], points["z"]], axis=-1), expected, atol=1e-5
    )
    assert points["label"].tolist() == [0, 1, 2, 2, 255]
    np.testing.assert_array_equal(points["confidence"], voxels.confidence)
    np.testing.assert_array_equal(points["density"], voxels.density)


def test_cloud_colors_are_packed_as_rviz_reads_them():
    cloud = to_msg.cloud_from_voxels(voxels_of([2, 255]), TABLE, header())
    rgb = next(field for field in cloud.fields if field.name == "rgb")
    assert rgb.datatype == PointField.FLOAT32
    packed = points_of(cloud)["rgb"].view(np.uint32)
    red, green, blue = packed >> 16 & 255, packed >> 8 & 255, packed & 255
    assert (red[0], green[0], blue[0]) == (255, 128, 0)
    assert red[1] == green[1] == blue[1] > 100  # seen on a dark background
    assert not (packed >> 24).any()


def test_a_cloud_of_similarities_has_them_as_intensity_and_as_colours():
    voxels = voxels_of([0, 2, 255])
    similarity = np.array([1.0, 0.8, -0.7], np.float32)
    cloud = to_msg.cloud_from_similarity(voxels, similarity, header())
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity", "rgb", "label"]
    assert (cloud.point_step, cloud.row_step, len(cloud.data)) == (24, 72, 72)
    points = points_of(cloud)
    np.testing.assert_array_equal(points["intensity"], similarity)
    np.testing.assert_array_equal(points["x"], voxels.centers()[:, 0].astype(np.float32))
    assert points["label"].tolist() == [0, 2, 255]
    packed = points["rgb"].view(np.uint32)
    colors = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)
    np.testing.assert_array_equal(colors, color_similarity(similarity))
    assert colors[0].sum() > colors[1].sum() > colors[2].sum()


def test_empty_cloud_is_valid():
    cloud = to_msg.cloud_from_voxels(voxels_of([]), TABLE, header())
    assert (cloud.width, cloud.row_step, len(cloud.data), len(cloud.fields)) == (0, 0, 0, 7)
    assert deserialize_message(serialize_message(cloud), type(cloud)) == cloud


def test_cloud_survives_serialization():
    cloud = to_msg.cloud_from_voxels(random_voxels(500), CITYSCAPES19, header())
    assert deserialize_message(serialize_message(cloud), type(cloud)) == cloud


def test_cloud_is_read_by_sensor_msgs_py():
    point_cloud2 = pytest.importorskip(
        "sensor_msgs_py.point_cloud2", reason="sensor_msgs_py is not here"
    )
    voxels = random_voxels(200)
    cloud = to_msg.cloud_from_voxels(voxels, CITYSCAPES19, header())
    points = point_cloud2.read_points(cloud)
    np.testing.assert_array_equal(points["label"], voxels.label)
    np.testing.assert_array_equal(points["x"], voxels.centers()[:, 0].astype(np.float32))


# Markers


def cubes_of(marker) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in marker.points]).reshape(-1, 3)


def markers_by_loop(voxels: SemanticVoxels, classes: ClassTable) -> dict[str, list[list[float]]]:
    """Group the centres by class, one voxel after the other."""
    groups: dict[str, list[list[float]]] = {}
    for label, center in zip(voxels.label, voxels.centers(), strict=True):
        name = classes.names[label] if label < len(classes) else "unlabelled"
        groups.setdefault(name, []).append([float(value) for value in center])
    return groups


def test_markers_are_a_cube_list_per_class():
    voxels = voxels_of([2, 0, 2, 255, 2])
    markers, left_out = to_msg.markers_from_voxels(voxels, TABLE, header(), max_cubes=100)
    assert left_out == 0
    assert [m.ns for m in markers.markers] == ["road", "pole", "car", "unlabelled"]
    assert len({(m.ns, m.id) for m in markers.markers}) == 4  # RViz complains about equal ones
    road, pole, car, unlabelled = markers.markers
    expected = markers_by_loop(voxels, TABLE)
    for marker in (road, car, unlabelled):
        assert marker.action == Marker.ADD
        assert marker.type == Marker.CUBE_LIST
        assert marker.header.frame_id == "map"
        assert cubes_of(marker).tolist() == expected[marker.ns]
        assert (marker.scale.x, marker.scale.y, marker.scale.z) == (0.2, 0.2, 0.2)
        assert marker.pose.orientation.w == 1.0
        assert (marker.lifetime.sec, marker.lifetime.nanosec, marker.frame_locked) == (0, 0, False)
        assert not marker.colors
    assert car.color == ColorRGBA(r=1.0, g=128 / 255, b=0.0, a=1.0)


def shown_after(messages) -> dict[tuple[str, int], int]:
    """Return what a display shows after the messages: number of cubes by namespace and id."""
    shown: dict[tuple[str, int], int] = {}
    for message in messages:
        for marker in message.markers:
            key = (marker.ns, marker.id)
            if marker.action == Marker.DELETEALL:
                shown.clear()
            elif marker.action == Marker.DELETE:
                shown.pop(key, None)
            else:
                shown[key] = len(marker.points)
    return shown


def test_a_message_replaces_all_of_the_one_before():
    frames = [voxels_of([0, 0, 1, 255]), voxels_of([2]), voxels_of([]), voxels_of([1, 1])]
    messages = [
        to_msg.markers_from_voxels(frame, TABLE, header(), max_cubes=9)[0] for frame in frames
    ]
    assert shown_after(messages[:1]) == {("road", 0): 2, ("pole", 0): 1, ("unlabelled", 0): 1}
    assert shown_after(messages[:2]) == {("car", 0): 1}
    assert shown_after(messages[:3]) == {}
    assert shown_after(messages) == {("pole", 0): 2}
    actions = {marker.action for message in messages for marker in message.markers}
    assert Marker.DELETEALL not in actions  # RViz would build all objects anew
    assert shown_after([messages[0], to_msg.clearing_markers(header())]) == {}


def test_beyond_the_cap_every_class_keeps_its_share_and_its_densest():
    labels = [0] * 60 + [1] * 30 + [2] * 10
    density = np.random.default_rng(1).permutation(100)
    voxels = voxels_of(labels, density)
    groups, left_out = to_msg.cube_groups(voxels, TABLE, 50)
    assert left_out == 50
    assert [len(group) for group in groups] == [30, 15, 5, 0]
    centers = voxels.centers()
    for label, group in enumerate(groups[:3]):
        mine = np.flatnonzero(voxels.label == label)
        densest = np.sort(mine[np.argsort(-density[mine])[: len(group)]])
        np.testing.assert_array_equal(group, centers[densest])


@pytest.mark.parametrize("cap", [0, 1, 7, 50, 99, 100, 101])
def test_the_cap_is_kept_exactly(cap):
    voxels = voxels_of(np.random.default_rng(2).integers(0, 5, 100))
    groups, left_out = to_msg.cube_groups(voxels, TABLE, cap)
    assert sum(map(len, groups)) == min(cap, 100)
    assert left_out == 100 - min(cap, 100)


def test_negative_cap_is_refused():
    with pytest.raises(InputError, match="max_cubes must be >= 0, got -1"):
        to_msg.cube_groups(voxels_of([0]), TABLE, -1)


# Markers as bytes


@pytest.mark.parametrize("frame", ["", "m", "ma", "map", "base", "camera_left_optical"])
@pytest.mark.parametrize("labels", [[], [0], [1, 1, 2], [255], [0, 1, 2, 255, 3]])
def test_serialized_markers_equal_the_ordinary_ones(frame, labels):
    voxels = voxels_of(labels)
    serializer = MarkerSerializer()
    data, left_out = serializer.serialize(voxels, TABLE, header(frame), max_cubes=4)
    ordinary, expected = to_msg.markers_from_voxels(voxels, TABLE, header(frame), max_cubes=4)
    assert serializer.is_fast
    assert left_out == expected
    assert isinstance(data, bytes)
    # Through the wire as well: colours are float32 there.
    through = deserialize_message(serialize_message(ordinary), MarkerArray)
    assert deserialize_message(data, MarkerArray) == through


def test_many_serialized_cubes_equal_the_ordinary_ones():
    voxels = random_voxels(5000)
    data, left_out = MarkerSerializer().serialize(voxels, CITYSCAPES19, header(), max_cubes=3000)
    markers = deserialize_message(data, MarkerArray)
    ordinary, _ = to_msg.markers_from_voxels(voxels, CITYSCAPES19, header(), max_cubes=3000)
    assert left_out == 2000
    for fast, slow in zip(markers.markers, ordinary.markers, strict=True):
        assert (fast.ns, fast.action) == (slow.ns, slow.action)
        np.testing.assert_array_equal(cubes_of(fast), cubes_of(slow))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"\x00\x07" + data[2:],
        lambda data: data.replace(marker_cdr._MARK, bytes(8)),
        lambda data: data.replace(marker_cdr._MARK, marker_cdr._MARK + bytes(8)),
        lambda data: data + bytes(4),
    ],
    ids=["another encoding", "no lifetime", "a new field before the points", "one at the end"],
)
def test_another_layout_is_noticed_and_ordinary_messages_are_sent(monkeypatch, spoil):
    def serialize(message):
        is_template = any(marker.lifetime.sec for marker in message.markers)
        data = serialize_message(message)
        return spoil(data) if is_template else data

    monkeypatch.setattr(marker_cdr, "serialize_message", serialize)
    voxels = random_voxels(40)
    serializer = MarkerSerializer()
    data, left_out = serializer.serialize(voxels, CITYSCAPES19, header(), max_cubes=30)
    assert serializer.is_fast is False
    assert left_out == 10
    ordinary, _ = to_msg.markers_from_voxels(voxels, CITYSCAPES19, header(), max_cubes=30)
    through = deserialize_message(serialize_message(ordinary), MarkerArray)
    assert deserialize_message(data, MarkerArray) == through


# Images, cameras, class tables


@pytest.mark.parametrize(
    ("encoding", "dtype", "shape"),
    [
        ("rgb8", np.uint8, (6, 5, 3)),
        ("bgr8", np.uint8, (6, 5, 3)),
        ("mono8", np.uint8, (6, 5)),
        ("mono16", np.uint16, (6, 5)),
        ("32FC1", np.float32, (6, 5)),
    ],
)
def test_images_hold_the_array_whatever_its_strides(encoding, dtype, shape):
    values = (np.arange(np.prod(shape)).reshape(shape) * 2.5).astype(dtype)
    for array in (
        values,
        values[::-1],
        values[:, ::2],
        values.astype(values.dtype.newbyteorder()),
    ):
        msg = to_msg.image_from_array(array, encoding, header("camera"))
        assert (msg.encoding, msg.header.frame_id, msg.is_bigendian) == (encoding, "camera", 0)
        assert (msg.height, msg.width) == array.shape[:2]
        assert msg.step * msg.height == len(msg.data)
        read = np.frombuffer(msg.data, np.dtype(dtype).newbyteorder("<")).reshape(array.shape)
        np.testing.assert_array_equal(read, array)


def test_image_round_trip():
    rgb = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    msg = to_msg.image_from_array(rgb, "rgb8", header())
    np.testing.assert_array_equal(rgb_from_image(msg), rgb)


@pytest.mark.parametrize(
    ("shape", "dtype", "encoding", "message"),
    [
        ((4, 4), np.uint8, "rgb8", "a rgb8 image needs uint8 values in 3 channel"),
        ((4, 4, 3), np.float32, "rgb8", "got float32 of shape"),
        ((4, 4), np.float64, "32FC1", "needs float32 values"),
        ((4, 4, 1), np.uint8, "mono8", "got uint8 of shape"),
        ((4, 4), np.uint8, "mono9", "encoding must be one of rgb8, .* got 'mono9'"),
    ],
)
def test_images_of_the_wrong_type_are_refused(shape, dtype, encoding, message):
    with pytest.raises(InputError, match=message):
        to_msg.image_from_array(np.zeros(shape, dtype), encoding, header())


def test_camera_info_round_trip():
    pinhole = PinholeCamera.from_focal(300.5, 299.25, 160.0, 90.5, 320, 180)
    info = to_msg.camera_info_from_pinhole(pinhole, header("camera"))
    assert info.r.tolist() == np.eye(3).reshape(-1).tolist()
    assert info.header.frame_id == "camera"
    for rectified in (False, True):
        camera = camera_from_info(info, rectified=rectified)
        assert isinstance(camera, CalibratedCamera)
        assert same_camera(camera.pinhole, pinhole)
        assert not camera.is_distorted


def test_label_info(monkeypatch):
    monkeypatch.setattr(to_msg, "LabelInfo", lambda **fields: SimpleNamespace(**fields))
    monkeypatch.setattr(to_msg, "VisionClass", lambda **fields: SimpleNamespace(**fields))
    info = to_msg.label_info_from_classes(TABLE, header(), 0.5)
    assert [(c.class_id, c.class_name) for c in info.class_map] == [
        (0, "road"),
        (1, "pole"),
        (2, "car"),
    ]
    assert info.threshold == 0.5


def test_label_info_of_vision_msgs():
    vision_msgs = pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not here")
    info = to_msg.label_info_from_classes(TABLE, header(), 0.5)
    assert isinstance(info, vision_msgs.LabelInfo)
    assert deserialize_message(serialize_message(info), vision_msgs.LabelInfo) == info


def test_label_info_without_vision_msgs_is_refused(monkeypatch):
    monkeypatch.setattr(to_msg, "LabelInfo", None)
    with pytest.raises(SceneDinoError, match="vision_msgs, which is not installed"):
        to_msg.label_info_from_classes(TABLE, header(), 0.5)
