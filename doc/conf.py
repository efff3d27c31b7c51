# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Settings of the documentation that `rosdoc2 build --package-path .` makes.

rosdoc2 copies this folder to one of its own, follows the links in it to the pages of the
repository, and adds a page for each module of the package. This file then runs in that copy.
"""

from pathlib import Path

project = "scenedino_ros"
author = "scenedino_ros authors"
copyright = "2026, the scenedino_ros authors. Licence: Apache-2.0"  # noqa: A001

# The rooms whose interfaces are described; all other modules are the package's own business.
API = ("inference", "recordings", "evaluation")

extensions = ["sphinx.ext.napoleon"]
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the fields of a dataclass have entries of their own
autodoc_member_order = "bysource"
autodoc_typehints = "description"
myst_heading_anchors = 4

exclude_patterns = [
    "user_docs*",  # rosdoc2's second copy of this folder,
    "standard*",  # and its pages for files that this folder has links to
    "__readme_include.rst",
    "modules.rst",
    *(
        page.name
        for page in Path().glob("scenedino_ros*.rst")
        if page.name.split(".")[1] not in API
    ),
]
