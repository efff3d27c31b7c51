# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The command `scenedino_node`: starts the node, and ends it cleanly after Ctrl-C."""

import argparse
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from scenedino_ros.core.config import NodeSettings
from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.core.parameter_tree import walk_settings
from scenedino_ros.node import log_files
from scenedino_ros.node.interrupt import Interrupt
from scenedino_ros.node.security import gap, why_not_secure
from scenedino_ros.node.shared_memory import shortage

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor

    from scenedino_ros.node.managed_node import SceneDinoNode

_POLL = 0.1  # seconds until Ctrl-C is noticed
# A frame at work may take this many seconds after Ctrl-C, so that all is over within 2 s.
_GRACE = 0.7
# Turns of a loop; fewer slow down PyTorch, whose next loop often comes at once.
_SPINS = "20000"
_PAUSE = 0.01  # seconds after a failure, so that one that lasts does not take a processor

_EPILOG = """\
examples:
  scenedino_node --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info
  scenedino_node --ros-args -p model.checkpoint:=weights.safetensors -p grid.frame:=base_link \\
      -p grid.preset:=sscbench
  scenedino_node --ros-args -p input.cameras:="[front, left]" -r front/image:=/front/image_raw
  scenedino_node --ros-args --params-file scenedino.yaml --log-level info

parameters (-p name:=value; those with * may change while the node runs):
"""


def main(argv: list[str] | None = None) -> int:
    """Run the node until a signal asks it to end.

    Args:
        argv: Program name and arguments. Without them this is the command itself: it reads the
            arguments of the process, and ends the process instead of returning.

    Returns:
        Exit code: 0 after Ctrl-C, 1 if the node cannot start or breaks.
    """
    arguments = list(sys.argv if argv is None else argv)
    ros_args = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
    _parser().parse_args(arguments[1:ros_args])
    if argv is None:
        spin_briefly()
    interrupt = Interrupt()
    try:
        code = _run(arguments, interrupt)
    except BaseException:
        # An import that is interrupted may raise any exception.
        if not interrupt.requested:
            raise
        code = 0
    interrupt.ignore()
    if argv is None:
        # Once torch is loaded, the interpreter takes seconds to shut down, and frees nothing that
        # the system does not free faster.
        _leave_at_once(code)
    return code


def spin_briefly() -> None:
    """Let PyTorch's threads sleep soon after their work, unless the user has said how they wait.

    GNU OpenMP keeps a thread awake for milliseconds after each loop. On two cores it then holds up
    OpenVINO, the middleware and other processes. Without effect once PyTorch has been loaded.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def _run(argv: list[str], interrupt: Interrupt) -> int:
    try:
        # Here and not above, so that --help works where ROS is absent.
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from scenedino_ros.node.managed_node import SceneDinoNode
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name != "rclpy":
            return _missing(error)
        return _fail(
            f"the ROS 2 client library cannot be loaded ({error}); source a ROS 2 installation "
            "or install the rclpy wheels"
        )
    # Checked before rclpy opens log files and shared memory.
    remarks = (log_files.obstacle(os.environ), shortage(os.environ), gap(os.environ))
    if remarks[0]:
        argv = [*argv, *log_files.WITHOUT]
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        # rcl appends a place in its sources to the sentence.
        wrong = f"the arguments after --ros-args are wrong: {str(error).split(', at ')[0]}"
        return _fail(why_not_secure(error, os.environ) or wrong)
    try:
        node = SceneDinoNode(interrupt.raising)
        for remark in filter(None, remarks):
            node.get_logger().warning(remark)
        return _serve(node, interrupt)
    except SceneDinoError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:  # torch is loaded only now
        return _missing(error)
    except RuntimeError as error:
        if not (reason := why_not_secure(error, os.environ)):
            raise
        return _fail(reason)
    finally:
        rclpy.try_shutdown()


def _serve(node: "SceneDinoNode", interrupt: Interrupt) -> int:
    """Start the node if it starts by itself, and spin until a signal asks it to end."""
    from rclpy.executors import SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    code = 1
    try:
        if not node.settings.autostart or node.autostart():
            while not interrupt.requested:
                spin_once(executor, node)
                node.raise_failure()
            code = 0
        else:
            node.raise_bug()
    finally:
        if not node.close(_GRACE):
            _leave_at_once(0 if interrupt.requested else 1)
        executor.shutdown()
        node.destroy_node()
    return code


def spin_once(executor: "SingleThreadedExecutor", node: "SceneDinoNode") -> None:
    """Run one callback; whatever it raises is noted, and the next one runs.

    Raises:
        ExternalShutdownException: If ROS was shut down.
    """
    try:
        executor.spin_once(timeout_sec=_POLL)
    except Exception as error:  # nothing that comes may end the node
        if not executor.context.ok():
            raise
        node.failures.note("a callback", error)
        time.sleep(_PAUSE)


def _missing(error: ModuleNotFoundError) -> int:
    return _fail(
        f"the Python that runs the node, {sys.executable}, has no package '{error.name}'; install "
        "requirements.txt for it or, where another Python has them, build the workspace with that "
        "one: python3 -m colcon build"
    )


def _fail(sentence: str) -> int:
    sys.stderr.write(f"scenedino_node: {sentence}\n")
    return 1


def _leave_at_once(code: int) -> None:
    """End the process, also where a thread is still computing; the system frees what it holds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="scenedino_node",
        usage="%(prog)s [-h] [--ros-args ...]",
        description="Semantic voxels of a camera's images, as a managed ROS 2 node.",
        epilog=_EPILOG + "\n".join(_parameter_lines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _parameter_lines() -> list[str]:
    lines = []
    for setting in walk_settings(NodeSettings()):
        star = "*" if setting.metadata["live"] else " "
        unit = f" [{setting.metadata['unit']}]" if setting.metadata["unit"] else ""
        lines.append(f" {star}{setting.name} = {_shown(setting.value)}{unit}")
        lines.append(f"      {setting.metadata['doc']}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


if __name__ == "__main__":
    sys.exit(main())
