# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The demo's child processes: started with their own log, watched, and ended in order."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scenedino_ros.core.errors import SceneDinoError
from scenedino_ros.node import log_files
from scenedino_ros.node.shared_memory import PROFILE_VARIABLES, profile_variable

_POLL = 0.05
_TAIL_LINES = 12


class ProcessError(SceneDinoError):
    """A process of the demo ended when it should not have."""


class Child:
    """One child process that writes standard output and errors to a file.

    It has a session of its own: Ctrl-C in the terminal reaches only the parent, which then ends
    its children in the right order.

    Attributes:
        name: Name for people.
        log: File with everything it prints.
    """

    def __init__(self, name: str, module: str, arguments: list[str], log: Path, env: dict) -> None:
        """Start ``python -m module arguments``."""
        self.name, self.log = name, log
        self._file = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )

    @property
    def returncode(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int = _TAIL_LINES) -> list[str]:
        """Return the last lines that it printed."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]

    def check(self) -> None:
        """Raise if the process has ended.

        Raises:
            ProcessError: With its exit code and its last lines.
        """
        if self.returncode is not None:
            raise self.ended()

    def ended(self) -> ProcessError:
        """Return an error that says how the process ended."""
        code = self.returncode
        how = f"exit code {code}" if code is None or code >= 0 else _signal_name(-code)
        lines = "\n".join(f"  | {line}" for line in self.last_lines()) or "  | (no output)"
        return ProcessError(f"the {self.name} ended ({how}); its last lines:\n{lines}")

    def stop(self, patience: float) -> bool:
        """Ask the process to end as Ctrl-C does; kill it if it has not ended after some seconds.

        Returns:
            Whether it ended by itself.
        """
        if self.returncode is None:
            self._process.send_signal(signal.SIGINT)
        willing = self.wait(patience)
        if not willing:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._file.close()
        return willing

    def wait(self, seconds: float) -> bool:
        """Return whether the process has ended, waiting for it for a while."""
        end = time.monotonic() + seconds
        while self.returncode is None and time.monotonic() < end:
            time.sleep(_POLL)
        return self.returncode is not None


def child_environment(domain_id: int, transport_profile: Path | None) -> dict[str, str]:
    """Return an environment in which the children communicate with each other only.

    Args:
        domain_id: DDS domain of this run.
        transport_profile: Fast DDS profile for large messages, where the user has not set one.
    """
    env = dict(os.environ)
    env["ROS_DOMAIN_ID"] = str(domain_id)
    env["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if env.get("ROS_DISTRO") == "humble":  # which does not know the variable above
        env["ROS_LOCALHOST_ONLY"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    # The package may lie beside the caller instead of being installed.
    root = str(Path(__file__).resolve().parents[2])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    if transport_profile is not None and not any(name in env for name in PROFILE_VARIABLES):
        env[profile_variable(env)] = str(transport_profile)
    if log_files.obstacle(env):  # the children have logs of their own
        env["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="ros_log_")
    return env


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
