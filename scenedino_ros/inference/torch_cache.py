# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Names the variable to set where PyTorch's compiler cannot create its folder."""

import traceback

from scenedino_ros.core.errors import InputError

_COMPILER = ("torch._inductor", "torch._dynamo")


def is_of_compiler(error: OSError) -> bool:
    """Return whether PyTorch's compiler failed; it creates its folder when it is imported."""
    frames = traceback.walk_tb(error.__traceback__)
    modules = [frame.f_globals.get("__name__", "") for frame, _ in frames]
    return any(module.startswith(_COMPILER) for module in modules)


def unloadable(error: OSError) -> InputError:
    """Return the error to raise instead of one of PyTorch's import."""
    return InputError(
        f"PyTorch cannot be loaded ({error}); set TORCHINDUCTOR_CACHE_DIR or TMPDIR to a folder "
        "that is writable"
    )
