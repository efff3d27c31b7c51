# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""How long work reports what it does: a function that takes a few words on each step."""

from collections.abc import Callable

Report = Callable[[str], None]


def silent(text: str) -> None:
    """Report nothing."""
