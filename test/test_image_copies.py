# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Changed copies of encoded images: intrinsics follow the image, and patches stay inside."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import street_camera
from small_fields import NEARBY, PUBLISHED, Tokens, with_store, write_drives
from torch.nn import functional

from scenedino_ros.core.errors import InputError
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.copies import MIRRORED, WHOLE, ImageCopy, drawn_copy
from train.field.data import FieldData
from train.field.feature_cache import encoder_key
from train.field.items import View
from train.field.model import FieldTraining
from train.field.precompute import compute_features, missing_features

CROP = ImageCopy(mirrored=True, center=(0.3, -0.2), zoom=(1.6, 1.4))


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_drives(tmp_path_factory.mktemp("drives"))


def test_a_point_keeps_its_colour_in_every_copy() -> None:
    height, width = 64, 160
    ramp = torch.stack(
        torch.broadcast_tensors(
            torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)[:, None], torch.zeros(1)
        )
    )
    K_norm = torch.from_numpy(street_camera(width, height).pinhole.K_norm).float()
    point = torch.tensor([-0.5, 0.3, 6.0])

    def color(image: torch.Tensor, K: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        uv = (K @ at)[:2] / at[2]
        assert (uv.abs() < 1).all()
        return functional.grid_sample(image[None], uv.view(1, 1, 1, 2), align_corners=False)[0]

    expected = color(ramp, K_norm, point)
    for copy in (WHOLE, MIRRORED, CROP, replace(CROP, mirrored=False)):
        seen = point * torch.tensor([-1.0 if copy.mirrored else 1.0, 1, 1])
        found = color(copy.image(ramp), copy.K_norm(K_norm), seen)
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    assert torch.equal(WHOLE.image(ramp), ramp)
    assert torch.equal(WHOLE.K_norm(K_norm), K_norm)
    gray = replace(CROP, gray=True).image(ramp)
    assert torch.equal(gray[0], gray[1])
    assert torch.equal(gray[0], gray[2])


def test_copies_are_drawn_by_image_and_number() -> None:
    view = View("camera_00", 3)
    copies = [drawn_copy(view, number, 2.0, mirror=True) for number in range(60)]
    assert copies == [drawn_copy(view, number, 2.0, mirror=True) for number in range(60)]
    assert copies[0] != replace(
        drawn_copy(View("camera_00", 4), 0, 2.0, mirror=True), ending=copies[0].ending
    )
    assert {copy.gray for copy in copies} == {copy.mirrored for copy in copies} == {False, True}
    assert len({copy.ending for copy in copies}) == 60
    for copy in copies:
        for center, zoom in zip(copy.center, copy.zoom, strict=True):
            assert 1 <= zoom < 2.6
            assert abs(center) + 1 / zoom < 1 + 1e-9
    assert not any(drawn_copy(view, n, 2.0, mirror=False).mirrored for n in range(60))


def test_patches_lie_inside_the_crop() -> None:
    for copy in (WHOLE, CROP, ImageCopy(center=(0.9, 0.9), zoom=(10.0, 10.0))):
        window = copy.window(64, 160, 8)
        assert window.rows >= 1
        assert window.columns >= 1
        assert window.top + window.rows - 1 + 8 <= 64
        assert window.left + window.columns - 1 + 8 <= 160
    window = WHOLE.window(64, 160, 8)
    assert (window.top, window.left, window.rows, window.columns) == (0, 0, 57, 153)
    window = CROP.window(64, 160, 8)
    # The crop shows -0.2 - 1 / 1.4 = -0.914 to 0.514 of the height.
    assert window.top == 3
    assert window.top + window.rows - 1 + 8 == 48


def test_an_item_encodes_a_copy(tmp_path: Path, drives) -> None:
    settings = with_store(replace(NEARBY, mirror=True), drives["short"])
    settings = replace(settings, data=replace(settings.data, crops=2))
    torch.manual_seed(0)
    training = FieldTraining(settings, Tokens())
    encoder = training.network.encoder
    model = settings.model
    key = encoder_key(model.backbone, model.image_size, "float32", encoder.state_dict())
    data = FieldData(settings, settings.data.stores, (tmp_path, key))
    store = FrameStore(drives["short"])
    n_missing = sum(len(wanted) for _, wanted in missing_features(data))
    assert n_missing == 8 * 4 + 8 * 2 * 3  # all whole images; of encoded ones three copies each
    with torch.no_grad():
        assert sum(compute_features(data, encoder)) == n_missing
    assert missing_features(data) == []
    focals = set()
    for step in range(12):
        item = data.item(step, 0)
        with torch.no_grad():
            taps = torch.stack(encoder(item.image[None]), dim=1)[0]
        assert (item.taps - taps).abs().max() < 2e-2 * taps.abs().max()
        focals.add(round(float(item.K_norm[0, 0] / store.cameras["camera_00"].K_norm[0, 0]), 3))
    assert 1.0 in focals
    assert len(focals) > 2
    validated = data.item(0, 0, validation=True)
    assert float(validated.K_norm[0, 0]) == pytest.approx(store.cameras["camera_00"].K_norm[0, 0])


def test_patches_on_the_token_grid_have_no_crops() -> None:
    with pytest.raises(InputError, match="data.crops needs rays.aligned false"):
        replace(PUBLISHED, data=replace(PUBLISHED.data, crops=1))
