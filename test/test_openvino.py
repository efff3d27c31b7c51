# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""OpenVINO gives PyTorch's answers, and int8 those it promises; the fastest is remembered."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import TINY, lively_checkpoint, noise_image
from torch import nn

from scenedino_ros.checkpoints.checkpoint import Checkpoint, build_model, save_checkpoint
from scenedino_ros.cli import exporting
from scenedino_ros.cli.main import main
from scenedino_ros.core import processor
from scenedino_ros.core.errors import CheckpointError, InputError, SceneDinoError
from scenedino_ros.core.file_limits import JSON_BYTES
from scenedino_ros.core.processor import describe_processor
from scenedino_ros.core.reporting import Report, silent
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.inference import int8_check
from scenedino_ros.inference.engines import (
    openvino_folder,
    openvino_graph,
    packages,
    selection,
)
from scenedino_ros.inference.engines.graph_folder import CARD, cached_folder, fingerprint
from scenedino_ros.inference.engines.int8_graph import (
    INT8,
    LEAST_IOU,
    LEAST_MIOU,
    Agreement,
    _rounded,
    known_agreement,
    read_agreement,
    write_int8,
)
from scenedino_ros.inference.engines.openvino_folder import FLOAT
from scenedino_ros.inference.engines.openvino_graph import (
    OpenVinoGraph,
    has_bfloat16,
    openvino_core,
)
from scenedino_ros.inference.engines.parity import compare
from scenedino_ros.inference.engines.remembered import Candidate
from scenedino_ros.inference.engines.selection import Opened, engine_maker, fastest_engine
from scenedino_ros.inference.engines.shared_weights import shared_copy
from scenedino_ros.inference.engines.torch_engine import TorchEngine
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.viewing.pictures import write_png

pytest.importorskip("openvino", reason="needs OpenVINO")

MODE = "stego_kmeans"
CPU = torch.device("cpu")


def network_of_one_weight() -> nn.Module:
    """Stand in for a network where engines are stand-ins, too."""
    network = nn.Linear(1, 1)
    network.encoder = nn.Module()
    network.encoder.part = "vit"
    return network


def checkpoint(seed: int = 0) -> Checkpoint:
    """Return a network whose transformer matters: an untrained one scales its layers by 1e-5."""
    found = lively_checkpoint(TINY, seed)
    scales = {k: torch.ones_like(v) for k, v in found.state.items() if k.endswith(".gamma")}
    assert len(scales) == 24
    return replace(found, state={**found.state, **scales})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which the network's graph lies, as the node puts it there."""
    folder = tmp_path_factory.mktemp("cache")
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENEDINO_CACHE", str(folder))
        engine_maker("openvino", told.append)(build_model(checkpoint()), CPU, "float32", MODE)
    assert told == ["converting the image part for OpenVINO, once"]
    return folder


@pytest.fixture
def cache(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCENEDINO_CACHE", str(filled))
    return filled


def opened(name: str, precision: str, told: list[str] | None = None) -> Opened:
    said = [] if told is None else told
    return fastest_engine(name, build_model(checkpoint()), CPU, precision, MODE, said.append)


def test_float32_is_that_of_pytorch(cache: Path) -> None:
    told: list[str] = []
    found = opened("openvino", "float32", told)
    assert told == []  # the graph was there
    assert found.engine.describe().startswith("OpenVINO ")
    assert found.engine.describe().endswith(", float32")
    ours = TorchEngine(build_model(checkpoint()), CPU, "float32", MODE)
    deviation = compare(ours, found.engine, TINY, build_model(checkpoint()).code)
    deviation.check(1e-4)
    assert deviation.map > 0  # another library computed it
    (folder,) = (cache / "graphs").iterdir()
    card = json.loads((folder / CARD).read_text())
    assert 0 < card["deviation"]["map"] < 1e-4
    assert set(card["files"]) == {"image.xml", "image.bin"}


def test_its_image_part_exists_once(cache: Path) -> None:
    engine = opened("openvino", "float32").engine
    assert isinstance(engine, TorchEngine)
    left = {name for name, _ in engine.network.named_parameters()}
    assert not [name for name in left if "encoder" in name or "decoder" in name]
    assert "plain.field.lin_out.weight" in left
    if not Path("/proc/self/smaps").exists():
        return
    # OpenVINO packs the weights for the first image; the file they came from is released then.
    file = str(next((cache / "graphs").glob("*/image.bin")).resolve())
    assert _resident_kib(file) > 1000
    with torch.inference_mode():
        first = engine.hidden_map(torch.ones(1, 3, *TINY.image_size))
        assert _resident_kib(file) == 0
        assert torch.equal(engine.hidden_map(torch.ones(1, 3, *TINY.image_size)), first)


def _resident_kib(file: str) -> int:
    """Return how much of a file is resident through memory maps of this process."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            counts = line.endswith(file)
        elif name == "Rss:" and counts:
            total += int(values[0])
    return total


def test_bfloat16_is_close_and_not_the_default(cache: Path) -> None:
    if not has_bfloat16():
        pytest.skip("needs a processor with bfloat16")
    image = torch.rand(1, 3, *TINY.image_size, generator=torch.Generator().manual_seed(5))
    low, full = (opened("openvino", name).engine for name in ("bfloat16", "float32"))
    ours = TorchEngine(build_model(checkpoint()), CPU, "bfloat16", MODE)
    with torch.inference_mode():
        exact = full.hidden_map(image)
        rounded = low.hidden_map(image)
        assert rounded.dtype == ours.hidden_map(image).dtype
    worst = (rounded.float() - exact).abs().max() / exact.abs().max()
    assert 1e-4 < worst < 0.05


def test_what_it_cannot_do(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = engine_maker("openvino")
    model = build_model(checkpoint())
    with pytest.raises(InputError, match="in precision bfloat16, float32 or int8, got 'int4'"):
        make(model, CPU, "int4", MODE)
    with pytest.raises(InputError, match="runs on a processor, but the device is cuda"):
        make(shared_copy(model), torch.device("cuda"), "float32", MODE)
    with pytest.raises(SceneDinoError, match=r"OpenVINO cannot load .*absent\.xml"):
        OpenVinoGraph(tmp_path / "absent.xml", "float32")
    monkeypatch.setattr(
        "scenedino_ros.inference.engines.openvino_graph.has_bfloat16", lambda: False
    )
    with pytest.raises(InputError, match="needs a processor with bfloat16 arithmetic"):
        make(shared_copy(model), CPU, "bfloat16", MODE)

    def absent(name: str) -> None:
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr(packages.importlib, "import_module", absent)
    with pytest.raises(InputError, match="engine openvino needs the Python package openvino"):
        make(shared_copy(model), CPU, "float32", MODE)


def test_a_graph_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = TorchEngine(build_model(lively_checkpoint(TINY, seed=1)), CPU, "float32", MODE)
    monkeypatch.setattr(openvino_folder, "OpenVinoEngine", lambda *_: other)
    monkeypatch.setattr(openvino_folder, "write_graph", lambda graph, folder: None)
    with pytest.raises(SceneDinoError, match=r"the map must be within 1e-04 of PyTorch's, got"):
        openvino_folder.export_openvino(
            build_model(checkpoint()), MODE, "0" * 64, tmp_path / "graph", lambda _: None
        )
    assert list(tmp_path.iterdir()) == []


def test_a_second_network_shares_the_weights_until_one_is_changed() -> None:
    model = build_model(checkpoint())
    other = shared_copy(model)
    ours, theirs = model.field.lin_out.weight, other.field.lin_out.weight
    assert theirs is not ours
    assert theirs.data_ptr() == ours.data_ptr()
    other.to(torch.bfloat16)
    assert model.field.lin_out.weight.dtype == torch.float32
    assert all(
        t.dtype == torch.float32 for t in model.state_dict().values() if t.is_floating_point()
    )


def test_the_package_that_reports_usage_is_not_imported() -> None:
    """OpenVINO would send statistics on import, and print nothing about it."""
    code = """
import sys
from scenedino_ros.inference.engines.packages import require_openvino
openvino = require_openvino("a test")
assert openvino.convert_model
assert sys.modules["openvino_telemetry"] is None
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    environment = {**os.environ, "CI": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Return the seconds that each engine takes; engines only have names, the cache is empty."""
    seconds = {"openvino": 0.002, "torch": 0.001}
    monkeypatch.setattr(selection, "has_bfloat16", lambda: True)

    def open_(candidate: Candidate, network: object, report: Report) -> Opened:
        return Opened(*candidate, candidate[0])

    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path))
    monkeypatch.setattr(selection, "_open", open_)
    monkeypatch.setattr(selection, "_encoding_time", lambda engine, *_: seconds[engine])
    monkeypatch.setattr(selection, "fingerprint", lambda *_: "0" * 64)
    return seconds


def _lines() -> list[str]:
    """Return what is reported when the fastest engine in float32 is opened."""
    told: list[str] = []
    fastest_engine("auto", network_of_one_weight(), CPU, "float32", MODE, told.append)
    return told


MEASURED = [
    "engine openvino in float32 takes 2 ms for an image",
    "engine torch in float32 takes 1 ms for an image",
]
REMEMBERED = ["remembered: engine torch in float32 takes 1 ms for an image"]


def test_the_fastest_engine_is_remembered(
    made_up: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _lines() == MEASURED
    monkeypatch.setattr(selection, "_encoding_time", None)  # nothing is measured again
    assert _lines() == REMEMBERED
    found = fastest_engine("auto", network_of_one_weight(), CPU, "float32", MODE, lambda _: None)
    assert found == Opened("torch", "float32", "torch")


@pytest.mark.parametrize("change", ["threads", "processor", "version", "network", "candidates"])
def test_another_machine_or_network_is_measured_again(
    made_up: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    assert _lines() == MEASURED
    measured = MEASURED
    module = "scenedino_ros.inference.engines.remembered"
    if change == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    elif change == "processor":
        monkeypatch.setattr(f"{module}.describe_processor", lambda: {"name": "another"})
    elif change == "version":
        monkeypatch.setattr(f"{module}.installed_version", lambda name: "0")
    elif change == "network":
        monkeypatch.setattr(selection, "fingerprint", lambda *_: "1" * 64)
    else:
        made_up["onnx"] = 0.003
        (tmp_path / "graphs" / "0000000000000000").mkdir(parents=True)  # exported since then
        measured = [*MEASURED, "engine onnx in float32 takes 3 ms for an image"]
    assert _lines() == measured
    assert len(list((tmp_path / "engines").iterdir())) == 2
    assert _lines() == REMEMBERED


@pytest.mark.parametrize(
    "damage",
    [
        *("no json", "[]", '{"ms": {"a": 1}}', "[" * 30_000, "foreign", "other engine", "bytes"),
        *("pipe", "huge time", "no time", "too large"),
    ],
)
def test_what_cannot_be_used_is_measured_again(
    made_up: dict[str, float], tmp_path: Path, damage: str
) -> None:
    _lines()
    (path,) = (tmp_path / "engines").iterdir()
    good = path.read_text()
    if damage == "foreign":
        path.write_text(good.replace('"threads": ', '"threads": 9'))
    elif damage == "other engine":
        path.write_text(good.replace('"fastest": "torch', '"fastest": "compiled'))
    elif damage == "bytes":
        path.write_bytes(b"\xff")
    elif damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif damage == "too large":
        os.truncate(path, JSON_BYTES + 1)
    elif damage.endswith("time"):
        time = "9" * 400 if damage == "huge time" else "NaN"
        path.write_text(good.replace('"torch in float32": 1.0', f'"torch in float32": {time}'))
    else:
        path.write_text(damage)
    first, *others = _lines()
    assert first.startswith(f"{path} ")
    assert first.endswith("engines are measured again")
    assert others == MEASURED
    assert path.read_text() == good


def test_an_engine_that_cannot_be_opened_any_more_is_replaced(
    made_up: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up["openvino"] = 0.0001
    _lines()
    open_ = selection._open

    def fail(candidate: Candidate, network: object, report: Report) -> Opened:
        if candidate[0] == "openvino":
            raise RuntimeError("out of order")
        return open_(candidate, network, report)

    monkeypatch.setattr(selection, "_open", fail)
    assert _lines() == [
        "engine openvino in float32 was the fastest, but cannot be used: out of order",
        "engine openvino in float32 is left out: out of order",
        MEASURED[1],
    ]
    assert _lines() == REMEMBERED


def test_the_reason_is_given_where_no_engine_can_be_used(
    made_up: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise InputError("engine openvino is out of order")

    monkeypatch.setattr(selection, "_open", fail)
    with pytest.raises(InputError, match="engine openvino is out of order"):
        fastest_engine("openvino", network_of_one_weight(), CPU, "auto", MODE, lambda _: None)


def test_a_cache_that_cannot_be_written_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path / "file" / "cache"))
    told: list[str] = []
    warned: list[str] = []
    model = build_model(checkpoint())
    found = fastest_engine("auto", model, CPU, "auto", MODE, told.append, warned.append)
    assert found.name == "torch"
    (line,) = warned
    assert "set SCENEDINO_CACHE to a folder that is writable; the engines are" in line
    with pytest.raises(InputError, match="set SCENEDINO_CACHE to a folder that is writable"):
        opened("onnx", "float32")
    with pytest.raises(InputError, match="set SCENEDINO_CACHE to a folder that is writable"):
        opened("openvino", "float32")


def test_a_cache_without_room_leaves_an_engine_out_and_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(network: object, folder: Path) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")  # as OpenVINO does

    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path))
    warned: list[str] = []
    for _ in range(2):  # it is measured at each start
        with monkeypatch.context() as patch:
            patch.setattr(openvino_folder, "write_graph", fill)
            found = fastest_engine(
                "auto", build_model(checkpoint()), CPU, "float32", MODE, silent, warned.append
            )
        assert found.name == "torch"
    assert len(warned) == 2
    assert warned[0].startswith("engine openvino is left out: its graphs cannot be written to the")
    assert "(basic_ios::clear: iostream error); the engines are measured at each" in warned[0]
    assert not (tmp_path / "engines").exists()
    with monkeypatch.context() as patch:
        patch.setattr(openvino_folder, "write_graph", fill)
        with pytest.raises(InputError, match="its graphs cannot be written to the cache"):
            opened("openvino", "float32")


def test_a_cache_that_may_not_be_read_leaves_the_engine_of_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any error of the system, which no permission can give where the tests run as root.
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path / ("a" * 300)))
    warned: list[str] = []
    model = build_model(checkpoint())
    found = fastest_engine("auto", model, CPU, "auto", MODE, silent, warned.append)
    assert found.name == "torch"
    assert len(warned) == 1
    assert "File name too long" in warned[0]


def test_a_slower_engine_is_timed_no_longer() -> None:
    class Counted(TorchEngine):
        images = 0

        def hidden_map(self, image: torch.Tensor) -> torch.Tensor:
            self.images += 1
            return image

    network = selection._Network(build_model(checkpoint()), CPU, MODE)
    engine = Counted(network.model, CPU, "float32", MODE)
    selection._encoding_time(engine, network, limit=0.0)
    assert engine.images == 2
    selection._encoding_time(engine, network, limit=float("inf"))
    assert engine.images == 2 + 4


def test_auto_asks_nobody_where_one_engine_fits(cache: Path) -> None:
    told: list[str] = []
    found = opened("torch", "bfloat16", told)
    assert (found.name, found.precision, told) == ("torch", "bfloat16", [])
    with pytest.raises(
        InputError, match="no engine runs in precision 'int4' here, but torch in bfloat16 or"
    ):
        opened("auto", "int4")


def test_processors_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = describe_processor()
    assert found["name"]
    x86 = tmp_path / "x86"
    core = "vendor_id\t: Maker\nmodel name\t: Fast 9\nflags\t\t: fpu avx2 amx_bf16 hle\n\n"
    x86.write_text("processor\t: 0\n" + core + "processor\t: 1\n" + core)
    monkeypatch.setattr(processor, "_CPUINFO", x86)
    assert describe_processor() == {"name": "Maker Fast 9", "instructions": "amx_bf16 avx2"}
    arm = tmp_path / "arm"
    arm.write_text("Features\t: fp asimd bf16 i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n")
    monkeypatch.setattr(processor, "_CPUINFO", arm)
    assert describe_processor() == {"name": "0x41 0xd0c", "instructions": "asimd bf16 i8mm"}
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "absent")
    assert describe_processor()["instructions"] == ""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with eight images of a camera."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(8):
        write_png(folder / f"{number}.png", noise_image(seed=number))
    return folder


@pytest.fixture
def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = VoxelGrid((-3.0, -2.0, 1.0), (20, 14, 24), 0.3)
    monkeypatch.setattr(int8_check, "_GRID", grid)


@pytest.mark.usefixtures("small_grid")
def test_int8_is_written_compared_and_run(
    filled: Path,
    tmp_path: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measured(*arguments: Any, again: bool) -> Opened:
        assert again  # whatever is remembered
        arguments[-1]("engine openvino in int8 takes 1 ms for an image")
        return Opened("openvino", "int8", arguments[1])

    shutil.copytree(filled, tmp_path / "cache")
    monkeypatch.setenv("SCENEDINO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(exporting, "fastest_engine", measured)
    file = tmp_path / "tiny.safetensors"
    save_checkpoint(file, checkpoint())
    folder = cached_folder(fingerprint(build_model(checkpoint()), MODE), INT8)
    # Who asks for int8 gets it; how good it is, nobody knows yet.
    assert opened("openvino", "int8").engine.describe().endswith(", int8")
    assert read_agreement(folder) is None
    command = ["export", str(file), "--int8", str(pictures)]
    assert main([*command, "-o", str(tmp_path / "graphs")]) == 2
    assert "--int8 writes to the cache" in capsys.readouterr().err
    assert main(command) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "compared 8 images: IoU " in out
    assert "engine openvino in int8 takes 1 ms for an image" in out
    agreement = read_agreement(folder)
    assert agreement is not None
    assert ("auto may take it" in out) == agreement.is_enough
    assert agreement.images == 8
    # Another network of random weights is a hundred times as far off (below).
    assert 0.998 < agreement.iou <= 1
    assert 0 < agreement.depth_abs_rel < 1e-3
    assert opened("openvino", "int8").engine.describe().endswith(", int8")
    assert main(command) == 2
    assert "exists; --force replaces it" in capsys.readouterr().err
    (folder / "image.bin").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="are not those that were written for this network"):
        opened("openvino", "int8")


@pytest.mark.usefixtures("small_grid")
def test_another_network_does_not_agree(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        int8_check,
        "write_int8",
        lambda _, mode, folder: write_int8(build_model(checkpoint()), mode, folder),
    )
    other = checkpoint(seed=1)
    card = int8_check.export_int8(
        other, MODE, pictures, tmp_path / "int8", "0" * 64, lambda _: None
    )
    agreement = read_agreement(tmp_path / "int8")
    assert agreement is not None
    assert not agreement.is_enough
    assert agreement.iou == card["agreement"]["iou"] < 0.99
    assert agreement.miou == card["agreement"]["miou"] < 0.8
    assert agreement.depth_abs_rel > 0.01


@pytest.mark.parametrize(
    ("iou", "miou", "taken"),
    [
        (LEAST_IOU, LEAST_MIOU, True),
        (LEAST_IOU - 0.001, 1.0, False),
        (1.0, LEAST_MIOU - 0.001, False),
        (1.0, float("nan"), False),
        (None, None, False),
    ],
)
def test_auto_takes_int8_only_above_the_floor(
    made_up: dict[str, float], tmp_path: Path, iou: float, miou: float, taken: bool
) -> None:
    folder = tmp_path / "graphs" / f"{'0' * 16}{INT8}"
    folder.mkdir(parents=True)
    agreement = {"images": 8, "iou": iou, "miou": miou, "depth_abs_rel": 0.01}
    (folder / CARD).write_text(json.dumps({"agreement": agreement}))
    for engine in ("auto", "openvino"):
        told: list[str] = []
        fastest_engine(engine, network_of_one_weight(), CPU, "auto", MODE, told.append)
        assert any(" in int8 takes " in line for line in told) == taken
    found = fastest_engine("auto", network_of_one_weight(), CPU, "int8", MODE, lambda _: None)
    assert (found.name, found.precision) == ("openvino", "int8")  # asked for by name


def test_scores_leave_out_rare_classes() -> None:
    # Free voxels, a class that is found, one that is found half, and one of a single voxel.
    confusion = np.array([[9, 0, 0, 0], [0, 5000, 0, 0], [0, 0, 1000, 1000], [0, 1, 0, 0]])
    assert int8_check.miou(confusion) == pytest.approx((5000 / 5001 + 0.5) / 2)
    assert not Agreement(8, 1.0, int8_check.miou(np.zeros((3, 3), np.int64)), 0.0).is_enough


def test_compared_images_are_spread_over_the_folder(tmp_path: Path, pictures: Path) -> None:
    assert [path.stem for path in int8_check.compared_images(pictures)] == list("01234567")
    (pictures / "7.png").unlink()
    with pytest.raises(InputError, match="comparing int8 needs at least 8 images, got 7 in "):
        int8_check.compared_images(pictures)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(2000):
        (many / f"{number}.png").touch()
    numbers = sorted(int(path.stem) for path in int8_check.compared_images(many))
    assert len(set(numbers)) == 32
    assert max(np.diff(numbers)) < 70


def test_linear_layers_of_the_blocks_are_rounded_and_nothing_else(tmp_path: Path) -> None:
    write_int8(build_model(checkpoint()), MODE, tmp_path)
    kinds: dict[str, list[str]] = {}
    for operation in openvino_core().read_model(tmp_path / "image.xml").get_ordered_ops():
        if operation.get_type_name() in ("MatMul", "Convolution"):
            weights = operation.input_value(1).get_node().get_type_name()
            kinds.setdefault(weights, []).append(operation.get_friendly_name())
    assert len(kinds["Reshape"]) == 48  # four layers of each of the twelve blocks, restored
    assert all(".blocks." in name for name in kinds["Reshape"])
    assert not any(".blocks." in name for name in kinds["Constant"])


def test_openvino_rounds_what_a_layer_reads_in_the_same_groups(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cached_folder(fingerprint(build_model(checkpoint()), MODE), FLOAT)
    monkeypatch.setattr(openvino_graph, "ROUNDED_TOGETHER", 96)  # not what OpenVINO takes itself
    compiled = OpenVinoGraph(folder / "image.xml", "int8")._request.get_compiled_model()
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 96


def test_weights_are_rounded_group_by_group() -> None:
    ov = packages.require_openvino("a test")
    draws = np.random.default_rng(0)
    weights = draws.normal(size=(3, 128)).astype(np.float32)
    weights[0, 64:] *= 1000  # no other group loses by it
    weights[1, :64] = 0
    graph = ov.Model([ov.opset13.result(_rounded(ov, weights))], [])
    found = openvino_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({})[0]
    step = np.abs(weights.reshape(3, 2, 64)).max(axis=-1, keepdims=True) / 127
    assert (np.abs(found - weights).reshape(3, 2, 64) <= 0.501 * step).all()


def test_the_default_model_states_its_agreement() -> None:
    model = build_model(NetworkChoice("default").load())
    agreement = known_agreement(fingerprint(model, MODE))
    assert agreement is not None
    assert agreement.is_enough
    assert agreement.images == 32
    assert known_agreement(fingerprint(build_model(checkpoint()), MODE)) is None


def test_auto_takes_int8_of_a_network_that_is_known_to_agree(
    made_up: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for agreement, taken in ((Agreement(8, 1.0, 1.0, 0.0), True), (None, False)):
        monkeypatch.setattr(selection, "known_agreement", lambda _, found=agreement: found)
        told: list[str] = []
        fastest_engine("auto", network_of_one_weight(), CPU, "auto", MODE, told.append, again=True)
        assert any(" in int8 takes " in line for line in told) == taken


def test_a_signal_comes_through_after_another_thread_has_freed_an_engine(cache: Path) -> None:
    folder = cached_folder(fingerprint(build_model(checkpoint()), MODE), FLOAT)
    script = """
import os, signal, sys, threading
from pathlib import Path
from scenedino_ros.inference.engines.openvino_graph import OpenVinoGraph

taken = []
signal.signal(signal.SIGINT, lambda number, frame: taken.append(number))
graphs = [OpenVinoGraph(Path(sys.argv[1]), "float32")]
other = threading.Thread(target=graphs.clear)
other.start()
other.join()
os.kill(os.getpid(), signal.SIGINT)
assert taken == [signal.SIGINT]
"""
    command = [sys.executable, "-c", script, str(folder / "image.xml")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
