# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""What this machine's processor is, as far as it decides how fast a network runs."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Lines of the file that name the processor: on x86, and the parts of its name on ARM.
_NAMES = ("vendor_id", "model name", "CPU implementer", "CPU part", "CPU variant")
_FEATURES = ("flags", "Features")  # on x86, on ARM
# Beginnings of the names of vector and matrix instructions.
_ARITHMETIC = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "sve", "bf16", "i8mm")


def describe_processor() -> dict[str, str]:
    """Return the name of the processor, and which vector and matrix instructions it has.

    Returns:
        ``name`` and ``instructions``, a list in alphabetical order separated by spaces; empty
        where the system does not state them.
    """
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())  # of the first core
    found = " ".join(fields[name] for name in _NAMES if name in fields)
    flags = next((fields[name] for name in _FEATURES if name in fields), "")
    return {
        "name": found or platform.processor() or platform.machine(),
        "instructions": " ".join(sorted(f for f in flags.split() if f.startswith(_ARITHMETIC))),
    }
