# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Every file of code says under which licence it is and whose it is.

Code is Python, shell scripts, and whatever else begins with a shebang. Settings, documents and
data are covered by LICENSE and package.xml.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADER = [
    b"# SPDX-License-Identifier: Apache-2.0",
    b"# Copyright 2026 the scenedino_ros authors",
]


def tracked_code() -> list[Path]:
    """Return the files of code that git knows; none outside of a clone."""
    if shutil.which("git") is None:
        return []
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    regular = [file for file in files if file.is_file() and not file.is_symlink()]
    return [f for f in regular if f.suffix in (".py", ".sh") or f.read_bytes()[:2] == b"#!"]


def test_files_of_code_begin_with_licence_and_copyright() -> None:
    files = tracked_code()
    if not files:
        pytest.skip("not a clone, or git is not installed")
    names = {str(file.relative_to(ROOT)) for file in files}
    assert {"setup.py", "test.sh", ".ci/run", "scenedino_ros/__init__.py"} <= names
    without = []
    for file in files:
        lines = file.read_bytes().splitlines()
        start = 1 if lines and lines[0].startswith(b"#!") else 0
        if lines[start : start + len(HEADER)] != HEADER:
            without.append(str(file.relative_to(ROOT)))
    assert without == []
