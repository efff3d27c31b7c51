# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make the gallery of six synthetic streets that no training has seen, good and bad ones.

Run from the root of the repository: ``python docs/make_gallery.py``. Each row shows an image, the
depth and the classes that the default model renders from it, and its exposed voxels at the node's
default threshold, in float32. The caption gives the mean relative error of the depth from 1 to
50 m. The streets are the first six of those that MODEL_CARD.md scores, not a choice.
"""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.query import VoxelQuery
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.render import RenderSettings, render_frame
from scenedino_ros.streets.rig import RigSettings
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    LEGEND,
    MARGIN,
    class_legend,
    color_depth,
    color_labels,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import chase_view, draw_voxels

CAMERA, FRAME = "camera_00", 10
SEEDS = range(2000, 2006)
TILE = (480, 128)  # width and height of a picture, pixels
LIMITS = (1.0, 50.0)  # of the depth that is scored, metres


def main() -> None:
    """Render the streets, run the network on each, and write the picture."""
    settings = RenderSettings(RigSettings((CAMERA,)))
    camera = settings.rig.rig()[CAMERA].calibrated
    predictor = NetworkChoice("default").predictor()
    classes, shown = predictor.classes, set()
    row = CAPTION + TILE[1]
    size = (4 * (TILE[0] + MARGIN) + MARGIN, len(SEEDS) * row + LEGEND + 2 * MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    for place, seed in enumerate(SEEDS):
        truth = render_frame(StreetDrive(seed, frames=21), settings, FRAME)[CAMERA]
        encoded = predictor.encode(truth.rgb, camera)
        voxels = predictor.voxels(
            encoded, GRID_PRESETS["camera"], query=VoxelQuery(exposed_only=True)
        )
        view = predictor.render(encoded, downscale=1, n_samples=64, unbounded=True, semantic=True)
        shown |= set(np.union1d(view.label, voxels.label).tolist())
        drawing = draw_voxels(
            voxels,
            classes,
            camera=camera.pinhole,
            size=(TILE[1], TILE[0]),
            viewpoint=chase_view(np.eye(4), back=9.0, above=9.0, ahead=14.0),
            field_of_view_deg=72.0,
        )
        tiles = (
            (f"Street {seed}", truth.rgb),
            (f"Depth, {relative_error(view.depth, truth.depth):.0%} off", color_depth(view.depth)),
            ("Classes", color_labels(view.label, classes)),
            ("Voxels", drawing),
        )
        for number, (caption, picture) in enumerate(tiles):
            corner = (MARGIN + number * (TILE[0] + MARGIN), MARGIN + place * row)
            resized = cv2.resize(picture, TILE, interpolation=cv2.INTER_AREA)
            place_picture(canvas, resized, caption, corner, TILE)
    class_legend(canvas, (MARGIN, size[1] - LEGEND // 2), sorted(shown), classes)
    content = io.BytesIO()
    canvas.save(content, format="WEBP", quality=85, method=6)
    write_atomically(Path(__file__).with_name("gallery.webp"), content.getvalue())


def relative_error(depth: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean relative error of a (h, w) depth against one of any size, metres."""
    size = depth.shape[::-1]
    truth = cv2.resize(truth, size, interpolation=cv2.INTER_NEAREST)
    known = (truth >= LIMITS[0]) & (truth <= LIMITS[1]) & np.isfinite(depth)
    return float(np.mean(np.abs(depth[known] / truth[known] - 1)))


if __name__ == "__main__":
    main()
