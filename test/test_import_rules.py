"""Who may import what: the parts stay apart, and each runs where the others' needs are absent."""

import ast
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
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

PARTS = ("model", "encoder", "decoder", "field", "semantics")
NETWORK = tuple(f"scenedino_ros.core.{part}" for part in PARTS)

# Module pattern, and what it never imports. The first three rows hold for whole folders.
NEVER = (
    ("scenedino_ros.*", ("train", "test")),
    (
        "scenedino_ros.core.*",
        (ROS, "scenedino_ros.ros", "scenedino_ros.cli", "scenedino_ros.demo"),
    ),
    ("train.*", ("test", "scenedino_ros.ros.node")),
    ("scenedino_ros.core.labels", ("torch",)),
    ("scenedino_ros.core.voxels", ("torch",)),
    ("scenedino_ros.core.metrics", ("torch",)),
    ("scenedino_ros.core.camera", ("torch", "scenedino_ros.core.model")),
    ("scenedino_ros.core.image", ("scenedino_ros.core.model",)),
    ("scenedino_ros.core.field", ("scenedino_ros.core.model",)),
    ("scenedino_ros.core.render", ("scenedino_ros.core.model",)),
    ("scenedino_ros.core.model", ("scenedino_ros.core.voxels",)),
    ("scenedino_ros.core.checkpoint", ("scenedino_ros.core.voxels",)),
    ("scenedino_ros.ros.from_msg", ("torch", ROS)),
    ("scenedino_ros.ros.to_msg", ("torch", "rclpy")),
    ("scenedino_ros.ros.params", ("torch",)),
    ("scenedino_ros.ros.transforms", ("torch",)),
    ("scenedino_ros.ros.bag", ("torch",)),
    ("scenedino_ros.ros.node", ("torch", *NETWORK)),
    ("scenedino_ros.recordings.*", (ROS, "torch", "scenedino_ros.cli", "scenedino_ros.demo")),
)

# Module, and all that it may import beside the standard library, core.errors and core.config.
ONLY = {
    "scenedino_ros": (),
    "scenedino_ros.core.errors": (),
    "scenedino_ros.core.config": (),
    "scenedino_ros.core.labels": ("numpy", "yaml", "core.voxels", "core.metrics"),
    "scenedino_ros.core.voxels": ("numpy", "core.labels", "core.metrics"),
    "scenedino_ros.core.metrics": ("numpy", "scipy", "core.labels", "core.voxels"),
    "scenedino_ros.core.distortion": ("numpy",),
    "scenedino_ros.core.camera": ("numpy", "cv2", "core.distortion"),
    "scenedino_ros.core.fisheye": ("numpy", "yaml", "core.camera", "core.distortion"),
    "scenedino_ros.core.image": (
        *("numpy", "cv2", "torch", "core.camera", "core.distortion", "core.fisheye"),
    ),
    "scenedino_ros.core.plausibility": (
        *("numpy", "core.camera", "core.distortion", "core.voxels"),
    ),
    "scenedino_ros.core.image_file": ("numpy", "cv2", "PIL"),
    "scenedino_ros.core.encoder": ("torch", "timm"),
    "scenedino_ros.core.decoder": ("torch",),
    "scenedino_ros.core.semantics": ("torch",),
    "scenedino_ros.core.field": ("torch", "numpy", "core.camera"),
    "scenedino_ros.core.render": ("torch", "numpy"),
    "scenedino_ros.ros.from_msg": (
        *("numpy", "cv2", "core.camera", "core.image_file", "core.plausibility", "ros.encodings"),
    ),
    "scenedino_ros.ros.encodings": ("numpy", "cv2"),
}
ALWAYS = ("scenedino_ros.core.errors", "scenedino_ros.core.config")

# Imports inside a function, which are otherwise refused: module pattern, what it imports there.
LATE_IMPORTS = (
    # The help of a command answers at once; torch is loaded when a command really runs.
    ("scenedino_ros.cli.*", "scenedino_ros"),
    # Finding a checkpoint or showing its card needs neither torch nor huggingface_hub.
    ("scenedino_ros.checkpoints.hub", "scenedino_ros.checkpoints"),
    ("scenedino_ros.checkpoints.hub", "scenedino_ros.core.checkpoint"),
    # Help, and a sentence on what is missing, where ROS is absent; Ctrl-C holds from the start.
    ("scenedino_ros.ros.node", "rclpy"),
    ("scenedino_ros.ros.node", "scenedino_ros.ros.managed_node"),
    # A node that is not configured has no need of torch.
    ("scenedino_ros.ros.managed_node", "scenedino_ros.ros.processor"),
)

# Modules that work where torch is absent, and those that work where ROS is absent.
WITHOUT_TORCH = ("from_msg", "to_msg", "bag", "params", "transforms")
NEEDS_ROS = ("scenedino_ros.ros.*", "scenedino_ros.demo.*", "scenedino_ros.benchmark.message_*")
WITHOUT_ROS = ("scenedino_ros.ros.from_msg", "scenedino_ros.ros.bag")


def modules_in(root: Path) -> dict[str, Path]:
    """Return the modules of package and training scripts by their dotted names.

    Raises:
        FileNotFoundError: If a folder has no module: rules about nothing hold for anything.
    """
    modules = {}
    for folder in ("scenedino_ros", "scenedino_ros/core", "train"):
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
        for pattern, forbidden in NEVER:
            if fnmatch(module, pattern) and any(breaks(name, entry) for entry in forbidden):
                found.append(f"{module} imports {name}")
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
    named += [f"scenedino_ros.ros.{name}" for name in WITHOUT_TORCH]
    assert [n for n in named if not any(fnmatch(module, n) for module in modules)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("scenedino_ros.core.voxels", "import rclpy"),
        ("scenedino_ros.core.voxels", "import numpy, rclpy.node as n"),
        ("scenedino_ros.core.voxels", "from rclpy.node import Node"),
        ("scenedino_ros.core.voxels", "from sensor_msgs.msg import Image"),
        ("scenedino_ros.core.voxels", "from scenedino_ros import ros"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.ros.convert import x"),
        ("scenedino_ros.core.voxels", "from scenedino_ros.ros import to_msg"),
        ("scenedino_ros.core.voxels", "import scenedino_ros.ros as r"),
        ("scenedino_ros.core.voxels", "from ..ros import node"),
        ("scenedino_ros.core.voxels", "from . import labels"),
        ("scenedino_ros.core.voxels", "try:\n    import tf2_ros\nexcept ImportError:\n    pass"),
        ("scenedino_ros.core.voxels", "if x:\n    import torch"),
        ("scenedino_ros.core.voxels", "import importlib\nimportlib.import_module('rclpy')"),
        ("scenedino_ros.core.voxels", "__import__('rclpy')"),
        ("scenedino_ros.core.voxels", "def f():\n    import numpy"),
        ("scenedino_ros.core.voxels", "import scipy"),
        ("scenedino_ros.core.decoder", "from scenedino_ros.core.encoder import Encoder"),
        ("scenedino_ros.core.decoder", "import timm"),
        ("scenedino_ros.core.checkpoint", "from scenedino_ros.core import voxels"),
        ("scenedino_ros.core.anything", "import train.losses"),
        ("scenedino_ros.ros.from_msg", "from sensor_msgs.msg import Image"),
        ("scenedino_ros.ros.to_msg", "import rclpy"),
        ("scenedino_ros.ros.node", "from scenedino_ros.core.model import SceneDino"),
        ("train.losses", "from scenedino_ros.ros.node import SceneDinoNode"),
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
        ("scenedino_ros.core.predictor", "import yaml\nimport torch"),
        ("scenedino_ros.ros.to_msg", "from sensor_msgs.msg import PointCloud2"),
        ("train.losses", "from train.dataset import Frames"),
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
        and (name in WITHOUT_ROS or not any(fnmatch(name, pattern) for pattern in NEEDS_ROS))
    ]
    core = [name for name in modules if name.startswith("scenedino_ros.core")]
    assert "scenedino_ros.core.predictor" in core
    rest = [name for name in modules if name not in core]
    loaded, asked = import_afresh(core + rest, ROS_PACKAGES, tmp_path)
    assert [name for name in loaded if is_ros_package(name)] == []
    # Where ROS is present, core does not load it either: it does not even ask.
    assert [pair for pair in asked if pair[0] in core] == []


def test_message_modules_import_where_torch_is_absent(tmp_path):
    pytest.importorskip("rclpy", reason="no ROS 2 client library")
    modules = [f"scenedino_ros.ros.{name}" for name in WITHOUT_TORCH]
    loaded, _ = import_afresh(modules, "torch|torchvision|timm", tmp_path)
    assert "rclpy" in loaded
    assert "torch" not in loaded


def test_images_are_read_where_both_are_absent(tmp_path):
    blocked = f"{ROS_PACKAGES}|torch|torchvision|timm"
    loaded, asked = import_afresh(["scenedino_ros.ros.from_msg"], blocked, tmp_path)
    assert "numpy" in loaded
    assert asked == []


def test_a_blocked_package_is_really_absent(tmp_path):
    with pytest.raises(AssertionError, match="blocked: numpy"):
        import_afresh(["scenedino_ros.core.voxels"], "numpy", tmp_path)
