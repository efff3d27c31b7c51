# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Python packages that only some engines need."""

import importlib
import importlib.metadata
import sys
from types import ModuleType
from typing import Any

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


def require_openvino(purpose: str) -> ModuleType:
    """Import OpenVINO without its telemetry.

    Args:
        purpose: What it is needed for, as the beginning of a sentence.

    Raises:
        InputError: If it is not installed.
    """
    # OpenVINO sends usage statistics on import, without asking, if it can import this package.
    # An entry of None makes the import fail, and OpenVINO then sends nothing.
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    return require("openvino", purpose)


def installed_version(package: str) -> str | None:
    """Return the version of an installed package without importing it; None: not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
