# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Transforms: numbers to matrices, the tree of frames, and the bytes of TFMessage."""

import math
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from tf_messages import stamped_from_message

from scenedino_ros.core.errors import InputError, TransformError
from scenedino_ros.core.limits import FRAMES
from scenedino_ros.recordings import transforms
from scenedino_ros.recordings.tf_cdr import cdr_from_transforms, transforms_from_cdr
from scenedino_ros.recordings.transform_tree import TransformTooOldError, TransformTree
from scenedino_ros.recordings.transforms import (
    StampedTransform,
    checked,
    inverse,
    matrix_from_message,
    matrix_from_numbers,
    matrix_from_rotation,
    nanoseconds,
    numbers_from_matrix,
    slerp,
)

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
NO_TURN = (0.0, 0.0, 0.0, 1.0)
QUARTER_LEFT = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))  # 90 degrees about z


def unit_quaternions(count: int, seed: int = 0) -> np.ndarray:
    quaternions = np.random.default_rng(seed).normal(size=(count, 4))
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)


def link(parent, child, stamp_ns=START, move=(0.0, 0.0, 0.0), turn=NO_TURN) -> StampedTransform:
    return StampedTransform(parent, child, stamp_ns, tuple(move), tuple(turn))


def random_link(parent, child, rng, stamp_ns=START) -> StampedTransform:
    turn = rng.normal(size=4)
    return link(parent, child, stamp_ns, rng.normal(size=3), turn / np.linalg.norm(turn))


def matrix_of(transform: StampedTransform) -> np.ndarray:
    return matrix_from_rotation(transform.translation, transform.rotation)


# --- numbers and matrices ------------------------------------------------------------------------


def test_a_quarter_turn_left_maps_x_to_y():
    T_parent_child = matrix_from_numbers([1.0, 2.0, 3.0, *QUARTER_LEFT])
    np.testing.assert_allclose(T_parent_child @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-15)
    np.testing.assert_allclose(T_parent_child @ [0, 0, 5, 1], [1, 2, 8, 1], atol=1e-15)


def test_optical_frame_of_a_camera_that_looks_ahead():
    # From the body (x ahead, z up) to the optical frame (z ahead, y down), the usual quaternion.
    T_body_optical = matrix_from_numbers([0, 0, 0, -0.5, 0.5, -0.5, 0.5])
    np.testing.assert_allclose(T_body_optical @ [0, 0, 1, 1], [1, 0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(T_body_optical @ [0, 1, 0, 1], [0, 0, -1, 1], atol=1e-15)


def test_rotation_equals_scipy():
    Rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    for quaternion in unit_quaternions(50):
        ours = matrix_from_rotation((0, 0, 0), quaternion)[:3, :3]
        np.testing.assert_allclose(ours, Rotation.from_quat(quaternion).as_matrix(), atol=1e-14)


def test_tf_transformations_gives_the_same_to_the_last_bit(monkeypatch):
    pytest.importorskip("tf_transformations", reason="tf_transformations is not here")
    moves = [((1.5, -2.0, 30.0), quaternion) for quaternion in unit_quaternions(50)]
    assert transforms.tf_transformations is not None
    theirs = [matrix_from_rotation(*move) for move in moves]
    monkeypatch.setattr(transforms, "tf_transformations", None)
    np.testing.assert_array_equal([matrix_from_rotation(*move) for move in moves], theirs)


def test_tf_transformations_is_used_where_it_is_installed(monkeypatch):
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    asked = []

    def quaternion_matrix(quaternion):
        asked.append(quaternion)
        return half_turn.copy()

    installed = SimpleNamespace(quaternion_matrix=quaternion_matrix)
    monkeypatch.setattr(transforms, "tf_transformations", installed)
    T = matrix_from_numbers([1.0, 2.0, 3.0, 0.0, 0.0, 0.6, 0.8])
    np.testing.assert_array_equal(T[:3, :3], half_turn[:3, :3])
    np.testing.assert_array_equal(T[:3, 3], [1.0, 2.0, 3.0])
    assert asked == [(0.0, 0.0, 0.6, 0.8)]


def test_numbers_to_matrix_and_back():
    half_turns = [(1.0, 0, 0, 0), (0, 1.0, 0, 0), (0, 0, 1.0, 0), NO_TURN]
    for quaternion in [*unit_quaternions(50), *half_turns]:
        quaternion = np.asarray(quaternion)
        quaternion = quaternion if quaternion[3] >= 0 else -quaternion
        T = matrix_from_numbers([0.5, -2.0, 30.0, *quaternion])
        numbers = numbers_from_matrix(T)
        np.testing.assert_allclose(matrix_from_numbers(numbers), T, atol=1e-12)
        assert numbers[6] >= 0


def test_inverse_undoes_a_transform():
    rng = np.random.default_rng(1)
    T = matrix_of(random_link("a", "b", rng))
    np.testing.assert_allclose(inverse(T) @ T, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(inverse(T), np.linalg.inv(T), atol=1e-14)


def test_messages_are_read_by_their_fields():
    transform = SimpleNamespace(
        translation=SimpleNamespace(x=1.0, y=2.0, z=3.0),
        rotation=SimpleNamespace(x=0.0, y=0.0, z=QUARTER_LEFT[2], w=QUARTER_LEFT[3]),
    )
    stamp = SimpleNamespace(sec=1_700_000_000, nanosec=7)
    message = SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id="odom"),
        child_frame_id="base",
        transform=transform,
    )
    assert nanoseconds(stamp) == START + 7
    expected = link("odom", "base", START + 7, (1.0, 2.0, 3.0), QUARTER_LEFT)
    assert stamped_from_message(message) == expected
    np.testing.assert_allclose(
        matrix_from_message(transform), matrix_from_numbers([1, 2, 3, *QUARTER_LEFT])
    )


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([0, 0, 0, 0, 0, 1], "seven numbers.*got 6"),
        ([0, 0, 0, 0, 0, 0, 0], "length 1"),
        ([0, 0, 0, 1, 1, 0, 0], "length 1.41"),
        ([0, math.nan, 0, 0, 0, 0, 1], "finite"),
        ([0, 0, math.inf, 0, 0, 0, 1], "finite"),
        ([0, 0, 0, 0, 0, 0, math.nan], "finite"),
    ],
)
def test_wrong_numbers_are_refused(numbers, message):
    with pytest.raises(InputError, match=message):
        matrix_from_numbers(numbers)


@pytest.mark.parametrize(
    "matrix",
    [np.eye(3), np.full((4, 4), np.nan), np.diag([2.0, 1, 1, 1]), np.diag([-1.0, 1, 1, 1])],
    ids=["shape", "finite", "scaled", "mirrored"],
)
def test_a_matrix_that_is_not_rigid_is_refused(matrix):
    with pytest.raises(InputError, match="a transform must be"):
        numbers_from_matrix(matrix)


# --- slerp ---------------------------------------------------------------------------------------


def test_half_of_a_quarter_turn_is_an_eighth():
    eighth = (0, 0, math.sin(math.pi / 8), math.cos(math.pi / 8))
    np.testing.assert_allclose(slerp(NO_TURN, QUARTER_LEFT, 0.5), eighth, atol=1e-15)


def test_slerp_equals_scipy():
    scipy_transform = pytest.importorskip("scipy.spatial.transform")
    Rotation = scipy_transform.Rotation
    for first, second in zip(unit_quaternions(40, 1), unit_quaternions(40, 2), strict=True):
        ends = Rotation.from_quat([first, second])
        for ratio in (0.0, 0.1, 0.5, 0.99, 1.0):
            expected = scipy_transform.Slerp([0, 1], ends)(ratio)
            ours = Rotation.from_quat(slerp(tuple(first), tuple(second), ratio))
            assert (expected.inv() * ours).magnitude() < 1e-9


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-4])
def test_slerp_keeps_its_digits_between_close_neighbours(angle):
    turned = (0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2))
    middle = slerp(NO_TURN, turned, 0.25)
    assert math.hypot(*middle) == pytest.approx(1.0, abs=1e-15)
    assert 2 * middle[2] == pytest.approx(angle / 4, rel=1e-9, abs=1e-9 * 1e-3)


def test_slerp_takes_the_shorter_way():
    negated = tuple(-number for number in QUARTER_LEFT)
    middle = np.array(slerp(NO_TURN, negated, 0.5))
    assert abs(middle @ np.array(slerp(NO_TURN, QUARTER_LEFT, 0.5))) == pytest.approx(1.0)


# --- the tree ------------------------------------------------------------------------------------


def chain(seed: int = 3) -> tuple[TransformTree, dict[str, np.ndarray]]:
    """A tree map > odom > base > (camera > optical, lidar) and T_map_frame of every frame."""
    rng = np.random.default_rng(seed)
    tree, T_map = TransformTree(), {"map": np.eye(4)}
    for parent, child, static in (
        ("map", "odom", False),
        ("odom", "base", False),
        ("base", "camera", True),
        ("camera", "optical", True),
        ("base", "lidar", True),
    ):
        transform = random_link(parent, child, rng)
        assert tree.add(transform, static)
        T_map[child] = T_map[parent] @ matrix_of(transform)
    return tree, T_map


def test_every_pair_of_frames_is_composed_along_the_tree():
    tree, T_map = chain()
    assert tree.frames() == sorted(T_map)
    for target in T_map:
        for source in T_map:
            expected = np.linalg.inv(T_map[target]) @ T_map[source]
            found = tree.lookup(target, source, START)
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_way_goes_through_the_nearest_common_frame():
    # Through the root, map coordinates of 1e9 m would leave centimetres of rounding.
    tree = TransformTree()
    tree.add(link("map", "base", move=(1e9, -1e9, 0)))
    tree.add(link("base", "camera", move=(0.1, 0.2, 0.3)), static=True)
    tree.add(link("base", "lidar", move=(1.0, 0, 0)), static=True)
    found = tree.lookup("lidar", "camera", START)
    np.testing.assert_allclose(found[:3, 3], [-0.9, 0.2, 0.3], atol=1e-15)
    # Nor is the map needed for it: at a time without map, the two are still where they are.
    np.testing.assert_array_equal(tree.lookup("lidar", "camera", START + 100 * SECOND), found)


def test_between_two_stamps_position_is_linear_and_rotation_slerp():
    tree = TransformTree()
    tree.add(link("odom", "base", START, (0, 0, 0), NO_TURN))
    tree.add(link("odom", "base", START + SECOND, (4, 8, 0), QUARTER_LEFT))
    found = tree.lookup("odom", "base", START + SECOND // 4)
    turn = math.pi / 8
    np.testing.assert_allclose(found[:3, 3], [1, 2, 0], atol=1e-12)
    np.testing.assert_allclose(found[:2, 0], [math.cos(turn), math.sin(turn)], atol=1e-12)


def test_at_a_stamp_the_transform_is_the_one_received():
    rng = np.random.default_rng(5)
    tree = TransformTree()
    sent = [random_link("odom", "base", rng, START + index * 10_000_000) for index in range(20)]
    for index in rng.permutation(20):  # in any order
        tree.add(sent[index])
    for transform in sent:
        found = tree.lookup("odom", "base", transform.stamp_ns)
        np.testing.assert_allclose(found, matrix_of(transform), atol=1e-14)


def test_a_transform_stamped_years_ahead_silences_the_others_for_three_only():
    said = []
    tree = TransformTree(horizon=10.0, report=lambda age, text: said.append(text))
    tree.add(link("odom", "base", START, move=(1, 0, 0)))
    tree.add(link("odom", "lidar", START))
    years = 10**8 * SECOND
    assert tree.add(link("odom", "base", START + years, move=(99, 0, 0)))
    with pytest.raises(TransformTooOldError, match="the oldest of 'base' is at 18"):
        tree.lookup("odom", "base", START)
    taken = [tree.add(link("odom", "base", START + n, move=(2, 0, 0))) for n in (1, 2, 3, 4)]
    assert taken == [False, False, True, True]
    assert tree.lookup("odom", "base", START + 4)[0, 3] == 2
    assert tree.lookup("odom", "lidar", START)[0, 3] == 0  # of the others nothing is forgotten
    first, _, third = said
    assert first == (
        "a transform is left out: 1700000000.000000001 s is 100000000.000 s before the newest one "
        "of 'base'"
    )
    assert third.startswith("the transforms of 'base' start anew: 1700000000.000000003 s is ")


def test_a_late_transform_now_and_then_makes_nothing_start_anew():
    said = []
    tree = TransformTree(horizon=10.0, report=lambda age, text: said.append(text))
    for turn in range(6):
        assert tree.add(link("odom", "base", START + turn))
        assert not tree.add(link("odom", "base", START - 11 * SECOND))
    assert tree.lookup("odom", "base", START)[0, 3] == 0
    assert all(sentence.startswith("a transform is left out") for sentence in said)
    tree.clear()
    assert tree.add(link("odom", "base", START - 100 * SECOND))


@pytest.mark.parametrize("static", [False, True])
def test_the_number_of_frames_is_bounded(static):
    tree = TransformTree()
    for number in range(FRAMES - 1):  # and odom
        tree.add(link("odom", f"frame {number}"), static)
    with pytest.raises(TransformError, match="at most 10000 frames are kept, so 'one more' is"):
        tree.add(link("odom", "one more"), static)
    assert tree.add(link("odom", "frame 7", START + 1), static)
    with pytest.raises(TransformError, match="at most 10000 frames are kept, so 'frame 7' is"):
        tree.add(link("another parent", "frame 7", START + 2), static)
    assert len(tree.frames()) == FRAMES


def test_a_tree_is_climbed_as_far_as_by_tf2():
    tree = TransformTree()
    for number in range(1001):
        tree.add(link(f"frame {number + 1}", f"frame {number}", move=(1, 0, 0)), static=True)
    assert tree.lookup("frame 1000", "frame 0", START)[0, 3] == 1000
    with pytest.raises(TransformError, match="more than 1000 frames are above 'frame 0'"):
        tree.lookup("frame 1001", "frame 0", START)


@pytest.mark.parametrize("far", [1.1e9, 1e39, -1e308])
def test_a_translation_beyond_all_robots_is_refused(far):
    with pytest.raises(TransformError, match=r"expected a translation within 1e\+09 m, got"):
        TransformTree().add(link("odom", "base", move=(0.0, far, 0.0)))


def test_a_second_transform_at_a_stamp_replaces_the_first():
    tree = TransformTree()
    tree.add(link("odom", "base", move=(1, 0, 0)))
    tree.add(link("odom", "base", move=(2, 0, 0)))
    assert tree.lookup("odom", "base", START)[0, 3] == 2


def test_a_static_transform_holds_at_all_times():
    tree = TransformTree()
    tree.add(link("base", "camera", stamp_ns=0, move=(1, 2, 3)), static=True)
    for stamp in (1, START, START + 10**6 * SECOND):
        assert tree.lookup("base", "camera", stamp)[2, 3] == 3


def test_a_frame_that_changes_its_parent_keeps_the_old_one_until_then():
    tree = TransformTree()
    tree.add(link("odom", "map", move=(100, 0, 0)), static=True)
    tree.add(link("map", "base", START, (1, 0, 0)))
    tree.add(link("odom", "base", START + SECOND, (2, 0, 0)))
    assert tree.lookup("map", "base", START + SECOND // 2)[0, 3] == 1
    assert tree.lookup("odom", "base", START + SECOND)[0, 3] == 2


def test_a_frame_asked_for_in_itself_is_the_identity():
    np.testing.assert_array_equal(TransformTree().lookup("cam", "/cam", START), np.eye(4))


def test_leading_slashes_of_ros_1_names_are_ignored():
    tree = TransformTree()
    tree.add(link("/base", "/camera", move=(1, 0, 0)), static=True)
    assert tree.frames() == ["base", "camera"]
    assert tree.lookup("/base", "camera", START)[0, 3] == 1


def test_the_result_belongs_to_the_caller():
    tree, T_map = chain()
    tree.lookup("base", "camera", START)[:] = 0
    tree.lookup("map", "optical", START)[:] = 0
    np.testing.assert_allclose(tree.lookup("map", "optical", START), T_map["optical"], atol=1e-12)


def test_transforms_beyond_the_horizon_are_dropped():
    tree = TransformTree(horizon=2.0)
    for step in range(6):
        assert tree.add(link("odom", "base", START + step * SECOND))
    assert not tree.add(link("odom", "base", START + 2 * SECOND))
    tree.lookup("odom", "base", START + 3 * SECOND)
    with pytest.raises(TransformTooOldError, match=r"oldest of 'base' is at 1700000003\.0"):
        tree.lookup("odom", "base", START + 2 * SECOND)


def test_clearing_forgets_what_moves_and_keeps_what_is_static():
    tree, _ = chain()
    late = START + 1000 * SECOND
    tree.add(link("map", "odom", late))
    tree.clear()
    tree.lookup("base", "optical", START)
    with pytest.raises(TransformError, match="since the clock jumped back"):
        tree.lookup("map", "optical", START)
    assert tree.add(link("map", "odom", START, (7, 0, 0)))  # older than what was known
    assert tree.lookup("map", "odom", START)[0, 3] == 7


@pytest.mark.parametrize(
    ("target", "source", "message"),
    [
        (
            "mop",
            "base",
            "frame 'mop' is unknown, there are base, camera, lidar, map, odom, optical",
        ),
        ("map", "cam", "no transform from 'cam' to 'map' at 1700000000.000000000 s: frame 'cam'"),
        ("map", "drone", "separate trees, below 'world' and 'map'"),
    ],
)
def test_frames_without_a_way_between_them_are_refused(target, source, message):
    tree, _ = chain()
    if source == "drone":
        tree.add(link("world", "drone"), static=True)
    with pytest.raises(TransformError, match=message):
        tree.lookup(target, source, START)


def test_an_empty_tree_says_so():
    with pytest.raises(TransformError, match="no transform has been received"):
        TransformTree().lookup("map", "base", START)


def test_nothing_is_extrapolated():
    tree = TransformTree()
    tree.add(link("odom", "base", START))
    for wrong, error, message in (
        (SECOND // 10, TransformError, r"newest of 'base' is at 1700000000\.0+ s, 0\.100 s"),
        (
            -SECOND // 10,
            TransformTooOldError,
            r"oldest of 'base' is at 1700000000\.0+ s, 0\.100 s",
        ),
    ):
        with pytest.raises(TransformError, match=message) as caught:
            tree.lookup("odom", "base", START + wrong)
        assert type(caught.value) is error


def test_a_loop_is_refused():
    tree = TransformTree()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        tree.add(link(parent, child), static=True)
    tree.add(link("x", "y"), static=True)
    with pytest.raises(TransformError, match="loop: b -> a -> c -> b"):
        tree.lookup("x", "b", START)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (link("base", "/base"), "'base' is given as its own parent"),
        (link("", "base"), "two frames"),
        (link("base", "/"), "two frames"),
        (link("a", "b", move=(math.nan, 0, 0)), "from 'b' to 'a'.*finite"),
        (link("a", "b", turn=(0, 0, 0, math.inf)), "finite"),
        (link("a", "b", turn=(0, 0, 0, 0)), "length 1"),
        (link("a", "b", turn=(0, 0, 0, 1.1)), "length 1.1"),
    ],
)
def test_a_transform_that_cannot_be_is_not_taken(transform, message):
    tree = TransformTree()
    with pytest.raises(TransformError, match=message):
        tree.add(transform)
    assert tree.frames() == []


def test_a_rounded_quaternion_is_taken_and_normalised():
    assert math.hypot(*checked(link("a", "b", turn=(0, 0, 0.7071, 0.7071))).rotation) == 1.0


def test_a_stamp_of_zero_is_answered_by_static_transforms_alone():
    tree, T_map = chain()
    expected = np.linalg.inv(T_map["lidar"]) @ T_map["optical"]
    np.testing.assert_allclose(tree.lookup("lidar", "optical", 0), expected, atol=1e-12)
    with pytest.raises(TransformTooOldError, match="'base' moves, and the stamp 0 is none"):
        tree.lookup("odom", "optical", 0)
    with pytest.raises(TransformError, match="the time must be >= 0"):
        tree.lookup("base", "camera", -1)


@pytest.mark.parametrize("horizon", [0.0, -1.0, math.nan, math.inf])
def test_a_wrong_horizon_is_refused(horizon):
    with pytest.raises(InputError, match="must be > 0 s"):
        TransformTree(horizon)


def test_the_tree_equals_tf2():
    tf2_ros = pytest.importorskip("tf2_ros", reason="tf2_ros comes with a full ROS installation")
    from geometry_msgs.msg import TransformStamped
    from rclpy.time import Time

    rng = np.random.default_rng(11)
    tree, buffer = TransformTree(), tf2_ros.Buffer()
    frames = ["map", "odom", "base", "camera", "lidar", "mast"]
    for index, child in enumerate(frames[1:], start=1):
        parent = frames[rng.integers(index)]
        static = bool(index > 3)
        for step in range(1 if static else 25):
            sent = random_link(parent, child, rng, START + step * 40_000_000)
            message = TransformStamped()
            message.header.frame_id, message.child_frame_id = parent, child
            message.header.stamp = Time(nanoseconds=sent.stamp_ns).to_msg()
            move, turn = message.transform.translation, message.transform.rotation
            move.x, move.y, move.z = sent.translation
            turn.x, turn.y, turn.z, turn.w = sent.rotation
            tree.add(sent, static)
            (buffer.set_transform_static if static else buffer.set_transform)(message, "test")
    for offset in (-1, 0, 1, 39_999_999, 500_000_001, 24 * 40_000_000, 24 * 40_000_000 + 1):
        for target in frames:
            for source in frames:
                stamp = START + offset
                try:
                    found = buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
                except tf2_ros.TransformException:
                    with pytest.raises(TransformError):
                        tree.lookup(target, source, stamp)
                    continue
                np.testing.assert_allclose(
                    tree.lookup(target, source, stamp),
                    matrix_from_message(found.transform),
                    atol=1e-9,
                )


# --- the bytes of TFMessage ----------------------------------------------------------------------

SENT = [
    link("map", "odom", START + 123456789, (1.5, -2.0, 1e-9), QUARTER_LEFT),
    link("odom", "a", START, (0, 0, 0), NO_TURN),
    link("odom", "a frame with ü in its name", START, (1e6, 0, 0), (0.5, 0.5, -0.5, 0.5)),
]


def test_one_transform_is_these_bytes():
    expected = (
        b"\x00\x01\x00\x00"  # plain CDR, little endian
        + struct.pack("<I", 1)
        + struct.pack("<iI", 5, 7)
        + struct.pack("<I", 2) + b"a\x00" + b"\x00\x00"
        + struct.pack("<I", 3) + b"bc\x00" + b"\x00" + b"\x00\x00\x00\x00"
        + struct.pack("<7d", 1, 2, 3, 0, 0, 0, 1)
    )  # fmt: skip
    assert cdr_from_transforms([link("a", "bc", 5 * SECOND + 7, (1, 2, 3))]) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_what_is_written_is_read_again(count):
    assert transforms_from_cdr(cdr_from_transforms(SENT[:count])) == SENT[:count]


def test_the_bytes_equal_those_of_rosbags():
    typesys = pytest.importorskip("rosbags.typesys")
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    ours = cdr_from_transforms(SENT)
    message = store.deserialize_cdr(ours, "tf2_msgs/msg/TFMessage")
    assert [stamped_from_message(transform) for transform in message.transforms] == SENT
    assert bytes(store.serialize_cdr(message, "tf2_msgs/msg/TFMessage")) == ours
    big_endian = store.serialize_cdr(message, "tf2_msgs/msg/TFMessage", little_endian=False)
    assert transforms_from_cdr(big_endian) == SENT


def test_a_time_before_1970_survives():
    early = [link("a", "b", -SECOND // 2)]
    assert transforms_from_cdr(cdr_from_transforms(early)) == early


@pytest.mark.parametrize("length", [0, 3, 4, 7, 20, 30, 60, 100, 150])
def test_bytes_that_end_early_are_refused(length):
    with pytest.raises(InputError, match="damaged|plain CDR"):
        transforms_from_cdr(cdr_from_transforms(SENT)[:length])


def test_other_damage_is_refused():
    good = cdr_from_transforms(SENT)
    for damaged, message in (
        (b"\x00\x07" + good[2:], "plain CDR"),  # the encoding of DDS-XTypes
        (good[:4] + b"\xff\xff\xff\x7f" + good[8:], "damaged"),  # two billion transforms
        (good[:16] + b"\xff\xff\xff\x7f" + good[20:], "reaches past the end"),
        (good[:20] + b"\xff\xfe" + good[22:], "damaged"),  # a name that is not UTF-8
    ):
        with pytest.raises(InputError, match=message):
            transforms_from_cdr(damaged)


def test_a_stamp_beyond_32_bits_is_refused():
    with pytest.raises(InputError, match="32-bit seconds"):
        cdr_from_transforms([link("a", "b", 2**31 * SECOND)])
