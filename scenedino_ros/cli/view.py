# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Show predicted voxels in an Open3D window: turn, zoom, quit with Q.

The file is voxels.npz or voxels.ply of 'scenedino predict'. Without a display, look at the
picture panel.png beside it.
"""

import argparse
import ctypes
import os
import sys
from pathlib import Path

from scenedino_ros.core.errors import InputError
from scenedino_ros.terminal.progress import reporting

_EPILOG = """\
examples:
  scenedino view out/street/voxels.npz
  scenedino view out/street/voxels.ply
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("file", type=Path, help="voxels.npz or voxels.ply")


def run(options: argparse.Namespace) -> int:
    """Open a window and wait until it is closed."""
    if not options.file.is_file():
        raise InputError(f"there is no file {options.file}")
    if options.file.suffix not in (".npz", ".ply"):
        raise InputError(f"file must be .npz or .ply, got {options.file}")
    if not has_display():
        display = os.environ.get("DISPLAY")
        why = f"DISPLAY {display} does not answer" if display else "DISPLAY is not set"
        raise InputError(_no_window(options.file, f"there is no display ({why})"))
    with reporting("loading Open3D"):
        try:
            # Imported here because it takes seconds, and not every platform has it.
            from scenedino_ros.viewing.window import mesh_of_file, show_mesh
        except (ImportError, OSError) as error:
            raise InputError(_no_window(options.file, f"no Open3D ({error})")) from error
        mesh = mesh_of_file(options.file)
    if not show_mesh(mesh, title=str(options.file)):
        raise InputError(_no_window(options.file, "Open3D could not open a window"))
    return 0


def has_display() -> bool:
    """Return whether there is a screen that a window can appear on."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("WAYLAND_DISPLAY"):
        return True
    return bool(os.environ.get("DISPLAY")) and _x_server_answers()


def _x_server_answers() -> bool:
    """Return whether the X server of DISPLAY answers; a session that has ended leaves its name.

    Open3D would draw where nobody sees it, and wait for ever. Without Xlib nothing is known.
    """
    try:
        xlib = ctypes.CDLL("libX11.so.6")
    except OSError:
        return True
    xlib.XOpenDisplay.restype = ctypes.c_void_p
    connection = xlib.XOpenDisplay(None)
    if not connection:
        return False
    xlib.XCloseDisplay(ctypes.c_void_p(connection))
    return True


def _no_window(file: Path, reason: str) -> str:
    picture = file.with_name("panel.png")
    if not picture.is_file():  # beside a saved map, for instance
        return reason
    return f"{reason}; look at the picture {picture} of 'scenedino predict'"
