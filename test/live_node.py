# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The node with a small network, in a thread of this process, fed with real messages.

It spins as the command `scenedino_node` does, so whatever a callback raises is noted there. Unlike
a process of its own, it can be broken on purpose while it runs.
"""

import threading
from typing import Any

import pytest
import rclpy
from models import lively_checkpoint
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from ros_rig import DEADLINE, Rig

from scenedino_ros.demo.domains import reserve_domain
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.node import processor
from scenedino_ros.node.main import spin_once
from scenedino_ros.node.managed_node import SceneDinoNode

PARAMETERS = {
    "diagnostics.period": 0.1,
    "diagnostics.stale_after": 0.5,
    "grid.preset": "sscbench",
    "grid.frame": "base",
    "grid.shape": [16, 16, 4],
    "grid.voxel_size": 0.8,
}


class LiveNode:
    """A node that is active, and the rig on the other side of its topics."""

    def __init__(self, **parameters: Any) -> None:
        """Start the node; names of parameters have two underscores for the dot."""
        given = {name.replace("__", "."): value for name, value in parameters.items()}
        cli_args = ["--ros-args"]
        for name, value in {**PARAMETERS, **given}.items():
            cli_args += ["-p", f"{name}:={value}"]
        domain = reserve_domain()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        with pytest.MonkeyPatch.context() as patch:
            predictor = Predictor(lively_checkpoint(), device="cpu")
            patch.setattr(processor, "load_predictor", lambda *_: predictor)
            self.node = SceneDinoNode(context=self._context, cli_args=cli_args)
            assert self.node.autostart()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="live node")
        self._thread.start()
        self.rig = Rig(domain)
        self.rig.open_camera()
        cameras = self.node.settings.input.cameras or ("",)
        self.rig.wait_active(cameras[0])

    @property
    def pipeline(self) -> Any:
        return self.node._pipeline

    def _spin(self) -> None:
        while not self._ended.is_set():
            spin_once(self._executor, self.node)
            self.node.raise_failure()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        self.rig.close()
        assert self.node.close(DEADLINE)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.shutdown()
