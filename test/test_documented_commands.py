# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Every command of the documents and of --help is understood, and what can run here is run, small.

The commands are taken from the texts: a word that no parser knows, a folder that no line before
has made, or a command that has no row below, fails here.
"""

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from documented import ROOT, Snippet, documented, run_in_shell
from official_files import small_state, training_config, write_folder
from stereo_drive import write_stereo_drive
from test_dataset_rigs import write_argoverse, write_dgp

from scenedino_ros.checkpoints.checkpoint import (
    SMALL_CONFIG,
    load_checkpoint,
    save_checkpoint,
    untrained_checkpoint,
)
from scenedino_ros.cli import main as cli
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.parameter_tree import walk_settings
from scenedino_ros.demo.arguments import make_parser
from scenedino_ros.recordings.frame_store.store import FrameStore
from scenedino_ros.recordings.poses import read_tum_trajectory
from train import coarsen, train_field, train_semantics

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLED = Path(sys.executable).with_name("scenedino")
DOCUMENTED = documented()
STAGES = {
    "train.train_field": train_field,
    "train.coarsen": coarsen,
    "train.train_semantics": train_semantics,
}
CALIBRATION = """\
image_width: 1408
image_height: 376
camera_matrix: {data: [552.55, 0, 682.05, 0, 552.55, 238.77, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {data: [0, 0, 0, 0, 0]}
rectification_matrix: {data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {data: [552.55, 0, 682.05, 0, 0, 552.55, 238.77, 0, 0, 0, 1, 0]}
"""
# Values for "..." in the documents, by the option before it.
LEFT_OUT = {"--config": "train/configs/field_smoke.yaml"}
INCOMPLETE = re.compile(r"(are|is) required|expected (one|at least one) argument")

# Blocks that run whole, by place and a word of theirs; each in a world of its own.
BLOCKS = (
    ("docs/training.md", "1990-1995"),
    ("docs/training.md", "runs/smoke"),
    ("docs/results/README.md", "runs/segmentation"),
)
# Commands that run alone, and what makes them small; in the world of `alone`.
ALONE = {
    "scenedino synthesize streets --seeds 900-903 --frames 50 --write bags folders": "--seeds 900",
    "scenedino info": "",
    "scenedino info dino.safetensors": "",
    "scenedino info dino.safetensors --json": "",
    "scenedino index drive --check": "",
    "scenedino index drive -o drive.store": "--image-size 96x320 --workers 1",
    "scenedino index drive -o part.store --frames 0-23": "--image-size 96x320 --frames 0-1",
    "scenedino kitti360-to-bag KITTI-360 -o bags": "",
    "scenedino index 'bags/*' -o stores": "",
    "scenedino dataset-to-bag dgp ddad_scene -o bags/ddad "
    "--cameras CAMERA_01,CAMERA_05,CAMERA_06": "--cameras FRONT,LEFT",
    "scenedino dataset-to-bag argoverse argoverse_stereo -o bags/argoverse": "",
    "scenedino kitti-to-bag kitti_odometry -o bags": "",
    "scenedino poses kitti_odometry/sequences/06 -o 06.tum --report 06.csv": "",
    "scenedino poses kitti_odometry/sequences/06 --compare kitti_odometry/poses/06.txt": "",
    "scenedino predict street.png --intrinsics 552.55,552.55,682.05,238.77 -o out": "",
    "scenedino predict street.png --camera-info calibration.yaml -o out "
    "--thresholds 0.2,0.5,1,2": "--force",
    "scenedino predict street.png --camera-info calibration.yaml --rectified -o out "
    "--grid sscbench --camera-pose 0.804,0.299,-0.177,-0.530,0.513,-0.464,0.491 "
    "--grow": "--force",
    "scenedino convert seg-best-dino -o dino.safetensors": "--force",
    "scenedino convert my_run/checkpoint.pt -o mine.safetensors "
    "--image-size 192x640": "--image-size 32x64",
    "scenedino convert my_run -o mine.safetensors --classes classes.yaml "
    "--license CC-BY-4.0": "--force",
    "python -m train.average A B -o C": "",
    "python -m train.release runs/semantics/semantics.safetensors -o model.safetensors "
    "--weights 'what they are, in one sentence' --license 'what may be done with them' "
    "--density-threshold 1.0": "",
}
# All other commands, and why they do not run here; each is parsed, and most have tests of theirs.
NOT_RUN = (
    (
        r"(cd|git|rosdep|pip|source|sudo|mkdir|tensorboard|jq) .*",
        "not programs of this package",
    ),
    (r"python3 .*", "makes a workspace; test_packaging.py does"),
    (r"ros2 launch .*", "needs an installed ROS 2; test_launch.py, test_launch_examples.py"),
    (
        r"ros2 (run (depth_image_proc|nav2_lifecycle_manager)|action|pkg|service) .*",
        "needs a running node or Nav2",
    ),
    (
        r"(ros2 security|export ROS_SECURITY_KEYSTORE|scenedino_node .*--enclave).*",
        "needs SROS 2; test_access.py",
    ),
    (r"ros2 run .*", "test_node_process.py starts the node"),
    (r"ros2 param set .*", "needs a running node; test_params.py"),
    (r"ros2 topic pub .*", "needs a running node; test_node_process.py"),
    (r"\./test\.sh.*", "runs this"),
    (r"\./demo\.sh.*", "makes an environment; test_demo.py runs what it starts"),
    (r"torchrun.*", "processes of a machine with GPUs; test_training_field_run.py has two"),
    (r"scenedino .*ssc-kitti-360-dino.*", "needs weights from the network; test_hub.py"),
    (
        r"scenedino .*(KITTI-360|kitti360_sequence|data_2d_raw|DRIVE|cityscapes|bdd100k).*",
        "data sets",
    ),
    (r"scenedino .*(RealEstate10K|re10k).*", "data sets"),
    (r"scenedino (convert|view|export|benchmark)\b.*", "test_cli, test_engines, test_benchmark*"),
    (r"scenedino (kitti|folder)-to-bag .*", "test_kitti.py, test_folder_to_bag.py"),
    (r"scenedino poses .*", "test_stereo_poses.py"),
    (r"scenedino reproduce .*", "long training, or data sets; test_reproduction.py"),
    (r"scenedino label-images .*", "needs a segmentation network; test_label_images.py makes one"),
    (r"scenedino dataset-to-bag .*", "data sets; test_dataset_rigs.py"),
    (
        r"scenedino index .*(--cameras|--pose-file|--body-frame|bags/|orbslam3).*",
        "test_recordings.py",
    ),
    (r"scenedino evaluate map\b.*", "test_map_evaluation.py, with a network made of waves"),
    (r"scenedino evaluate .*streets.*", "test_evaluate_streets.py runs them all"),
    (r"scenedino evaluate\b.*", "test_evaluate_ssc.py, test_image_evaluations.py"),
    (r"scenedino (report|predict)\b.*", "test_report.py, test_cli.py"),
    (r"scenedino synthesize .*", "runs with other seeds above"),
    (r"python -m train\.benchmark_\w+.*", "test_training_field_run.py, test_speed.py"),
    (
        r"python -m train\.(train_\w+|coarsen|average|draw_labels|release) .*",
        "hours; runs small above, or a recipe",
    ),
)


def commands_of(snippet: Snippet, folder: Path) -> list[list[str]]:
    """Return the programs that a snippet calls, with their arguments."""
    calls: list[list[str]] = []
    run_in_shell(snippet.script, folder, lambda words: calls.append(words) or 0)
    return calls


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                whole = child
                if parser.prog == "scenedino":  # only the chosen subcommand has its arguments
                    whole = cli.build_parser([name])._subparsers._group_actions[0].choices[name]
                yield from parsers(whole)


def examples(parser: argparse.ArgumentParser) -> Iterator[Snippet]:
    """Yield the examples in the help of a parser and of its subcommands."""
    for each in parsers(parser):
        if "examples:\n" in (each.epilog or ""):
            text = each.epilog.split("examples:\n")[1].split("\n\n")[0]
            lines = re.sub(r"^  demo\.sh", "  ./demo.sh", text, flags=re.MULTILINE)
            yield Snippet(f"{each.prog} --help", lines.strip() + "\n")


SNIPPETS = [*DOCUMENTED, *examples(cli.build_parser()), *examples(make_parser())]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[Snippet, list[list[str]]]:
    folder = tmp_path_factory.mktemp("shell")
    return {snippet: commands_of(snippet, folder) for snippet in SNIPPETS}


@pytest.fixture
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


class Parsed(Exception):  # noqa: N818 - not an error
    """A script has read its command line and wants to begin."""


def understand(words: Sequence[str], *, inline: bool = False) -> bool:
    """Read a command line as its program does.

    Args:
        words: Program and arguments.
        inline: It stands in a sentence, and may leave out what the program needs.

    Returns:
        Whether it is complete.

    Raises:
        AssertionError: If the program would refuse it.
    """
    program, *rest = filled_in(words)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            READERS.get(program, lambda _: None)(rest)
    except SystemExit as ended:
        if not ended.code:
            return True
        complaint = errors.getvalue()
        if (inline or "..." in words) and INCOMPLETE.search(complaint):
            return False
        raise AssertionError(f"{shlex.join(words)}: {complaint}") from None
    except SceneDinoError as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from error
    return True


def filled_in(words: Sequence[str]) -> list[str]:
    """Return words with something in place of "...", and without the brackets of a synopsis."""
    found: list[str] = []
    for word in words:
        if word != "...":
            found.append(word.strip("[]") if re.search(r"^\[|[A-Z]\]$", word) else word)
        elif found[-1].startswith("--"):
            found.append(LEFT_OUT.get(found[-1], "anything"))
    return found


def read_scenedino(words: list[str]) -> None:
    attached = cli._attach_negative_values(words)
    cli.build_parser(attached).parse_args(attached)


def read_python(words: list[str]) -> None:
    assert words[0] == "-m", words
    name, rest = words[1], words[2:]
    if name == "scenedino_ros.cli":
        return read_scenedino(rest)
    if name in STAGES:
        return read_stage(STAGES[name], rest)
    module = importlib.import_module(name)
    with pytest.MonkeyPatch.context() as patch:
        for work in ("draw", "load_checkpoint", "measure"):
            if hasattr(module, work):
                patch.setattr(module, work, begin)
        patch.setattr(module, "exit_code", lambda _, body: body())
        with pytest.raises(Parsed):
            module.main(rest)


def begin(*_: object) -> None:
    raise Parsed


def read_stage(module: object, words: list[str]) -> None:
    words = [word.replace("configs/X.yaml", "configs/field_smoke.yaml") for word in words]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", lambda _: begin())
        patch.setattr(module, "exit_code", lambda _, body: body())
        if "--resume" in words and "--config" not in words:
            words += ["--config", LEFT_OUT["--config"]]  # there is no run to resume
        with pytest.raises(Parsed):
            module.main(words)


def read_torchrun(words: list[str]) -> None:
    if words:
        read_python(words[words.index("-m") :])


def launch_arguments(name: str) -> set[str]:
    """Return the arguments of a launch file, with those of the package's own if it includes it."""
    (path,) = (ROOT / "launch").rglob(name)
    text = path.read_text(encoding="utf-8")
    known = set(re.findall(r'DeclareLaunchArgument\(\s*"(\w+)"', text))
    return known | launch_arguments("scenedino.launch.py") if "SCENEDINO" in text else known


def read_ros2(words: list[str]) -> None:
    if words[:3] == ["run", "scenedino_ros", "scenedino_node"]:
        return read_node(words[3:])
    if words[:3] == ["param", "set", "/scenedino"]:
        live = {item.name for item in walk_settings(NodeSettings()) if item.metadata["live"]}
        assert words[3] in live, words
        return
    if words[:3] == ["topic", "pub", "--once"]:
        topic, kind, values = words[3:]
        table = (ROOT / "docs/topics.md").read_text(encoding="utf-8")
        name = topic.replace("/scenedino/", "~/")
        assert re.search(rf"^\|.*`{name}` \| `{kind.replace('/msg/', '/')}` \| in ", table, re.M)
        assert set(yaml.safe_load(values)) == {"header", "point"}
        return
    if words[:1] != ["launch"]:
        programs = "run (depth_image_proc|nav2_lifecycle_manager)"
        known = f"{programs}|action send_goal|pkg prefix|service call|security create_\\w+"
        assert re.fullmatch(known, " ".join(words[:2])), words
        return
    assert words[:2] == ["launch", "scenedino_ros"], words
    arguments = launch_arguments(words[2])
    named = {word.split(":=")[0] for word in words[3:] if word != "--show-args"}
    assert named <= arguments, named - arguments


def read_node(words: list[str]) -> None:
    if words[:2] == ["--ros-args", "--enclave"]:
        return
    assert words[:2] == ["--ros-args", "-p"], words
    assert words[2].split(":=")[0] in {item.name for item in walk_settings(NodeSettings())}


READERS = {
    "scenedino": read_scenedino,
    "scenedino_node": read_node,
    "python": read_python,
    "torchrun": read_torchrun,
    "ros2": read_ros2,
    "./demo.sh": lambda words: make_parser().parse_args(words),
}


@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_every_command_is_understood(snippet: Snippet, commands) -> None:
    assert commands[snippet]
    for words in commands[snippet]:
        understand(words, inline=snippet.inline)


def test_there_are_commands_in_every_document() -> None:
    places = {snippet.place for snippet in SNIPPETS}
    assert {"README.md", "MODEL_CARD.md", "demo.sh --help"} <= places
    pages = ("commands", "evaluation", "install", "streets", "training")
    assert {f"docs/{page}.md" for page in pages} <= places
    assert {f"{parser.prog} --help" for parser in parsers(cli.build_parser())} <= places


@pytest.mark.usefixtures("at_the_root")
@pytest.mark.parametrize(
    "words",
    [
        "scenedino predict street.png --intrinsics 1,2,3 -o out",
        "scenedino evaluate scc KITTI-360 -o runs/ssc",
        "scenedino index drive",
        "python -m train.train_field --config train/configs/field_default.yml --output runs/field",
        "python -m train.train_semantics --output runs/a --head.cluster 3",
        "python -m train.average A",
        "ros2 launch scenedino_ros scenedino.launch.py weights:=a",
        "ros2 launch scenedino_ros usb_cam.launch.py weights:=a",
        "ros2 launch scenedino_ros nav2.launch.py rviz:=true",
        "scenedino_node --ros-args -p model.weights:=a",
        "ros2 param set /scenedino model.checkpoint a",
        "./demo.sh --bags drive",
    ],
)
def test_a_wrong_command_is_found(words: str) -> None:
    with pytest.raises(AssertionError):
        understand(words.split())


@pytest.mark.usefixtures("at_the_root")
def test_every_command_runs_or_has_a_reason_not_to(commands) -> None:
    used, unknown = set(), []
    for snippet, calls in commands.items():
        for words in [] if in_blocks(snippet) else calls:
            line = shlex.join(words)
            if line in ALONE or not understand(words, inline=snippet.inline):
                continue
            rows = [pattern for pattern, _ in NOT_RUN if re.fullmatch(pattern, " ".join(words))]
            used.update(rows[:1])
            unknown += [] if rows else [f"{snippet.place}: {line}"]
    assert unknown == []
    assert used == {pattern for pattern, _ in NOT_RUN}
    lines = {shlex.join(words) for calls in commands.values() for words in calls}
    assert set(ALONE) <= lines, set(ALONE) - lines


def in_blocks(snippet: Snippet) -> bool:
    return any(snippet.place == place and word in snippet.script for place, word in BLOCKS)


class World:
    """A folder in which commands of the documents run, made small.

    The first commands of some kinds are started as a user does, the others run in this process.
    """

    SMALL = {
        "synthesize": "--frames 2 --width 176 --rays 1 --cameras camera_00 camera_01 --workers 1",
        "index": "--image-size 96x320 --workers 1",
        "predict": "--device cpu --image-size 96x320 --shape 16,8,16",
        "evaluate": "--device cpu --image-size 96x320 --workers 1",
        "consistency": "--stride 1",
        "train.train_field": "--run.steps 2 --run.device cpu --run.workers 1 --run.save_every 1 "
        "--run.precision float32 --model.image_size 96,320 --rays.patches 4 "
        "--data.validation_items 1",
        "train.train_semantics": "--run.steps 2 --run.device cpu --run.workers 1 "
        "--naming.images 2 --sample.images 2 --sample.pixels 400 --head.pixels 64",
        "resumed": "--run.steps 3",
    }
    to_start = {"synthesize", "index", "train.train_field"}  # by all worlds together

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        # Streets that are named by their number are made in any case.
        self._named = {int(number) for number in re.findall(r"street_(\d{4})", script)}
        self._named |= {
            int(stem + digit)
            for stem, digits in re.findall(r"street_(\d{3})\[(\d+)\]", script)
            for digit in digits
        }

    def call(self, words: list[str]) -> int:
        """Run a command, small; return its exit code."""
        program, *rest = words
        if program == "ros2":
            return 0
        if program == "python":
            module, rest = rest[1], rest[2:]
            kind = "resumed" if "--resume" in rest else module
            return self._run(module, [*rest, *self.SMALL.get(kind, "").split()])
        assert program == "scenedino", words
        rest = [name for word in rest for name in sorted(glob(word)) or [word]]
        small = [word for name in rest[:2] for word in self.SMALL.get(name, "").split()]
        return self._run("scenedino", [*self._fewer_seeds(rest), *small])

    def _fewer_seeds(self, words: list[str]) -> list[str]:
        if "--seeds" not in words:
            return words
        place = words.index("--seeds") + 1
        seeds: list[int] = []
        for part in words[place].split(","):
            low, _, high = part.partition("-")
            these = range(int(low), int(high or low) + 1)
            seeds += [n for n in these if n in self._named] or sorted({these[0], these[-1]})
        return [*words[:place], ",".join(map(str, seeds)), *words[place + 1 :]]

    def _run(self, name: str, words: list[str]) -> int:
        kind = words[0] if name == "scenedino" else name
        if kind not in self.to_start:
            main = cli.main if name == "scenedino" else importlib.import_module(name).main
            return main(words)
        self.to_start.discard(kind)
        start = [INSTALLED] if name == "scenedino" else [sys.executable, "-m", name]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        command = [*start, *words]
        return subprocess.run(command, env=environment, timeout=1800, check=False).returncode


@pytest.fixture
def world_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train").symlink_to(ROOT / "train")
    picture = np.random.default_rng(0).integers(0, 256, (94, 352, 3), np.uint8)
    picture = cv2.resize(picture, (1408, 376))
    for name in ("image.png", "street.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "calibration.yaml").write_text(CALIBRATION)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("place", "word"), BLOCKS)
def test_a_quick_start_runs_as_it_stands(place: str, word: str, world_folder: Path) -> None:
    (snippet,) = [s for s in DOCUMENTED if s.place == place and word in s.script and not s.inline]
    world = World(world_folder, snippet.script)
    done = []

    def call(words: list[str]) -> int:
        done.append((shlex.join(words), world.call(words)))
        return done[-1][1]

    try:
        run_in_shell(snippet.script, world_folder, call)
    except AssertionError:
        assert [line for line, status in done if status] == []
        raise
    assert len(done) > 2


@pytest.mark.slow
def test_commands_run_alone(world_folder: Path) -> None:
    world = World(world_folder, "")
    config = replace(SMALL_CONFIG, image_size=(32, 64), decoder_width=8, hidden_dim=16)
    for name in ("dino", "runs/semantics/semantics", "A", "B"):
        save_checkpoint(Path(f"{name}.safetensors"), untrained_checkpoint(config))
    for name in "AB":
        Path(f"{name}.safetensors").rename(name)
    write_dgp(Path("ddad_scene"))
    write_argoverse(Path("argoverse_stereo"))
    write_stereo_drive(Path("kitti_odometry"), 2, name="06")
    write_folder(Path("my_run"), small_state(), training_config((32, 64)))
    Path("seg-best-dino").symlink_to("my_run")
    classes = [{"id": i, "name": f"{i}", "color": [i, i, i], "ssc_id": i % 16} for i in range(19)]
    Path("classes.yaml").write_text(yaml.safe_dump({"classes": classes}))
    Path("KITTI-360").symlink_to("streets/kitti360")
    Path("drive").symlink_to("streets/bags/street_0900")
    failed = [line for line, small in ALONE.items() if world.call(shlex.split(f"{line} {small}"))]
    assert failed == []
    assert load_checkpoint(Path("C")).config == config
    assert load_checkpoint(Path("model.safetensors")).density_threshold == 1.0
    assert len(FrameStore(Path("part.store"))) == 2
    assert Path("out/street/voxels.npz").is_file()
    assert len(list(Path("bags").iterdir())) == 4
    assert len(read_tum_trajectory(Path("06.tum"))) == 2


def test_the_python_example_runs(world_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = README.split("```python\n", 1)[1].split("```", 1)[0]
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out
