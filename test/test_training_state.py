# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What training loops stand on: stored state, draws, batches loaded ahead, records."""

import json
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from scenedino_ros.core.errors import CheckpointError, InputError, SceneDinoError
from train.runs.nonfinite import NonFiniteError, check_finite
from train.runs.origin import add_start
from train.runs.prefetch import prefetch
from train.runs.randomness import item_generator
from train.runs.records import Records
from train.runs.state import load_state, save_state


def network(width: int = 4) -> nn.Module:
    model = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 1))
    model.register_buffer("ring", torch.zeros(5, dtype=torch.int64))
    return model


def adam(model: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": list(model[2].parameters()), "lr": 1e-3},
        {"params": list(model[0].parameters())},
    ]
    return torch.optim.AdamW(groups, lr=1e-2, betas=(0.8, 0.99))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        x = torch.randn(6, 3, generator=item_generator(0, step, 0))
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        model.ring += step
        losses.append(loss.item())
    return losses


def stored(path, width=4, steps=3):
    torch.manual_seed(0)
    model = network(width)
    optimizer = adam(model)
    learn(model, optimizer, range(steps))
    save_state(path, steps, {"net": model}, {"adam": optimizer}, {"best": 0.1})
    return model, optimizer


def test_a_restored_run_goes_on_bit_by_bit(tmp_path):
    model, optimizer = stored(tmp_path / "state")
    torch.manual_seed(1)
    other = network()
    other_optimizer = adam(other)
    step, extra = load_state(tmp_path / "state", {"net": other}, {"adam": other_optimizer})
    assert (step, extra) == (3, {"best": 0.1})
    assert learn(other, other_optimizer, range(3, 8)) == learn(model, optimizer, range(3, 8))
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    for group, other_group in zip(
        optimizer.param_groups, other_optimizer.param_groups, strict=True
    ):
        options = {name: value for name, value in group.items() if name != "params"}
        assert options == {name: other_group[name] for name in options}
        assert options["betas"] == (0.8, 0.99)


def test_a_state_before_the_first_step_is_restored(tmp_path):
    stored(tmp_path / "state", steps=0)
    model = network()
    assert load_state(tmp_path / "state", {"net": model}, {"adam": adam(model)})[0] == 0


def test_tensors_are_named_after_parameters(tmp_path):
    stored(tmp_path / "state")
    names = set(load_file(tmp_path / "state"))
    assert {"net/0.weight", "net/1.running_mean", "net/ring"} <= names
    assert {"adam/net.0.weight/exp_avg", "adam/net.2.bias/exp_avg_sq"} <= names
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o644


def test_an_interrupted_save_leaves_the_state_before(tmp_path, monkeypatch):
    stored(tmp_path / "state")

    def cut_short(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("train.runs.state.save_file", cut_short)
    with pytest.raises(CheckpointError, match="cannot be written: no space left on device"):
        stored(tmp_path / "state", steps=4)
    model = network()
    assert load_state(tmp_path / "state", {"net": model}, {"adam": adam(model)})[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_states_of_other_networks_are_refused_and_change_nothing(tmp_path):
    stored(tmp_path / "state")
    model = network(width=5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        CheckpointError, match=r"net/0.weight must be float32 \(5, 3\), got float32 \(4, 3\)"
    ):
        load_state(tmp_path / "state", {"net": model}, {"adam": adam(model)})
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("modules", "optimizers", "sentence"),
    [
        ({"model"}, {"adam"}, "model/0.weight is missing; .*; and 16 more"),
        ({"net", "head"}, {"adam"}, "head/weight is missing; head/bias is missing"),
        ({"net"}, {"adam", "sgd"}, "optimiser sgd is missing"),
        ({"net"}, set(), "optimiser adam is not part of this run"),
        ({"net"}, {"adam", "swapped"}, "optimiser adam has other parameters or groups"),
    ],
)
def test_states_of_other_parts_are_refused(tmp_path, modules, optimizers, sentence):
    stored(tmp_path / "state")
    model, head = network(), nn.Linear(2, 2)
    parts = {"net": model, "model": model, "head": head}
    makers = {"adam": adam(model), "sgd": torch.optim.SGD(model.parameters())}
    chosen = {name: makers[name] for name in optimizers if name in makers}
    if "swapped" in optimizers:
        chosen["adam"] = torch.optim.AdamW(model.parameters())
    with pytest.raises(CheckpointError, match=sentence):
        load_state(tmp_path / "state", {name: parts[name] for name in modules}, chosen)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "state"
    model = network()
    parts = {"net": model}, {"adam": adam(model)}
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(path, *parts)
    stored(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(path, *parts)


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"state": "{"},
        {"state": "[" * 30_000},
        {"state": "[]"},
        {"state": '{"step": 3, "extra": {}, "optimizers": 7}'},
        {"state": '{"step": 3, "extra": {}, "optimizers": {"adam": [{"parameters": 1}, 2]}}'},
        {"state": '{"step": "x", "extra": {}, "optimizers": {}}'},
    ],
)
def test_damaged_metadata_of_a_state_is_refused_and_changes_nothing(tmp_path, damaged):
    path = tmp_path / "state"
    stored(path)
    with safe_open(path, "pt") as file:
        kept = {"format": file.metadata()["format"]}
    save_file(load_file(path), path, kept | damaged)
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="state"):
        load_state(path, {"net": model}, {"adam": adam(model)})
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_file_that_is_no_state_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="must be a .* training state 1, got None"):
        load_state(path, {}, {})


def test_parameters_without_a_stored_module_are_refused(tmp_path):
    model = network()
    with pytest.raises(CheckpointError, match="optimiser adam has a parameter that no"):
        save_state(tmp_path / "state", 0, {"other": nn.Linear(1, 1)}, {"adam": adam(model)})


def test_draws_of_an_item_depend_on_all_three_numbers():
    def draw(*numbers: int) -> list[float]:
        return torch.rand(4, generator=item_generator(*numbers)).tolist()

    assert draw(1, 2, 3) == draw(1, 2, 3)
    others = [draw(0, 2, 3), draw(1, 0, 3), draw(1, 2, 0), draw(1, 3, 2), draw(2, 1, 3)]
    assert len({tuple(numbers) for numbers in [*others, draw(1, 2, 3)]}) == 6


def test_first_draws_of_many_items_are_uniform():
    first = [
        torch.rand(1, generator=item_generator(0, step, item)).item()
        for step in range(64)
        for item in range(16)
    ]
    counts = np.histogram(first, bins=8, range=(0, 1))[0]
    assert ((counts - 128) ** 2 / 128).sum() < 24.3  # chi-square, 7 degrees, 0.1 %


def test_batches_come_in_order_whatever_their_threads_do():
    later = threading.Event()

    def make(step: int) -> int:
        if step == 0:
            assert later.wait(30)  # the first batch is finished after the second
        later.set()
        return step * 10

    with prefetch(make, range(20), workers=2, depth=3) as batches:
        assert list(batches) == [(step, step * 10) for step in range(20)]


def test_no_more_batches_than_asked_for_are_made_ahead():
    made: list[int] = []
    with prefetch(lambda step: made.append(step), range(100), workers=2, depth=3) as batches:
        for step, _ in batches:
            assert len(made) <= step + 3
            if step == 10:
                break
    assert len(made) <= 13


def test_an_error_comes_at_its_batch_and_leaves_no_thread():
    def make(step: int) -> int:
        if step == 3:
            raise InputError("frame 3 is damaged")
        return step

    with prefetch(make, range(10), workers=2, depth=4) as batches:
        seen = [next(batches)[0] for _ in range(3)]
        with pytest.raises(InputError, match="frame 3 is damaged"):
            next(batches)
    assert seen == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if "prefetch" in thread.name]


@dataclass
class Batch:
    images: torch.Tensor
    poses: list[np.ndarray]
    name: str


def test_finite_values_pass(tmp_path):
    check_finite(tmp_path, 0, 1, {"loss": 1.0}, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_value_stops_with_the_batch_saved(tmp_path, value):
    images = torch.randn(2, 3).bfloat16()
    batch = {"a": Batch(images.T, [np.eye(4), np.zeros(2)], "street"), "b": (images, 3)}
    with pytest.raises(NonFiniteError, match=f"rgb is {value} at step 12; the batch is saved in "):
        check_finite(tmp_path, 1, 12, {"total": 0.5, "rgb": value}, batch)
    (path,) = tmp_path.iterdir()
    assert path.name == "nonfinite_step_0000012_rank_1.safetensors"
    tensors = load_file(path)
    assert torch.equal(tensors["batch.a.images"], images.T)
    assert torch.equal(tensors["batch.b.0"], images)
    assert np.array_equal(tensors["batch.a.poses.0"].numpy(), np.eye(4))
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["rest"]) == {"batch.a.name": "'street'", "batch.b.1": "3"}
    assert json.loads(metadata["facts"])["step"] == 12
    assert issubclass(NonFiniteError, SceneDinoError)


def test_records_forget_what_is_done_again(tmp_path):
    with Records(tmp_path, 0, log_every=2) as records:
        for step in range(5):
            records.step(step, {"loss": step / 3})
        records.validation(3, {"score": 0.5})
    metrics = tmp_path / "metrics.jsonl"
    whole = metrics.read_bytes()
    with metrics.open("ab") as file:
        file.write(b'{"step": 5, "lo')  # killed while writing
    with Records(tmp_path, 3, log_every=2) as records:
        assert len(metrics.read_text().splitlines()) == 3
        assert (tmp_path / "validation.jsonl").read_text() == ""
        for step in range(3, 5):
            records.step(step, {"loss": step / 3})
    assert metrics.read_bytes() == whole
    assert json.loads(whole.splitlines()[4]) == {"step": 4, "loss": 4 / 3}


def test_a_line_cut_short_is_dropped_even_before_the_step(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1')
    with Records(tmp_path, 5, log_every=1):
        pass
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 0}\n'


@pytest.mark.parametrize("content", ["no json\n", "[]\n", "[" * 30_000 + "\n", '{"step": "x"}\n'])
def test_damaged_records_are_refused(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=r"metrics.jsonl cannot be read"):
        Records(tmp_path, 5, log_every=1)
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["no json", "[]", '{"starts": 7}', "[" * 30_000])
def test_a_damaged_origin_is_refused(tmp_path, content):
    path = tmp_path / "origin.json"
    path.write_text(content)
    with pytest.raises(InputError, match="origin.json cannot be read"):
        add_start(path, 0, 0, 1)
    assert path.read_text() == content


def test_curves_and_pictures_reach_tensorboard(tmp_path):
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    with Records(tmp_path, 0, log_every=2) as records:
        for step in range(4):
            records.step(step, {"loss": float(step)})
        records.validation(3, {"score": 0.5})
        records.picture(3, "depth", picture)
    with Records(tmp_path, 2, log_every=2) as records:
        for step in range(2, 4):
            records.step(step, {"loss": 10.0 + step})
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = [(point.step, point.value) for point in board.Scalars("train/loss")]
    assert points == [(1, 1.0), (3, 13.0)]  # the second start took the first's step 3 away
    assert "train/steps_per_second" in board.Tags()["scalars"]
    stored = Image.open(tmp_path / "pictures/depth_0000003.png")
    assert np.array_equal(np.asarray(stored), picture)
    assert [image.step for image in board.Images("depth")] == []  # taken away too


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with (
        Records(tmp_path, 0, log_every=1) as records,
        pytest.raises(InputError, match=r"picture depth must be \(H, W, 3\) uint8, got \(2, 3\)"),
    ):
        records.picture(0, "depth", np.zeros((2, 3)))
