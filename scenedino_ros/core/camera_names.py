# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Names of several cameras: which are allowed, and how they stand in topics."""

import re
from collections.abc import Sequence

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.outputs import OUTPUTS, SERVICES

# One part of a ROS topic's name. A name with "/" is refused, so that no two cameras look alike
# where "/" becomes "_".
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OWN = frozenset(name.partition("/")[0] for name in (*(o.name for o in OUTPUTS), *SERVICES))


def check_camera_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be parts of topics, or would mix topics up.

    Args:
        names: Names of cameras; none is allowed.

    Raises:
        InputError: If a name is no token, comes twice, or begins an own topic of the node.
    """
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise InputError(
                "a camera's name must be letters, digits and underscores after a letter, "
                f"got '{name}'"
            )
        if name in _OWN:
            raise InputError(
                f"a camera's name must differ from the node's own topics, got '{name}', which "
                f"would mix ~/{name} of the node with the topics of a camera"
            )
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise InputError(f"the cameras' names must be distinct, got '{twice[0]}' twice")


def camera_path(camera: str, topic: str) -> str:
    """Return a topic of a camera: below its name, or as it is where the camera has none."""
    return f"{camera}/{topic}" if camera else topic
