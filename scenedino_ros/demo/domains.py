# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""DDS domains for runs on one machine that must not receive each other's messages."""

import random
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from scenedino_ros.core.errors import SceneDinoError

# Domains up to 101 have ports below those that systems hand out by themselves; 0 is the default.
DOMAINS = range(1, 102)

held: dict[int, FileLock] = {}  # locks of this process; a lock that is deleted is free again


def reserve_domain() -> int:
    """Return a domain that nobody else has reserved; it is held until this process ends.

    Raises:
        SceneDinoError: If all are taken.
    """
    for number in random.SystemRandom().sample(DOMAINS, len(DOMAINS)):
        lock = FileLock(Path(tempfile.gettempdir(), f"scenedino_ros_domain_{number}.lock"))
        try:
            lock.acquire(timeout=0)
        except (Timeout, PermissionError):  # held, or the file is another user's
            continue
        held[number] = lock
        return number
    raise SceneDinoError(f"all {len(DOMAINS)} DDS domains are reserved by other runs")
