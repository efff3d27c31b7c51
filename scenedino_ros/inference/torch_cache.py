"""Says which variable to set where PyTorch's compiler cannot make the folder it writes to."""

import traceback

from scenedino_ros.core.errors import InputError

_COMPILER = ("torch._inductor", "torch._dynamo")


def is_of_compiler(error: OSError) -> bool:
    """Return whether PyTorch's compiler failed; it makes its folder when it is imported."""
    frames = traceback.walk_tb(error.__traceback__)
    modules = [frame.f_globals.get("__name__", "") for frame, _ in frames]
    return any(module.startswith(_COMPILER) for module in modules)


def unloadable(error: OSError) -> InputError:
    """Return the error to raise in place of one that PyTorch's import ended with."""
    return InputError(
        f"PyTorch cannot be loaded ({error}); set TORCHINDUCTOR_CACHE_DIR or TMPDIR to a folder "
        "that is writable"
    )
