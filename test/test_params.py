# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Parameters: declared from the dataclasses, refused when wrong, changed while running."""

import dataclasses
from pathlib import Path

import pytest
import yaml

rclpy = pytest.importorskip("rclpy", reason="needs a ROS 2 client library")

from rclpy.context import Context  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from scenedino_ros.core.config import GridSettings, NodeSettings, VoxelSettings  # noqa: E402
from scenedino_ros.core.errors import InputError, SceneDinoError, TransformError  # noqa: E402
from scenedino_ros.core.labels import CITYSCAPES19, ClassTable  # noqa: E402
from scenedino_ros.core.parameter_tree import replace_settings, walk_settings  # noqa: E402
from scenedino_ros.core.voxels import GRID_PRESETS, VoxelGrid  # noqa: E402
from scenedino_ros.demo.domains import reserve_domain  # noqa: E402
from scenedino_ros.node import params, rclpy_private  # noqa: E402
from scenedino_ros.node.failures import Failures  # noqa: E402
from scenedino_ros.node.params import LiveSettings, hidden_ids  # noqa: E402
from scenedino_ros.node.placement import GridPlacement  # noqa: E402

pytestmark = pytest.mark.ros

CONFIG = Path(__file__).resolve().parents[1] / "config"
DEFAULTS = {setting.name: setting.value for setting in walk_settings(NodeSettings())}


@pytest.fixture(scope="module")
def context():
    context = Context()
    rclpy.init(context=context, domain_id=reserve_domain())
    yield context
    context.shutdown()


@pytest.fixture
def make_node(context):
    """Return a function that makes a node as if it had been started with parameters."""
    nodes = []

    def make(*arguments: str, parameters: dict | None = None) -> Node:
        cli_args = ["--ros-args"]
        for name, value in (parameters or {}).items():
            cli_args += ["-p", f"{name}:={value}"]
        node = Node(
            "scenedino",
            context=context,
            cli_args=[*cli_args, *arguments],
            enable_rosout=False,
            start_parameter_services=False,
        )
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def live(make_node):
    """Return a function that reads the settings a node was started with."""

    def read(**given) -> LiveSettings:
        return LiveSettings(make_node(**given), lambda settings: None, Failures(print))

    return read


def test_files_of_settings_hold_every_parameter_with_its_default():
    document = yaml.safe_load((CONFIG / "scenedino.yaml").read_text())
    written = {}

    def flatten(values, prefix):
        for key, value in values.items():
            if isinstance(value, dict):
                flatten(value, f"{prefix}{key}.")
            else:
                written[prefix + key] = tuple(value) if isinstance(value, list) else value

    flatten(document["/**"]["ros__parameters"], "")
    assert written == DEFAULTS
    assert list(written) == list(DEFAULTS)
    for name, value in written.items():
        assert type(value) is type(DEFAULTS[name]), name


def test_the_file_of_settings_explains_every_parameter():
    lines = (CONFIG / "scenedino.yaml").read_text().splitlines()
    text = " ".join(line.strip(" #") for line in lines)
    for setting in walk_settings(NodeSettings()):
        assert setting.metadata["doc"] in text
        key = setting.name.rpartition(".")[2]
        place = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        assert lines[place - 1].strip().startswith("#"), setting.name


def test_the_file_of_classes_is_the_table_of_the_package():
    assert ClassTable.from_yaml(CONFIG / "classes.yaml") == CITYSCAPES19


def test_the_shipped_file_starts_a_node_with_the_defaults(make_node):
    node = make_node("--params-file", str(CONFIG / "scenedino.yaml"))
    assert LiveSettings(node, lambda settings: None, Failures(print)).current == NodeSettings()


def test_a_node_without_parameters_has_the_defaults(live):
    assert live().current == NodeSettings()


def test_settings_are_walked_and_replaced_by_their_names():
    changed = replace_settings(NodeSettings(), {"grid.shape": (1, 2, 3), "autostart": False})
    assert (changed.grid.shape, changed.autostart) == ((1, 2, 3), False)
    differing = [s.name for s in walk_settings(changed) if s.value != DEFAULTS[s.name]]
    assert differing == ["autostart", "grid.shape"]


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("grid.voxel_size", "1", 1.0),
        ("grid.origin", "[0, -25, -2]", (0.0, -25.0, -2.0)),
        ("grid.origin", "[0.0, -25.6, -2.0]", (0.0, -25.6, -2.0)),
        ("grid.origin", "[]", ()),
        ("grid.shape", "[8, 8, 4]", (8, 8, 4)),
        ("voxels.hidden_classes", "[sky, car]", ("sky", "car")),
        ("voxels.hidden_classes", "[]", ()),
        ("model.device", "cpu", "cpu"),
        ("autostart", "false", False),
    ],
)
def test_a_parameter_is_read_as_its_type(live, name, given, value):
    settings = live(parameters={name: given}).current
    found = {setting.name: setting.value for setting in walk_settings(settings)}
    assert found == {**DEFAULTS, name: value}
    assert type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("grid.voxel_sizes", "1.0", "unknown parameter 'grid.voxel_sizes'; did you mean 'grid.vo"),
        ("zzz", "1.0", "unknown parameter 'zzz'$"),
        ("grid.voxel_size", "large", "grid.voxel_size must be of type double, got string 'large'"),
        ("grid.voxel_size", "[]", "grid.voxel_size must be of type double, got no value"),
        ("grid.voxel_size", "11.0", "grid.voxel_size must be in 0.0 to 10.0 m, got 11.0"),
        ("grid.voxel_size", ".nan", "grid.voxel_size must be in"),
        ("grid.shape", "[1.5, 2.0, 3.0]", "grid.shape must be of type integer array, got double"),
        ("grid.shape", "[0, 8, 8]", "grid.shape must be in 1 to 4096"),
        ("grid.frame", "7", "grid.frame must be of type string, got integer 7"),
        ("model.device", "tpu", "model.device must be one of auto, cpu, cuda, got 'tpu'"),
        ("render.n_samples", "1", "render.n_samples must be in 2 to 512, got 1"),
        ("autostart", "1", "autostart must be of type bool, got integer 1"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name_value_and_range(live, name, given, message):
    with pytest.raises(InputError, match=message):
        live(parameters={name: given})


def test_what_rclpy_declares_itself_is_no_unknown_parameter(live):
    quality = "qos_overrides./image.subscription.depth"
    assert live(parameters={"use_sim_time": "true", quality: "3"}).current == NodeSettings()


def test_a_misspelt_quality_of_service_is_refused(live):
    name = "qos_overrides./image.subscription.reliabilty"
    with pytest.raises(InputError, match="must end with one of history, depth, reliability, dur"):
        live(parameters={name: "reliable"})


def test_a_check_of_all_settings_together_is_asked_at_the_start(make_node):
    def check(settings):
        raise InputError("these do not fit together")

    with pytest.raises(InputError, match="do not fit together"):
        LiveSettings(make_node(), check, Failures(print))


def test_an_rclpy_without_the_private_name_is_refused():
    with pytest.raises(SceneDinoError, match="Node._parameter_overrides must be there"):
        rclpy_private.parameter_overrides(object())
    rclpy_private.answer_change_state(object(), pytest.fail)  # rclpy answers by itself


def test_every_parameter_is_declared_and_described(make_node):
    node = make_node(parameters={"grid.origin": "[1.0, 2.0, 3.0]"})
    settings = LiveSettings(node, lambda settings: None, Failures(print)).current
    for setting in walk_settings(settings):
        found, described = node.get_parameter(setting.name), node.describe_parameter(setting.name)
        value = found.value
        assert (value if not isinstance(setting.value, tuple) else tuple(value)) == setting.value
        assert described.read_only == (not setting.metadata["live"]), setting.name
        assert setting.metadata["doc"] in described.description
        assert setting.metadata["unit"] in described.description
        for word in setting.metadata["choices"]:
            assert word in described.additional_constraints
    assert node.describe_parameter("grid.tf_timeout").floating_point_range[0].to_value == 5.0
    assert node.describe_parameter("render.downscale").integer_range[0].from_value == 1
    assert node.describe_parameter("voxels.max_cubes").integer_range[0].to_value == 1_000_000
    threshold = node.describe_parameter("voxels.density_threshold")
    assert threshold.additional_constraints == "0.0 or more"


# Changes while running.


def test_live_parameters_change_all_at_once(make_node):
    node = make_node()
    live = LiveSettings(node, lambda settings: None, Failures(print))
    before = live.current
    result = node.set_parameters_atomically(
        [
            Parameter("voxels.density_threshold", value=0.7),
            Parameter("voxels.hidden_classes", Parameter.Type.STRING_ARRAY, []),
        ]
    )
    assert result.successful
    voxels = VoxelSettings(density_threshold=0.7, hidden_classes=())
    assert live.current == dataclasses.replace(before, voxels=voxels)
    assert before.voxels == VoxelSettings()


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        (Parameter("voxels.density_threshold", value=-1.0), "must be in 0.0 to inf 1/m, got -1.0"),
        (Parameter("voxels.density_threshold", value="x"), "Wrong parameter type"),
        (Parameter("grid.voxel_size", value=0.4), "read-only"),
        (Parameter("grid.shape", value=[1, 1, 1]), "read-only"),
    ],
)
def test_a_wrong_change_leaves_everything_as_it_was(make_node, parameter, reason):
    node = make_node()
    live = LiveSettings(node, lambda settings: None, Failures(print))
    result = node.set_parameters_atomically([Parameter("voxels.grow", value=True), parameter])
    assert not result.successful
    assert reason in result.reason
    assert live.current == NodeSettings()
    assert node.get_parameter("voxels.grow").value is False


def test_a_change_that_does_not_fit_the_rest_is_refused(make_node):
    def check(settings):
        if settings.voxels.max_cubes == 13:
            raise InputError("not thirteen")

    node = make_node()
    live = LiveSettings(node, check, Failures(print))
    result = node.set_parameters([Parameter("voxels.max_cubes", value=13)])[0]
    assert (result.successful, result.reason) == (False, "not thirteen")
    assert live.current == NodeSettings()


def test_parameters_of_others_are_none_of_our_business(make_node):
    node = make_node()
    live = LiveSettings(node, lambda settings: None, Failures(print))
    node.declare_parameter("theirs", 1)
    assert node.set_parameters([Parameter("theirs", value=2)])[0].successful
    assert live.current == NodeSettings()


@pytest.mark.parametrize("can_convert", [True, False])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter("voxels.density_threshold", value=3), 3.0),
        (Parameter("voxels.hidden_classes", Parameter.Type.BOOL_ARRAY, []), ()),
        (Parameter("voxels.hidden_classes", Parameter.Type.INTEGER_ARRAY, []), ()),
    ],
)
def test_a_change_takes_what_a_file_takes(make_node, monkeypatch, can_convert, parameter, value):
    if can_convert and not params._CAN_CONVERT:
        pytest.skip("this rclpy asks nobody before it checks types")
    monkeypatch.setattr(params, "_CAN_CONVERT", can_convert)
    node = make_node()
    live = LiveSettings(node, lambda settings: None, Failures(print))
    result = node.set_parameters([parameter])[0]
    assert (result.successful, result.reason) == (True, "")
    found = {setting.name: setting.value for setting in walk_settings(live.current)}
    assert found[parameter.name] == value
    assert type(found[parameter.name]) is type(value)
    if can_convert:  # what others read keeps its type
        kept, described = node.get_parameter(parameter.name), node.describe_parameter
        assert kept.type_.value == described(parameter.name).type
        assert kept.type_ in (Parameter.Type.DOUBLE, Parameter.Type.STRING_ARRAY)


@pytest.mark.parametrize("can_convert", [True, False])
def test_a_parameter_cannot_be_deleted(make_node, monkeypatch, can_convert):
    monkeypatch.setattr(params, "_CAN_CONVERT", can_convert and params._CAN_CONVERT)
    node = make_node()
    LiveSettings(node, lambda settings: None, Failures(print))
    for name in ("voxels.hidden_classes", "voxels.grow"):
        result = node.set_parameters([Parameter(name, Parameter.Type.NOT_SET, None)])[0]
        assert not result.successful
        assert node.has_parameter(name)


# The grid that the parameters describe.


class FixedTransforms:
    def lookup(self, target_frame, source_frame, stamp):
        return (target_frame, source_frame, stamp)


class FakeHeader:
    frame_id, stamp = "camera", "now"


def test_the_default_grid_lies_in_the_optical_frame():
    placement = GridPlacement(GridSettings())
    assert placement.grid == GRID_PRESETS["camera"]
    assert not placement.needs_transforms
    assert placement.frame("camera") == placement.frame("/camera") == "camera"  # as in tf2
    assert placement.T_grid_cam(FakeHeader(), None) is None


def test_a_framed_grid_is_looked_up_at_the_stamp():
    placement = GridPlacement(GridSettings(preset="sscbench", frame="base"))
    assert placement.grid == GRID_PRESETS["sscbench"]
    assert placement.needs_transforms
    assert placement.frame("camera") == "base"
    assert GridPlacement(GridSettings(frame="/base")).frame("camera") == "base"
    assert placement.T_grid_cam(FakeHeader(), FixedTransforms()) == ("base", "camera", "now")


def test_a_static_transform_replaces_tf():
    numbers = (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0)
    placement = GridPlacement(GridSettings(frame="base", static_transform=numbers))
    assert not placement.needs_transforms
    T_grid_cam = placement.T_grid_cam(FakeHeader(), None)
    assert T_grid_cam[:3, 3].tolist() == [1.0, 2.0, 3.0]


def test_parts_of_a_preset_can_be_replaced():
    settings = GridSettings(preset="sscbench", frame="base", shape=(4, 5, 6), voxel_size=0.5)
    assert GridPlacement(settings).grid == VoxelGrid((0.0, -25.6, -2.0), (4, 5, 6), 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (GridSettings(preset="sscbench"), "grid.preset sscbench has the axes of a body frame"),
        (GridSettings(origin=(1.0, 2.0)), "grid origin must be 3 finite metres"),
        (GridSettings(shape=(1, 2)), "grid shape must be three counts"),
        (
            GridSettings(static_transform=(0.0,) * 6 + (1.0,)),
            "grid.static_transform places the camera in the frame grid.frame, but grid.frame is e",
        ),
        (
            GridSettings(frame="base", static_transform=(1.0, 2.0)),
            "grid.static_transform: .*seven numbers",
        ),
        (
            GridSettings(frame="base", static_transform=(0.0,) * 7),
            "grid.static_transform: .*length 1",
        ),
    ],
)
def test_a_grid_that_contradicts_itself_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        GridPlacement(settings)


def test_a_transform_that_is_not_known_is_the_callers_to_handle():
    class NoTransforms:
        def lookup(self, target_frame, source_frame, stamp):
            raise TransformError("not known")

    with pytest.raises(TransformError, match="not known"):
        GridPlacement(GridSettings(frame="base")).T_grid_cam(FakeHeader(), NoTransforms())


def test_sky_is_hidden_whatever_else_is():
    sky, car = CITYSCAPES19.ids(("sky", "car"))
    assert hidden_ids(CITYSCAPES19, ("sky",)) == (sky,)
    assert hidden_ids(CITYSCAPES19, ()) == (sky,)
    assert set(hidden_ids(CITYSCAPES19, ("car",))) == {sky, car}
    indoors = ClassTable(names=("wall",), colors=((1, 2, 3),), ssc_ids=(0,))
    assert hidden_ids(indoors, ("sky",)) == ()
    with pytest.raises(InputError, match="voxels.hidden_classes: unknown class 'dog'"):
        hidden_ids(CITYSCAPES19, ("dog",))
