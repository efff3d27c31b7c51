# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Who may import what: the parts stay apart, and each runs where the others' needs are absent."""

import ast
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Top-level names of packages that come with ROS. `rosbags` is not one: it reads bags without ROS.
ROS_PACKAGES = (
    r"rclpy|tf2_\w+|cv_bridge|image_transport|image_geometry|message_filters|launch|launch_\w+"
    r"|ros2\w+|rosbag2_\w+|rosidl_\w+|rpyutils|ament_\w+|diagnostic_updater|tf_transformations"
    r"|sensor_msgs_py|\w+_msgs|\w+_srvs|\w+_interfaces"
)
ROS = "any ROS package"

NETWORKS = tuple(
    f"scenedino_ros.{room}" for room in ("network", "checkpoints", "inference")
)  # what loads PyTorch

# The rooms of the package, from the ground up: a room imports itself and those before it.
ROOMS = (
    *("core", "cameras", "network", "checkpoints", "viewing", "recordings", "terminal"),
    *("inference", "mapping", "evaluation", "reproduction", "streets", "node", "demo"),
    *("benchmark", "cli"),
)
# Rooms that only these others may import; `train` is the folder beside the package.
IMPORTED_BY = {
    "reproduction": ("cli",),
    "streets": ("cli",),
    "node": ("demo", "benchmark"),
    "demo": ("benchmark", "cli"),
    "benchmark": ("cli",),
    "cli": (),
}

# Module pattern, and what it never imports beside that.
NEVER = (
    ("scenedino_ros.*", ("train", "test")),
    ("train.*", ("test", ROS, "rich.progress")),  # the one progress bar is in terminal
    ("scenedino_ros.core.*", (ROS, "torch")),
    ("scenedino_ros.cameras.*", (ROS,)),
    ("scenedino_ros.cameras.camera", ("torch",)),
    ("scenedino_ros.cameras.from_msg", ("torch",)),
    ("scenedino_ros.network.*", (ROS, "scenedino_ros.cameras")),
    ("scenedino_ros.network.field", ("scenedino_ros.network.model",)),
    ("scenedino_ros.network.render", ("scenedino_ros.network.model",)),
    ("scenedino_ros.network.model", ("scenedino_ros.core.voxels",)),
    ("scenedino_ros.checkpoints.*", (ROS, "scenedino_ros.cameras", "scenedino_ros.core.voxels")),
    ("scenedino_ros.viewing.*", (ROS, "torch", *NETWORKS)),
    ("scenedino_ros.recordings.*", (ROS, "torch", *NETWORKS)),
    ("scenedino_ros.terminal.*", (ROS, "torch")),
    ("scenedino_ros.inference.*", (ROS, "scenedino_ros.recordings", "scenedino_ros.viewing")),
    ("scenedino_ros.mapping.*", (ROS, "scenedino_ros.recordings", "scenedino_ros.terminal")),
    ("scenedino_ros.evaluation.*", (ROS, "scenedino_ros.terminal")),
    ("scenedino_ros.reproduction.*", (ROS, "scenedino_ros.terminal")),
    ("scenedino_ros.streets.*", (ROS, "torch", *NETWORKS)),
    ("scenedino_ros.cli.*", (ROS, "rich.progress")),
    ("scenedino_ros.demo.*", ("rich.progress",)),
    ("scenedino_ros.benchmark.*", ("rich.progress",)),
    ("scenedino_ros.node.to_msg", ("torch", "rclpy")),
    ("scenedino_ros.node.params", ("torch",)),
    ("scenedino_ros.node.main", ("torch", "scenedino_ros.network")),
)

# It is used where it is installed, and wraps what is used elsewhere.
EXCEPTIONS = {("scenedino_ros.recordings.transforms", "tf_transformations")}

# Module, and all that it may import beside the standard library, core.errors and configurations.
ONLY = {
    "scenedino_ros": (),
    "scenedino_ros.core.errors": ("core.printable",),
    "scenedino_ros.core.printable": (),
    "scenedino_ros.core.limits": (),
    "scenedino_ros.core.poses": ("numpy", "core.limits"),
    "scenedino_ros.core.backbones": (),
    "scenedino_ros.core.setting": (),
    "scenedino_ros.core.config": ("core.limits", "core.setting"),
    "scenedino_ros.core.model_config": ("core.backbones",),
    "scenedino_ros.core.labels": (
        *("numpy", "core.voxels", "core.metrics", "core.printable", "core.reading"),
    ),
    "scenedino_ros.core.voxels": ("numpy", "core.labels", "core.limits", "core.metrics"),
    "scenedino_ros.core.metrics": ("numpy", "scipy", "core.labels", "core.voxels"),
    "scenedino_ros.cameras.distortion": ("numpy", "core.limits"),
    "scenedino_ros.cameras.camera": ("numpy", "cv2", "cameras.distortion", "core.limits"),
    "scenedino_ros.cameras.fisheye": (
        *("numpy", "cameras.camera", "cameras.distortion", "core.file_limits", "core.reading"),
    ),
    "scenedino_ros.cameras.image": (
        *("numpy", "cv2", "torch", "cameras.camera", "cameras.distortion", "cameras.fisheye"),
    ),
    "scenedino_ros.cameras.plausibility": (
        *("numpy", "cameras.camera", "cameras.distortion", "core.limits", "core.voxels"),
    ),
    "scenedino_ros.cameras.image_header": ("numpy", "PIL", "core.limits"),
    "scenedino_ros.cameras.image_file": ("numpy", "cv2", "PIL", "cameras.image_header"),
    "scenedino_ros.cameras.encodings": ("numpy", "cv2"),
    "scenedino_ros.cameras.from_msg": (
        *("numpy", "cv2", "cameras.camera", "cameras.image_file", "cameras.plausibility"),
        *("cameras.encodings", "cameras.image_header", "core.limits"),
    ),
    "scenedino_ros.network.encoder": ("torch", "core.backbones", "network.transformer"),
    "scenedino_ros.network.transformer": ("torch", "core.backbones"),
    "scenedino_ros.network.decoder": ("torch",),
    "scenedino_ros.network.semantics": ("torch",),
    "scenedino_ros.network.field": ("torch", "numpy"),
    "scenedino_ros.network.render": ("torch", "numpy", "core.ray_spacing"),
}
ALWAYS = (
    "scenedino_ros.core.errors",
    "scenedino_ros.core.config",
    "scenedino_ros.core.model_config",
)

# Imports inside a function, which are otherwise refused: module pattern, what it imports there.
LATE_IMPORTS = (
    # The help of a command answers at once; torch is loaded when a command really runs.
    ("scenedino_ros.cli.*", "scenedino_ros"),
    # Finding a checkpoint or showing its card needs neither torch nor huggingface_hub.
    ("scenedino_ros.checkpoints.hub", "scenedino_ros.checkpoints"),
    ("scenedino_ros.checkpoints.hub", "scenedino_ros.checkpoints.checkpoint"),
    # A node without a map, or with one that nobody asks for its ground, has no need of scipy.
    ("scenedino_ros.mapping.ground", "scipy"),
    # timm imports torchvision and PyTorch's compiler: seconds and 190 MiB, only to fetch weights.
    ("scenedino_ros.checkpoints.pretrained", "timm"),
    # Help, and a sentence on what is missing, where ROS is absent; Ctrl-C holds from the start.
    ("scenedino_ros.node.main", "rclpy"),
    ("scenedino_ros.node.main", "scenedino_ros.node.managed_node"),
    # Type supports assembled through ctypes, which a ROS installation has no need of.
    ("scenedino_ros.node.tf_message_type", "scenedino_ros.node.tf_type_support"),
    # A node that is not configured has no need of torch.
    ("scenedino_ros.node.managed_node", "scenedino_ros.node.processor"),
)

# Modules that work where torch is absent, and those that work where ROS is absent.
WITHOUT_TORCH = tuple(
    f"scenedino_ros.{name}"
    for name in (
        *("cameras.from_msg", "node.to_msg", "node.params"),
        *("recordings.rosbag2.reader", "recordings.rosbag2.writer", "recordings.transforms"),
    )
)

# The only modules that import ROS packages: the node's room, and processes that talk to a node.
USES_ROS = (
    "scenedino_ros.node.*",
    *(f"scenedino_ros.demo.{process}" for process in ("player", "recorder")),
    *(f"scenedino_ros.benchmark.message_{part}" for part in ("cases", "receiver", "sender")),
)


def modules_in(root: Path) -> dict[str, Path]:
    """Return the modules of package and training scripts by their dotted names.

    Raises:
        FileNotFoundError: If a folder has no module: rules about nothing hold for anything.
    """
    modules = {}
    for folder in ("scenedino_ros", *(f"scenedino_ros/{room}" for room in ROOMS), "train"):
        if not list((root / folder).glob("*.py")):
            raise FileNotFoundError(f"no Python file in {root / folder}")
    for folder in ("scenedino_ros", "train"):
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            modules[".".join(parts).removesuffix(".__init__")] = path
    return modules


def is_ros_package(name: str) -> bool:
    return re.fullmatch(ROS_PACKAGES, name.split(".")[0]) is not None


def imports_of(tree: ast.Module, module: str, is_package: bool) -> list[tuple[str, ast.AST]]:
    """Return each name that a module imports, joined (`from a import b`: a.b), and its node."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".") if is_package else module.split(".")[:-1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found += [(f"{base}.{alias.name}", node) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = called.id if isinstance(called, ast.Name) else called
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.append((node.args[0].value, node))
    return found


def is_below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def breaks(name: str, forbidden: str) -> bool:
    return is_ros_package(name) if forbidden == ROS else is_below(name, forbidden)


def outside(module: str, name: str) -> bool:
    """Tell whether a module with a list of its own imports something else."""
    if module not in ONLY or name.split(".")[0] in sys.stdlib_module_names:
        return False
    allowed = [f"scenedino_ros.{e}" if "." in e else e for e in ONLY[module]]
    return not any(is_below(name, entry) for entry in (*allowed, *ALWAYS))


def room_of(name: str) -> str:
    """Return the room of a dotted name, `train` for the training scripts, else nothing."""
    first, *rest = name.split(".")
    return "train" if first == "train" else rest[0] if first == "scenedino_ros" and rest else ""


def is_above(module: str, name: str) -> bool:
    """Tell whether a module imports from a room that its own may not import."""
    mine, other = room_of(module), room_of(name)
    if other not in ROOMS or mine == other:
        return False
    if other in IMPORTED_BY:
        return mine not in IMPORTED_BY[other]
    return mine in ROOMS and ROOMS.index(other) > ROOMS.index(mine)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Return one line for each import in a module's source that the rules forbid."""
    tree = ast.parse(source)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for name, node in imports_of(tree, module, is_package):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{module} imports {name} relatively")
        if is_package:
            found.append(f"{module}/__init__.py imports {name}")
        if is_above(module, name):
            found.append(f"{module} imports {name}, from a room above")
        for pattern, forbidden in NEVER:
            if (module, name) in EXCEPTIONS:
                continue
            if fnmatch(module, pattern) and any(breaks(name, entry) for entry in forbidden):
                found.append(f"{module} imports {name}")
        elsewhere = not any(fnmatch(module, pattern) for pattern in USES_ROS)
        if is_ros_package(name) and elsewhere and (module, name) not in EXCEPTIONS:
            found.append(f"{module} imports {name}, which only {', '.join(USES_ROS)} may")
        if outside(module, name):
            found.append(f"{module} imports {name}, which is not on its list")
        late = any(fnmatch(module, m) and is_below(name, allowed) for m, allowed in LATE_IMPORTS)
        if id(node) in inside and isinstance(node, ast.Import | ast.ImportFrom) and not late:
            found.append(f"{module} imports {name} inside a function")
    return found


def test_no_module_breaks_a_rule():
    found = []
    for module, path in modules_in(ROOT).items():
        found += violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert found == []


# Modules that may use private names of rclpy and of the message classes.
PRIVATE = ("scenedino_ros.node.rclpy_private", "scenedino_ros.node.tf_type_support")
# Public names that begin so: of named tuples, os, and argparse, which has no other for its groups.
NOT_PRIVATE = ("_replace", "_asdict", "_fields", "_exit", "_ArgumentGroup")


def private_names(source: str) -> list[str]:
    """Return the private names of other code that a module uses, of rclpy above all."""
    tree = ast.parse(source)
    own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    own |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and is_stored(n)}
    own |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_stored(n)}
    found = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_(?!_)", node.attr)
        and node.attr not in (*own, *NOT_PRIVATE)
    ]
    imported = [name for name, _ in imports_of(tree, "", is_package=False)]
    return found + [n for n in imported if re.match(r"rclpy\.(impl\b|.*\._|_)", n)]


def is_stored(node: ast.Attribute | ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def test_private_names_of_rclpy_are_used_in_one_module():
    found = {}
    for module, path in modules_in(ROOT).items():
        if room_of(module) in ("node", "demo", "benchmark") and module not in PRIVATE:
            found[module] = set(private_names(path.read_text(encoding="utf-8")))
    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "node._parameter_overrides",
        "class N(Node):\n    def f(self):\n        return self._service_change_state",
        "from rclpy.impl.implementation_singleton import rclpy_implementation",
        "import rclpy._rclpy_pybind11",
    ],
)
def test_a_private_name_is_found(source):
    assert private_names(source) != []


def test_the_reading_order_of_the_node_names_every_module():
    modules = {
        m.rpartition(".")[2] for m in modules_in(ROOT) if m.startswith("scenedino_ros.node.")
    }
    text = (ROOT / "scenedino_ros/node/__init__.py").read_text(encoding="utf-8")
    lists = " ".join(line for line in text.splitlines() if line.startswith("    "))
    assert modules <= set(re.findall(r"\w+", lists))


def import_cycle(sources: dict[str, str]) -> list[str]:
    """Return the modules of one import cycle in order, the first also at the end; else nothing.

    Args:
        sources: Source of each module by name. Imports inside functions count as well.
    """
    graph = {}
    for module, source in sources.items():
        names = [name for name, _ in imports_of(ast.parse(source), module, is_package=False)]
        # `from a import b` names the module a.b, or what the module a defines.
        found = {name if name in sources else name.rpartition(".")[0] for name in names}
        graph[module] = (found & sources.keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other():
    modules = modules_in(ROOT)
    assert import_cycle({name: path.read_text("utf-8") for name, path in modules.items()}) == []


def test_an_import_cycle_is_found():
    sources = {"a": "from b import f", "b": "import c", "c": "def f():\n    from a import x"}
    assert sorted(set(import_cycle(sources))) == ["a", "b", "c"]
    assert import_cycle({**sources, "c": "import json"}) == []


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Python file"):
        modules_in(tmp_path)
    (tmp_path / "scenedino_ros").mkdir()
    (tmp_path / "scenedino_ros/__init__.py").touch()
    with pytest.raises(FileNotFoundError, match="scenedino_ros/core"):
        modules_in(tmp_path)


def test_rules_name_modules_that_exist():
    modules = modules_in(ROOT)
    named = [pattern for pattern, _ in NEVER] + list(ONLY) + [module for module, _ in LATE_IMPORTS]
    named += [*WITHOUT_TORCH, *USES_ROS, *(module for module, _ in EXCEPTIONS)]
    assert [n for n in named if not any(fnmatch(module, n) for module in modules)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("scenedino_ros.core.voxels", "import rclpy"),
        ("scenedino_ros.core.voxels", "import numpy, rclpy.node as n"),
        ("scenedino_ros.core.voxels", "from rclpy.node import Node"),
        ("scenedino_ros.core.voxels", "from sensor_msgs.msg import Image"),
        ("scenedino_ros.core.voxels", "from scenedino_ros import node"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.node.convert import x"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.node import to_msg"),
        ("scenedino_ros.core.voxels", "import scenedino_ros.node as r"),
        ("scenedino_ros.core.voxels", "from ..node import main"),
        ("scenedino_ros.core.voxels", "from . import labels"),
        ("scenedino_ros.core.voxels", "try:\n    import tf2_ros\nexcept ImportError:\n    pass"),
        ("scenedino_ros.core.voxels", "if x:\n    import torch"),
        ("scenedino_ros.core.voxels", "import importlib\nimportlib.import_module('rclpy')"),
        ("scenedino_ros.core.voxels", "__import__('rclpy')"),
        ("scenedino_ros.core.voxels", "def f():\n    import numpy"),
        ("scenedino_ros.core.voxels", "import scipy"),
        ("scenedino_ros.network.decoder", "from scenedino_ros.network.encoder import Encoder"),
        ("scenedino_ros.network.decoder", "import timm"),
        ("scenedino_ros.checkpoints.checkpoint", "from scenedino_ros.core import voxels"),
        ("scenedino_ros.core.anything", "import train.field.losses"),
        ("scenedino_ros.cameras.from_msg", "from sensor_msgs.msg import Image"),
        ("scenedino_ros.node.to_msg", "import rclpy"),
        ("scenedino_ros.demo.recording", "from rclpy.node import Node"),
        ("scenedino_ros.benchmark.node", "from sensor_msgs.msg import Image"),
        ("scenedino_ros.node.main", "from scenedino_ros.network.model import SceneDino"),
        ("train.field.losses", "from scenedino_ros.node.main import SceneDinoNode"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert violations(source, module) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("scenedino_ros.core.voxels", "import json\nimport numpy as np"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.core.errors import InputError"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.core.labels import IGNORE"),
        ("scenedino_ros.inference.predictor", "import yaml\nimport torch"),
        ("scenedino_ros.node.to_msg", "from sensor_msgs.msg import PointCloud2"),
        ("scenedino_ros.demo.recorder", "from rclpy.node import Node"),
        ("train.field.losses", "from train.dataset import Frames"),
    ],
)
def test_a_permitted_import_passes(module, source):
    assert violations(source, module) == []


def test_an_init_file_imports_nothing():
    assert violations("import json", "scenedino_ros.core", is_package=True) != []
    assert violations('"""Words."""\n__version__ = "1"', "scenedino_ros", is_package=True) == []


# Imports modules while what matches `blocked` cannot be imported, and tells what happened in a
# line of JSON: modules loaded, blocked names asked for and by whom, what an import should not do.
FRESH = """
import json, re, sys
root, blocked, modules = sys.argv[1], re.compile(sys.argv[2]), sys.argv[3:]
asked, deeds = [], []

class Absent:
    def find_spec(self, name, path=None, target=None):
        if blocked.fullmatch(name.split(".")[0]):
            asked.append([module, name])
            raise ModuleNotFoundError("blocked: " + name, name=name.split(".")[0])

def watch(event, args):
    if event == "open" and isinstance(args[0], str) and args[0].startswith(root):
        if not args[0].endswith(".py") and ".pyc" not in args[0]:
            deeds.append("opens " + args[0])
    elif event == "socket.connect":
        deeds.append("connects to " + str(args[1]))

sys.meta_path.insert(0, Absent())
sys.addaudithook(watch)
for module in modules:
    __import__(module)
if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
    deeds.append("starts CUDA")
print(json.dumps([sorted(sys.modules), asked, deeds]))
"""


def import_afresh(modules: list[str], blocked: str, cwd: Path) -> tuple[set[str], list[list[str]]]:
    """Import modules in a new interpreter, in which all that matches `blocked` is absent.

    Returns:
        The names of all modules loaded there, and the pairs of importing module and blocked name.
    """
    arguments = [str(ROOT / "scenedino_ros"), blocked, *modules]
    code = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{FRESH}"
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1, f"importing prints: {lines[:-1]}"
    loaded, asked, deeds = json.loads(lines[0])
    assert deeds == []
    return set(loaded), asked


def test_package_imports_where_ros_is_absent(tmp_path):
    modules = [
        name
        for name in modules_in(ROOT)
        if not name.endswith("__main__")
        and not any(fnmatch(name, pattern) for pattern in USES_ROS)
    ]
    quiet = ("core", "cameras", "network", "checkpoints", "inference")
    core = [name for name in modules if room_of(name) in quiet]
    assert "scenedino_ros.inference.predictor" in core
    rest = [name for name in modules if name not in core]
    loaded, asked = import_afresh(core + rest, ROS_PACKAGES, tmp_path)
    assert [name for name in loaded if is_ros_package(name)] == []
    # Where ROS is present, the network does not load it either: it does not even ask.
    assert [pair for pair in asked if pair[0] in core] == []


def test_message_modules_import_where_torch_is_absent(tmp_path):
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    loaded, _ = import_afresh(list(WITHOUT_TORCH), "torch|torchvision|timm", tmp_path)
    assert "rclpy" in loaded
    assert "torch" not in loaded


def test_images_are_read_where_both_are_absent(tmp_path):
    blocked = f"{ROS_PACKAGES}|torch|torchvision|timm"
    loaded, asked = import_afresh(["scenedino_ros.cameras.from_msg"], blocked, tmp_path)
    assert "numpy" in loaded
    assert asked == []


def test_a_blocked_package_is_really_absent(tmp_path):
    with pytest.raises(AssertionError, match="blocked: numpy"):
        import_afresh(["scenedino_ros.core.voxels"], "numpy", tmp_path)


# Packages that cost seconds or a hundred MiB, and serve training, files, plots or other engines.
HEAVY = (
    *("torchvision", "timm", "torch._dynamo", "torch.onnx", "sympy", "onnx", "onnxruntime"),
    *("matplotlib", "scipy", "open3d", "tensorboard", "lightning", "huggingface_hub"),
)
# Answers an image as the node does, from the start of the process on.
FIRST_ANSWER = """
import sys
from dataclasses import replace
import numpy as np
import scenedino_ros.cli.prediction, scenedino_ros.demo.run, scenedino_ros.node.managed_node
from scenedino_ros.cameras.camera import CalibratedCamera, PinholeCamera
from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.voxels import VoxelGrid
from scenedino_ros.node.processor import load_predictor
settings = NodeSettings()
settings = replace(settings, model=replace(settings.model, engine="torch"))
predictor = load_predictor(settings, lambda _: None)
camera = CalibratedCamera(PinholeCamera.from_focal(300, 300, 320, 96, 640, 192))
encoded = predictor.encode(np.zeros((192, 640, 3), np.uint8), camera)
predictor.voxels(encoded, VoxelGrid((-1.0, -1.0, 4.0), (10, 10, 10), 0.2))
predictor.render(encoded, downscale=8, semantic=True, features=True)
print(*sys.modules)
"""


def test_the_first_answer_of_a_node_waits_for_no_heavy_package(tmp_path):
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    command = [
        sys.executable,
        "-c",
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})" + FIRST_ANSWER,
    ]
    result = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert "torch" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))
