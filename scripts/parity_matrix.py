# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Run the parity tests as other processors would compute: without wide vectors, on one thread.

    python scripts/parity_matrix.py                     all 18 cells
    python scripts/parity_matrix.py 'avx2/*/1'          those whose names match
    python scripts/parity_matrix.py default/SSE41/1 -- --golden DIR -k network

A cell is named after what PyTorch's own kernels may use, what its libraries may use, and the
number of threads. What follows ``--`` goes to pytest. Ctrl-C ends the cell that runs and shows the
table so far. The exit code is 1 if a cell failed, 2 if none was chosen, 130 after Ctrl-C.
"""

import argparse
import fnmatch
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ("default", "avx2", "avx512")  # ATEN_CPU_CAPABILITY
# oneDNN's limit, and the same for the other libraries that multiply matrices.
LIBRARIES = {
    "SSE41": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OPENBLAS_CORETYPE": "Nehalem"},
    "AVX2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
    "AVX512_CORE": {"MKL_ENABLE_INSTRUCTIONS": "AVX512", "OPENBLAS_CORETYPE": "SkylakeX"},
}
THREADS = (1, 2)
CELLS = tuple(
    f"{kernels}/{libraries}/{threads}"
    for kernels, libraries, threads in itertools.product(KERNELS, LIBRARIES, THREADS)
)
COLUMNS = "{:<24}{:>8}{:>8}{:>8}{:>8}  {}"


def environment(cell: str) -> dict[str, str]:
    """Return the environment of a cell."""
    kernels, libraries, threads = cell.split("/")
    return os.environ | {
        "ATEN_CPU_CAPABILITY": kernels,
        "ONEDNN_MAX_CPU_ISA": libraries,
        **LIBRARIES[libraries],
        "OMP_WAIT_POLICY": "PASSIVE",  # leaves the processor to others; changes no number
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
    }


def parity_files() -> list[str]:
    """Return the files with parity tests; to collect all others takes a minute."""
    files = sorted((ROOT / "test").glob("test_*.py"))
    return [str(file) for file in files if "mark.parity" in file.read_text()]


def run_cell(cell: str, arguments: list[str]) -> dict:
    """Run the parity tests in a cell; return what `test/conftest.py` reports of them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "parity", "--tb=short"]
        command += ["-p", "no:cacheprovider", f"--parity-report={report}", *arguments]
        if not any(Path(argument.split("::")[0]).exists() for argument in arguments):
            command += parity_files()
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment(cell), capture_output=True, text=True, check=False
        )
        if not report.exists() or done.returncode not in (0, 1):
            raise SystemExit(f"{cell}: pytest failed\n{done.stdout}{done.stderr}")
        found = json.loads(report.read_text())
    if done.returncode:
        print(done.stdout, flush=True)
    return found | {"seconds": time.monotonic() - started}


def row(cell: str, found: dict) -> str:
    """Return a line of the table."""
    deviation = f"{found['deviation']:.2f} {found['test']}"
    kernels, _, threads = cell.split("/")
    if (found["kernels"], str(found["threads"])) != (kernels, threads):
        deviation += f" (not this cell: ran as {found['kernels']} on {found['threads']} threads)"
    return COLUMNS.format(
        cell,
        found["passed"],
        found["failed"],
        found["skipped"],
        f"{found['seconds']:.0f}",
        deviation,
    )


def main() -> int:
    """Run the chosen cells and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "cells", nargs="*", default=["*"], metavar="CELL", help="name or pattern; default: all"
    )
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    wanted = parser.parse_args(arguments[:split]).cells
    rest = arguments[split + 1 :]
    cells = [cell for cell in CELLS if any(fnmatch.fnmatchcase(cell, w) for w in wanted)]
    if not cells:
        print(f"no cell matches {' '.join(wanted)}; there are {', '.join(CELLS)}", file=sys.stderr)
        return 2
    print(
        COLUMNS.format("cell", "passed", "failed", "skipped", "s", "worst deviation, of allowed")
    )
    code = 0
    try:
        for cell in cells:
            found = run_cell(cell, rest)
            print(row(cell, found), flush=True)
            code = max(code, int(found["failed"] > 0))
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
