# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Build description that colcon and pip read: ament_python package scenedino_ros."""

from glob import glob
from os.path import dirname, isfile, join

from setuptools import find_packages, setup

NAME = "scenedino_ros"


def shared_files() -> list[tuple[str, list[str]]]:
    """Return what goes to share/: marker, manifest, launch files, configurations."""
    files = [
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ]
    for path in sorted(
        glob("launch/**/*.py", recursive=True) + glob("config/**/*", recursive=True)
    ):
        if isfile(path):
            files.append((join("share", NAME, dirname(path)), [path]))
    return files


setup(
    name=NAME,
    version="0.1.0",
    description="Semantic voxels from one camera image, as a ROS 2 node.",
    license="Apache-2.0",
    author="scenedino_ros authors",
    maintainer="scenedino_ros maintainers",
    maintainer_email="scenedino-ros@example.org",  # a placeholder, see package.xml
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["weights/*.safetensors", "weights/*.json"]},
    data_files=shared_files(),
    python_requires=">=3.10",
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,  # the weights are read as a file
    entry_points={
        "console_scripts": [
            "scenedino = scenedino_ros.cli.main:main",
            "scenedino_node = scenedino_ros.node.main:main",
        ],
    },
)
