"""Options and fixtures shared by all tests."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
# A golden file is of the kind whose array it holds.
_KINDS = {"point_case": "sigma", "voxel_case": "final_label"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that points the parity tests at another set of golden vectors."""
    parser.addoption(
        "--golden",
        type=Path,
        default=GOLDEN,
        metavar="DIR",
        help="folder of golden vectors to hold the package to (default: test/golden)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once per golden file of the kind it asks for."""
    for fixture, key in _KINDS.items():
        if fixture in metafunc.fixturenames:
            folder = metafunc.config.getoption("--golden")
            files = []
            for file in sorted(folder.glob("*.npz")):
                with np.load(file) as arrays:
                    if key in arrays.files:
                        files.append(file)
            if not files:
                raise pytest.UsageError(f"no golden vectors with '{key}' in {folder}")
            metafunc.parametrize(
                fixture, files, ids=[f.stem for f in files], indirect=True, scope="module"
            )
