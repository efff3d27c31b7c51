# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""S4C: a field that predicts classes itself, from checkpoint to predictor and in training."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image, street_camera
from small_fields import NEARBY, with_store, write_drives

from scenedino_ros.cameras.image import image_tensor
from scenedino_ros.checkpoints.checkpoint import build_model, load_checkpoint, save_checkpoint
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.model_config import ModelConfig
from scenedino_ros.core.ray_spacing import LOGARITHMIC
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference.engines.graph_export import ClassPart, PointPart
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.network.folded import FoldedSceneDino, bilinear_taps
from scenedino_ros.network.render import composite, pixel_rays, sample_distances
from scenedino_ros.network.resnet import ConvEncoder
from scenedino_ros.recordings.frame_store.class_maps import ClassMapFolder
from scenedino_ros.recordings.frame_store.store import NO_LABEL, FrameStore
from train.field.class_maps import ClassMaps
from train.field.data import FieldBatch, FieldData
from train.field.items import View
from train.field.losses import class_loss
from train.field.model import FieldTraining, encoder_view
from train.field.rays import patch_rays
from train.field.setting_groups import EncoderSettings
from train.field.step import render_classes

CONFIG = replace(TINY, heads=("field",), feature_dim=19, n_clusters=0)
RESNET = replace(CONFIG, backbone="resnet50", image_size=(64, 160))
GRID = VoxelGrid((-4.0, -1.5, 4.0), (16, 6, 24), 0.5)
WEIGHTS = (1.0, 10.0) + 17 * (1.0,)


def class_maps(store: Path, folder: Path) -> None:
    """Write class maps of camera_00 of a drive: class 1 on the left, 2 on the right, a gap."""
    opened = FrameStore(store)
    height, width = opened.image_size
    label = np.ones((height, width), np.uint8)
    label[:, width // 2 :] = 2
    label[: height // 4] = NO_LABEL
    for frame in range(len(opened)):
        ClassMapFolder(folder, opened).write("camera_00", frame, label)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> tuple[FieldTraining, FieldBatch]:
    """Return a small training of S4C on a drive of noise, and its first batch."""
    folder = tmp_path_factory.mktemp("s4c")
    drive = write_drives(folder)["short"]
    class_maps(drive, folder / "maps")
    losses = replace(NEARBY.losses, feature=(0.0,), classes=0.5, class_weights=WEIGHTS)
    settings = with_store(replace(NEARBY, model=CONFIG, losses=losses), drive)
    settings = replace(
        settings, data=replace(settings.data, class_maps=str(folder / "maps")), mirror=True
    )
    torch.manual_seed(0)
    data = FieldData(settings, settings.data.stores, None)
    return FieldTraining(settings, None), data.batch(0, range(1))


@pytest.mark.parametrize("config", [CONFIG, RESNET], ids=["transformer", "resnet50"])
def test_checkpoint_and_predictor_agree_with_the_plain_network(
    config: ModelConfig, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "s4c.safetensors", lively_checkpoint(config))
    checkpoint = load_checkpoint(tmp_path / "s4c.safetensors")
    assert checkpoint.config == config
    model, predictor = build_model(checkpoint), Predictor(checkpoint, device="cpu")
    encoded = predictor.encode(noise_image(), street_camera())
    voxels = predictor.voxels(encoded, GRID, query=VoxelQuery(0.2))
    view = predictor.render(encoded, downscale=4, n_samples=8, semantic=True)
    K_norm = torch.from_numpy(encoded.camera.K_norm).float()
    distances = sample_distances(*CONFIG.depth_range, 8, spacing=LOGARITHMIC)
    rays = pixel_rays(K_norm, view.camera.height, view.camera.width).view(-1, 1, 3)
    centres = torch.from_numpy(voxels.centers()).float()
    with torch.inference_mode():
        feature_map = model.encode(image_tensor(encoded.rgb))
        density, probability, _ = model.query(feature_map, centres[None], K_norm[None])
        points = (rays * distances[:, None]).view(1, -1, 3)
        along, classes, _ = model.query(feature_map, points, K_norm[None])
    np.testing.assert_allclose(voxels.density, density[0], rtol=1e-4, atol=1e-5)
    confidence, label = probability[0].max(dim=-1)
    np.testing.assert_allclose(voxels.confidence, confidence, atol=1e-5)
    assert (voxels.label == label.numpy()).mean() > 0.999
    assert len(np.unique(voxels.label)) > 2
    # Probabilities are blended, not the scores before the softmax.
    blended = composite(along.view(-1, 8), distances).blend(classes.view(-1, 8, 19))
    clear = (blended.topk(2).values.diff().abs() > 1e-4).view(-1).numpy()
    assert clear.mean() > 0.9
    rendered = view.label.ravel()[clear]
    assert np.array_equal(rendered, blended.argmax(dim=-1).numpy()[clear])


def test_exported_parts_are_the_folded_network() -> None:
    network = FoldedSceneDino(build_model(lively_checkpoint(CONFIG)), "stego_kmeans")
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(32 * 80, CONFIG.hidden_dim, generator=draws)
    index, weight = bilinear_taps(torch.rand(50, 2, generator=draws) * 2 - 1, 32, 80)
    code = torch.randn(50, network.plain.code.channels, generator=draws)
    density, probability = PointPart(network)(rows, index, weight, code)
    hidden = network.hidden(rows, index, weight, code)
    torch.testing.assert_close(density, network.density(hidden), rtol=1e-4, atol=1e-5)
    expected = network.feature(network.blendable(hidden))
    torch.testing.assert_close(probability, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probability.sum(dim=-1), torch.ones(50))
    label, confidence = ClassPart(network.head)(probability)
    assert torch.equal(label, probability.argmax(dim=-1))
    assert torch.equal(confidence, probability.amax(dim=-1).clamp(max=1))


def test_refuses_configurations_that_no_field_of_classes_has() -> None:
    with pytest.raises(InputError, match="n_classes equal to feature_dim"):
        replace(CONFIG, feature_dim=64)
    with pytest.raises(InputError, match="n_clusters 0"):
        replace(CONFIG, n_clusters=19)
    assert ModelConfig.from_dict(CONFIG.to_dict()) == CONFIG


def test_renders_classes_as_the_plain_network_does(
    training: tuple[FieldTraining, FieldBatch],
) -> None:
    model, batch = training
    item = batch.items[0]
    (group,) = item.classes
    network, least = model.network, model.settings.rays.min_depth
    with torch.no_grad():
        feature_map = model.whole_map(item)
        size = group.labels.shape[1], group.labels.shape[2]
        views = group.K_norm, group.T_item_cam
        rays = patch_rays(group.draws, *views, size, model.settings.rays.patch, aligned=False)
        distances = model.distances(group.jitter)
        probability, unseen = render_classes(
            network, encoder_view(feature_map, item, least), rays, distances, item.flipped
        )
        steps = distances.unsqueeze(-1) * rays.directions.unsqueeze(-2)
        points = (rays.origins[:, None, None, None] + steps).view(1, -1, 3)
        density, classes, visible = network.query(feature_map, points, item.K_norm[None])
        result = composite(density.view(distances.shape), distances, opaque_end=True)
        expected = result.blend(classes.view(*distances.shape, -1))
    # Points nearer than rays.min_depth have another code in training.
    ahead = (points[0, :, 2] > least).view(distances.shape).all(dim=-1)
    assert ahead.float().mean() > 0.5
    torch.testing.assert_close(probability[ahead], expected[ahead], rtol=1e-4, atol=1e-5)
    outside = (result.weights * ~visible.view(distances.shape)).sum(dim=-1)
    torch.testing.assert_close(unseen[ahead], outside[ahead], rtol=1e-4, atol=1e-5)


def test_training_learns_the_classes_and_keeps_the_networks_apart(
    training: tuple[FieldTraining, FieldBatch],
) -> None:
    model, batch = training
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    found = []
    for _ in range(12):
        losses = model(batch)
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        found.append(float(losses["classes"].detach()))
    assert set(losses) == {"total", "photometric", "classes", "depth_roughness", "filled"}
    assert found[-1] < 0.5 * found[0]
    weight, half = model.network.field.lin_out.weight, CONFIG.hidden_dim // 2
    assert not weight[0, half:].any()
    assert not weight[1:, :half].any()
    assert weight[0, :half].all()
    assert weight[1:, half:].all()
    assert model.checkpoint({}).config == CONFIG


def test_trains_its_published_encoder(tmp_path: Path) -> None:
    drive = write_drives(tmp_path)["short"]
    class_maps(drive, tmp_path / "maps")
    losses = replace(NEARBY.losses, feature=(0.0,), classes=0.5)
    encoder = EncoderSettings(weights="random", trainable=True)
    settings = replace(NEARBY, model=RESNET, losses=losses, encoder=encoder, flip=True)
    settings = with_store(settings, drive)
    data = replace(settings.data, class_maps=str(tmp_path / "maps"))
    settings = replace(settings, data=data)
    batch = FieldData(settings, settings.data.stores, None).batch(0, range(1))
    training = FieldTraining(settings, None)
    training(batch)["total"].backward()
    without = [name for name, p in training.named_parameters() if p.grad is None]
    assert without == []
    restored = build_model(training.checkpoint({}))
    image = batch.items[0].image[None]
    with torch.no_grad():
        expected = training.eval().network.encode(image)
        torch.testing.assert_close(restored.encode(image), expected)


def test_encoder_is_the_resnet_that_pretrained_weights_are_for() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet50", pretrained=False, num_classes=0).eval()
    torch.manual_seed(0)
    state = theirs.state_dict()
    for name, tensor in state.items():  # statistics that are not those of a new network
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    ours = ConvEncoder("resnet50", (64, 96))
    with torch.no_grad():
        ours.resnet.load_state_dict(state)
        image = torch.rand(1, 3, 64, 96)
        taps = ours.eval().taps(image)
        torch.testing.assert_close(taps[-1], theirs.forward_features(image))
    assert [tuple(tap.shape[1:]) for tap in taps] == [
        (64, 32, 48),
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
        (2048, 2, 3),
    ]


def test_class_loss_is_the_weighted_cross_entropy_of_what_is_known() -> None:
    probability = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [1.0, 0.0, 0.0], [0.0, 1, 0]])
    label = torch.tensor([0, 1, NO_LABEL, 0])
    unseen = torch.tensor([0.0, 0.9, 0.0, 0.95])
    found = class_loss(probability, unseen, label, (1.0, 3.0, 1.0))
    expected = -(np.log(0.7 + 1e-5) + 3 * np.log(0.6 + 1e-5)) / 4
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(class_loss(probability, unseen, torch.full((4,), NO_LABEL))) == 0


def test_class_maps_come_from_the_store_or_a_folder(tmp_path: Path) -> None:
    drive = write_drives(tmp_path)["short"]
    store, view = FrameStore(drive), View("camera_00", 2)
    with pytest.raises(InputError, match="must have label maps"):
        ClassMaps(store, None)
    with pytest.raises(InputError, match="must hold class maps of short"):
        ClassMaps(store, tmp_path / "nothing")
    class_maps(drive, tmp_path / "maps")
    maps = ClassMaps(store, tmp_path / "maps")
    label = maps.read(view)
    assert label is not None
    assert np.unique(label).tolist() == [1, 2, NO_LABEL]
    assert maps.read(View("camera_01", 2)) is None
    ClassMapFolder(tmp_path / "maps", store).write("camera_00", 2, label[::2])
    with pytest.raises(InputError, match="must be a grey 8-bit image of shape"):
        maps.read(view)


def test_a_hostile_class_map_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    drive = write_drives(tmp_path)["short"]
    class_maps(drive, tmp_path / "maps")
    folder = ClassMapFolder(tmp_path / "maps", FrameStore(drive))
    path = folder.path("camera_00", 2)
    png = bytearray(path.read_bytes())
    png[16:24] = (30_000).to_bytes(4, "big") * 2  # width and height
    path.write_bytes(png)
    with pytest.raises(InputError, match="got 30000 x 30000 px"):
        folder.read("camera_00", 2)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="it must be a file, got a pipe"):
        folder.read("camera_00", 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"losses": replace(NEARBY.losses, feature=(0.1,))}, "has no features"),
        ({"losses": replace(NEARBY.losses, feature=(0.0,), class_weights=(1.0,))}, "19 numbers"),
        ({"model": NEARBY.model}, r"losses.classes needs model.heads \[field\]"),
    ],
)
def test_refuses_losses_that_the_field_does_not_have(
    change: dict[str, object], sentence: str
) -> None:
    losses = replace(NEARBY.losses, feature=(0.0,), classes=0.5)
    with pytest.raises(InputError, match=sentence):
        replace(NEARBY, **{"model": CONFIG, "losses": losses, **change})
