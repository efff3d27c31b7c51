# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Python packages that only some engines need."""

import importlib
from types import ModuleType

from scenedino_ros.core.errors import InputError


def require(package: str, purpose: str) -> ModuleType:
    """Import a package.

    Args:
        package: Its name.
        purpose: What it is needed for, as the beginning of a sentence.

    Raises:
        InputError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"{purpose} needs the Python package {package}, which cannot be imported: {error}"
        ) from error
