# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Data of stage 1: which views make an item, cached features, settings and drives refused."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_arrays import relative_error
from small_fields import MODEL, NEARBY, PUBLISHED, with_store, write_drives

from scenedino_ros.core.errors import InputError
from scenedino_ros.network.encoder import Encoder
from scenedino_ros.recordings.frame_store.store import FrameStore, StoredCamera
from scenedino_ros.recordings.frame_store.writer import FrameStoreWriter
from train.field.choice import draw_detail
from train.field.copies import MIRRORED, WHOLE
from train.field.data import FieldData
from train.field.feature_cache import FeatureCache, cache_bytes, encoder_key
from train.field.frame_arrays import filling
from train.field.items import (
    NearbyViews,
    View,
    encoder_cameras,
    published_item,
    published_keyframes,
)
from train.field.model import FieldTraining
from train.field.precompute import compute_features, missing_features
from train.field.setting_groups import (
    DataSettings,
    EncoderSettings,
    OptimiserSettings,
    RaySettings,
)
from train.runs.randomness import item_generator
from train.runs.settings import RunSettings


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_drives(tmp_path_factory.mktemp("drives"))


def test_published_item_is_that_of_the_specification(drives: dict[str, Path]) -> None:
    store = FrameStore(drives["long"])
    item = published_item(len(store), View("camera_00", 2), item_generator(0, 0, 0))
    group = item.groups[0]
    assert item.encoder == View("camera_00", 2)
    assert len(item.groups) == 1
    pairs = [{group.targets[k], group.sources[k]} for k in range(4)]
    assert pairs[0] == {View("camera_00", 2), View("camera_00", 3)}
    assert pairs[1] == {View("camera_01", 2), View("camera_01", 3)}
    ahead = min(view.frame for view in pairs[2]) - 2
    assert 10 <= ahead <= 40
    assert pairs[2] == {View("camera_02", 2 + ahead), View("camera_02", 3 + ahead)}
    assert pairs[3] == {View("camera_03", 2 + ahead), View("camera_03", 3 + ahead)}
    right = published_item(len(store), View("camera_01", 2), item_generator(0, 0, 0)).groups[0]
    assert {right.targets[0].camera, right.targets[2].camera} == {"camera_01", "camera_03"}


def test_keyframes_need_all_their_frames_and_motion(tmp_path: Path, drives) -> None:
    assert published_keyframes(FrameStore(drives["long"])).tolist() == list(range(48 - 41))
    camera = StoredCamera("camera_00", np.eye(3), np.eye(4))
    with FrameStoreWriter(tmp_path / "s", (64, 160), {"camera_00": camera}, 60, {}) as writer:
        for frame in range(60):
            T = np.eye(4)
            # Stands still at first; jumps by 30 m at frame 50.
            T[0, 3] = max(frame - 4, 0) + 30 * (frame >= 50)
            writer.frame(frame, frame * 10**8, T)
            writer.put("image", "camera_00", frame, np.zeros((64, 160, 3), np.uint8))
    assert published_keyframes(FrameStore(tmp_path / "s")).tolist() == list(range(4, 9))


def test_nearby_views_see_the_same_place(drives: dict[str, Path]) -> None:
    store = FrameStore(drives["short"])
    nearby = NearbyViews(store, ahead=9.0)
    cameras = set()
    for seed in range(20):
        item = nearby.item(View("camera_00", 3), 4, 3, item_generator(seed, 0, 0))
        assert item.groups[0].targets == (View("camera_00", 3),)
        for group in item.groups:
            (view,) = group.targets
            cameras.add(view.camera)
            T_view = store.T_world_cam(view.camera, view.frame)
            assert view not in group.sources
            assert len(set(group.sources)) == len(group.sources) <= 3
            for source in group.sources:
                T = np.linalg.inv(T_view) @ store.T_world_cam(source.camera, source.frame)
                assert 0.15 <= np.linalg.norm(T[:3, 3]) <= 4.5
                assert T[2, 2] > 0.9
    assert cameras == {"camera_00", "camera_01", "camera_02", "camera_03"}
    again = nearby.item(View("camera_00", 3), 4, 3, item_generator(7, 0, 0))
    assert again == nearby.item(View("camera_00", 3), 4, 3, item_generator(7, 0, 0))


def test_a_mirrored_item_is_the_same_scene_in_a_mirror(drives: dict[str, Path]) -> None:
    settings = with_store(replace(NEARBY, mirror=True), drives["short"])
    data = FieldData(settings, settings.data.stores, None)
    still = FieldData(replace(settings, mirror=False), settings.data.stores, None)
    step = next(
        i for i in range(50) if not torch.equal(data.item(i, 0).image, still.item(i, 0).image)
    )
    mirrored, straight = data.item(step, 0), still.item(step, 0)
    assert torch.equal(mirrored.image, straight.image.flip(-1))
    a, b = mirrored.groups[-1].targets, straight.groups[-1].targets
    point = torch.tensor([1.0, 0.5, 9.0, 1.0])
    flip = torch.tensor([-1.0, 1.0, 1.0, 1.0])
    in_a = torch.linalg.inv(a.T_item_cam[0]) @ (point * flip)
    in_b = torch.linalg.inv(b.T_item_cam[0]) @ point
    uv_a, uv_b = (K[0] @ p[:3] for K, p in ((a.K_norm, in_a), (b.K_norm, in_b)))
    torch.testing.assert_close(uv_a, uv_b * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-4, rtol=1e-4)


def test_cached_features_stand_for_computed_ones(tmp_path: Path, drives) -> None:
    settings = with_store(replace(NEARBY, mirror=True), drives["short"])
    torch.manual_seed(0)
    training = FieldTraining(settings, None)
    encoder: Encoder = training.network.encoder
    key = encoder_key(MODEL.backbone, MODEL.image_size, "float32", encoder.state_dict())
    data = FieldData(settings, settings.data.stores, (tmp_path, key))
    n_missing = sum(len(wanted) for _, wanted in missing_features(data))
    assert n_missing == 8 * 4 + 8 * 2  # all cameras; the encoded ones mirrored too
    with torch.no_grad():
        assert sum(compute_features(data, encoder)) == n_missing
    values = [np.load(file) for file in tmp_path.rglob("*.npy") if "_done" not in file.name]
    assert cache_bytes(MODEL.backbone, MODEL.image_size, n_missing) == sum(
        array.nbytes for array in values
    )
    again = FieldData(settings, settings.data.stores, (tmp_path, key))
    assert missing_features(again) == []
    store = FrameStore(drives["short"])
    cache = FeatureCache(tmp_path, store, key, 384)
    view = View("camera_01", 5)
    image = torch.from_numpy(store.image("camera_01", 5).copy()).permute(2, 0, 1)[None]
    for mirrored in (False, True):
        picture = image.flip(-1) if mirrored else image
        with torch.no_grad():
            expected = torch.stack(encoder(picture / 127.5 - 1), dim=1)[0]
        assert relative_error(cache.taps(view, MIRRORED if mirrored else WHOLE), expected) < 1e-3
    other = encoder_key(
        MODEL.backbone,
        MODEL.image_size,
        "float32",
        FieldTraining(settings, None).network.encoder.state_dict(),
    )
    assert other != key
    rounded = encoder_key(MODEL.backbone, MODEL.image_size, "bfloat16", encoder.state_dict())
    assert rounded not in (key, other)
    item = again.item(0, 0)
    assert item.taps.shape == (4, 384, 4, 10)
    assert torch.isfinite(item.groups[0].tokens).all()


def test_phases_choose_detail() -> None:
    rays = RaySettings(
        aligned=False,
        levels=(4, 1),
        phases=(0.5, 1.0),
        level_shares=(1.0, 0.0, 0.0, 1.0),
        samples=(16, 64),
    )
    early, late = (draw_detail(rays, phase, item_generator(0, 0, 0)) for phase in (0, 1))
    assert early == (4, 16)
    assert late == (1, 64)


def test_learning_rate_follows_the_schedule() -> None:
    optimiser = OptimiserSettings(warmup=10, drops=(0.5, 80.0), factor=0.1)
    settings = replace(PUBLISHED, run=RunSettings(steps=100), optimiser=optimiser)
    assert settings.rate(0) == pytest.approx(0.1)
    assert settings.rate(9) == settings.rate(49) == 1
    assert settings.rate(50) == pytest.approx(0.1)
    assert settings.rate(80) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rays": RaySettings(patch=8)}, "rays.patch must be the edge of a target token, 16 px"),
        ({"rays": RaySettings(patch=16, levels=(2, 1))}, r"need rays.levels \[1\]"),
        ({"rays": RaySettings(aligned=False)}, "need losses.downsampler mean"),
        (
            {"rays": RaySettings(patch=16, level_shares=(1.0, 2.0))},
            "level_shares must have 1 numbers",
        ),
        ({"data": DataSettings(shares=(1.0,))}, "data.shares must have one number for each of 0"),
        ({"data": DataSettings(every=(1, 2))}, "data.every must have one number, or one for each"),
        ({"encoder": EncoderSettings(trainable=False)}, "flip needs an encoder that is trained"),
        ({"data": DataSettings(stores=("a", "b"), shares=(0.0, 0.0))}, "shares must not all be 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changed, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(PUBLISHED, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"patches": 3}, "rays.patches must be at least data.loss_views, 4, one for each target"),
        ({"patch": 65}, r"image of 64 x 160 px into levels of at least rays.patch, 65 px, got 1"),
        ({"levels": (3,)}, "rays.levels must divide the image of 64 x 160 px"),
        ({"levels": (16,)}, "into levels of at least rays.patch, 8 px, got 16"),
        ({"phases": (0.5,)}, r"rays.phases must ascend and end at 1, got \[0.5\]"),
        (
            {"phases": (0.5, 0.2, 1.0), "level_shares": (1.0,) * 3},
            "rays.phases must ascend and end at 1",
        ),
        (
            {"phases": (0.5, 1.0), "level_shares": (1.0, 0.0)},
            r"rays.level_shares must not all be 0 in a phase, got \[1.0, 0.0\]",
        ),
    ],
)
def test_rays_that_no_image_has_are_refused(changed, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(NEARBY, rays=replace(NEARBY.rays, **changed))


def write_rig(path: Path, yaws: dict[str, float], step: float) -> FrameStore:
    """Write a drive to the north of a body that has turned left, its x axis to the north.

    Args:
        path: The store.
        yaws: Angle of each camera to the left of the body's x axis, degrees.
        step: Metres per frame.
    """
    cameras = {}
    for name, degrees in yaws.items():
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        T = np.eye(4)
        T[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
        cameras[name] = StoredCamera(name, np.eye(3), T)
    with FrameStoreWriter(path, (16, 16), cameras, 6, {}) as writer:
        for frame in range(6):
            T = np.eye(4)
            T[:2, :2] = [[0, -1], [1, 0]]
            T[1, 3] = step * frame + 500 * (frame >= 4)  # a jump says nothing of the direction
            writer.frame(frame, frame * 10**8, T)
            for name in cameras:
                writer.put("image", name, frame, np.zeros((16, 16, 3), np.uint8))
    return FrameStore(path)


def test_encoded_cameras_follow_from_the_drive(drives, tmp_path: Path) -> None:
    assert encoder_cameras(FrameStore(drives["long"]), ()) == ["camera_00", "camera_01"]
    yaws = {"front": 3.0, "front_left": 44.0, "left": 60.0, "right": -90.0, "rear": 178.0}
    rig = write_rig(tmp_path / "rig", yaws, 0.5)
    assert encoder_cameras(rig, ()) == ["front", "front_left"]
    assert encoder_cameras(rig, ("left", "nose")) == ["left"]
    sentence = "rig must have a camera of --data.encoder_cameras, nose; its cameras are front, fr"
    with pytest.raises(InputError, match=sentence):
        encoder_cameras(rig, ("nose",))
    sideways = write_rig(tmp_path / "sideways", {"a": 90.0, "b": -60.0}, 0.5)
    assert encoder_cameras(sideways, ()) == ["a", "b"]
    backwards = write_rig(tmp_path / "backwards", yaws, -0.5)
    assert encoder_cameras(backwards, ()) == ["rear"]
    standing = write_rig(tmp_path / "standing", yaws, 0.0)
    assert encoder_cameras(standing, ()) == list(yaws)


def test_drives_that_do_not_fit_are_refused(drives: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one frame store in data.stores, got none"):
        FieldData(PUBLISHED, (), None)
    with pytest.raises(InputError, match=r"no frame store is at '.*/town_\*', looked for from /"):
        FieldData(NEARBY, (f"{tmp_path}/town_*",), None)
    other = replace(NEARBY, model=replace(MODEL, image_size=(64, 176)))
    with pytest.raises(InputError, match=r"must have images of 64 x 176 px, got 64 x 160"):
        FieldData(other, (str(drives["short"]),), None)
    with pytest.raises(InputError, match=r"short must have frames .* none of 8; data.views is"):
        FieldData(PUBLISHED, (str(drives["short"]),), None)
    camera = StoredCamera("camera_00", np.eye(3), np.eye(4))
    with FrameStoreWriter(tmp_path / "one", (64, 160), {"camera_00": camera}, 1, {}) as writer:
        writer.frame(0, 0, np.eye(4))
        writer.put("image", "camera_00", 0, np.zeros((64, 160, 3), np.uint8))
    with pytest.raises(InputError, match="lacks camera_01, camera_02, camera_03"):
        FieldData(PUBLISHED, (str(tmp_path / "one"),), None)
    with pytest.raises(InputError, match=r"one must have views that see one place .* has none"):
        FieldData(NEARBY, (str(tmp_path / "one"),), None)


def test_shares_and_steps_of_the_stores_are_not_those_of_validation(
    drives: dict[str, Path],
) -> None:
    data = replace(
        NEARBY.data, stores=(str(drives["short"]),) * 2, shares=(1.0, 9.0), every=(2, 4)
    )
    settings = replace(NEARBY, data=data, rays=replace(NEARBY.rays, levels=(2,)))
    validation = (str(drives["short"]), str(drives["long"]), str(drives["short"]))
    found = FieldData(settings, validation, None, validation=True)
    assert [len(drive.encoded) for drive in found.drives] == [
        len(drive.encoded) for drive in FieldData(NEARBY, validation, None).drives
    ]
    assert found.choice._weights.tolist() == [len(drive.encoded) for drive in found.drives]
    items = [found.choice.draw(0, place, validation=True).augmentation for place in range(20)]
    assert {item.level for item in items} == {1}


def test_caches_are_filled_by_one_run_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, order = tmp_path / "cache", []

    def other() -> None:
        with filling(folder):
            order.append("other")

    with filling(folder):
        thread = threading.Thread(target=other)
        thread.start()
        told = ""
        while not told.endswith("\n"):
            told += capsys.readouterr().err
        order.append("this")
    thread.join()
    assert told == f"waiting for another run that fills {folder}\n"
    assert order == ["this", "other"]
