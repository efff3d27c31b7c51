# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Fast DDS and shared memory: which transport profile fits into what the machine has free."""

import importlib.metadata
import shutil
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

SHARED_MEMORY = Path("/dev/shm")
# Variables that name a transport profile: Fast DDS 2 knows only the second one, and Fast DDS 3,
# that of Kilted, warns of it.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
PROFILE, SMALL_PROFILE = "fastdds.xml", "fastdds_small.xml"  # in the folder config

_FIRST_RCLPY_ON_FAST_DDS_3 = 9  # that of Kilted
_ON_FAST_DDS_2 = ("humble", "iron", "jazzy")
# Every process takes its whole segment when it starts, and a little more. The segments of camera,
# player, node, recorder, RViz and the tools of ROS must all fit.
_PROCESSES = 8
_SEGMENT = 64 << 20  # bytes, of the large profile
_USED = 1.1  # of the segment: what a process really takes


def profile_name(shared_memory: Path = SHARED_MEMORY) -> str:
    """Return which of the package's transport profiles fits the free shared memory.

    A process whose segment does not fit does not use shared memory, and large best-effort messages
    are then lost. A container has 64 MB unless it was started with more.

    Args:
        shared_memory: File system of the shared memory.
    """
    free = _free(shared_memory)
    fits = free is not None and free >= _PROCESSES * _USED * _SEGMENT
    return PROFILE if fits else SMALL_PROFILE


def profile_variable(environment: Mapping[str, str]) -> str:
    """Return the variable that names a transport profile for the ROS 2 of an environment."""
    new, old = PROFILE_VARIABLES
    distribution = environment.get("ROS_DISTRO")
    if distribution is None:  # rclpy from wheels
        try:
            major = int(importlib.metadata.version("rclpy").split(".")[0])
        except (importlib.metadata.PackageNotFoundError, ValueError):
            return new
        return new if major >= _FIRST_RCLPY_ON_FAST_DDS_3 else old
    return old if distribution in _ON_FAST_DDS_2 else new


def shortage(environment: Mapping[str, str], shared_memory: Path = SHARED_MEMORY) -> str:
    """Return a warning if the segment of the user's transport profile does not fit; else nothing.

    Call this before the process takes its own segment.

    Args:
        environment: Variables of the process.
        shared_memory: File system of the shared memory.
    """
    named = next((environment[name] for name in PROFILE_VARIABLES if environment.get(name)), None)
    segment = 0 if named is None else _segment_size(Path(named))
    free = _free(shared_memory)
    if not segment or free is None or free >= _USED * segment:
        return ""
    return (
        f"{shared_memory} has {free >> 20} MiB left, and this process takes {segment >> 20} MiB "
        f"of it (segment_size in {named}): large images will be lost. Start the container with "
        f"--shm-size=1g or --ipc=host, or use the profile {SMALL_PROFILE}"
    )


def _free(shared_memory: Path) -> int | None:
    """Return the free bytes; None where the system has no such place."""
    try:
        return shutil.disk_usage(shared_memory).free
    except OSError:
        return None


def _segment_size(profile: Path) -> int:
    """Return the largest shared-memory segment that a profile asks for, bytes; 0 if none."""
    try:
        sizes = [
            int(element.text or 0)
            for element in ElementTree.parse(profile).iter()
            if element.tag.rpartition("}")[2] == "segment_size"
        ]
    except (OSError, ValueError, ElementTree.ParseError):
        return 0  # Fast DDS itself reports what is wrong with it
    return max(sizes, default=0)
