# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make README's first picture: an image of a synthetic street, and the default model's prediction.

Run from the root of the repository: ``python docs/make_first_picture.py``. The street is the one
that ``./demo.sh`` plays (seed 0); no image of it took part in the training. The voxels are all
occupied ones at the node's default threshold, in float32. Depth and classes are rendered
from the same field with one ray per pixel of the network input image; by default the node renders
one ray per 4 x 4 pixels.
"""

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.voxels import GRID_PRESETS
from scenedino_ros.inference.network_choice import NetworkChoice
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
TILE = (704, 188)  # width and height of the camera image, pixels


def main() -> None:
    """Render the camera image, run the network, and write the picture."""
    settings = RenderSettings(RigSettings((CAMERA,)))
    camera = settings.rig.rig()[CAMERA].calibrated
    rgb = render_frame(StreetDrive(), settings, FRAME)[CAMERA].rgb
    predictor = NetworkChoice("default").predictor()
    encoded = predictor.encode(rgb, camera)
    voxels = predictor.voxels(encoded, GRID_PRESETS["camera"])
    view = predictor.render(encoded, downscale=1, n_samples=64, unbounded=True, semantic=True)
    classes = predictor.classes

    tiles = (
        ("Input: one camera image of a synthetic street", rgb),
        ("Output: depth, red 2 m to blue 80 m, grey: no surface", color_depth(view.depth)),
        ("Output: classes", color_labels(view.label, classes)),
    )
    height = len(tiles) * (CAPTION + TILE[1])
    size = (2 * TILE[0] + 3 * MARGIN, height + LEGEND + 2 * MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    for number, (caption, picture) in enumerate(tiles):
        corner = (MARGIN, MARGIN + number * (CAPTION + TILE[1]))
        # The network stretches the image to its own aspect ratio, and this undoes it.
        resized = cv2.resize(picture, TILE, interpolation=cv2.INTER_NEAREST)
        place_picture(canvas, resized, caption, corner, TILE)
    drawing = draw_voxels(
        voxels,
        classes,
        camera=camera.pinhole,
        size=(height - CAPTION, TILE[0]),
        viewpoint=chase_view(np.eye(4), back=8.0, above=9.0, aside=2.2, ahead=9.6),
        field_of_view_deg=53.0,
    )
    caption = f"Output: {len(voxels):,} occupied voxels of {voxels.grid.voxel_size:g} m"
    corner = (2 * MARGIN + TILE[0], MARGIN)
    place_picture(canvas, drawing, caption, corner, (TILE[0], height - CAPTION))
    shown = np.union1d(view.label, voxels.label).tolist()
    class_legend(canvas, (MARGIN, height + 2 * MARGIN + LEGEND // 2), shown, classes)
    content = io.BytesIO()
    canvas.save(content, format="WEBP", lossless=True, quality=100, method=6)
    write_atomically(Path(__file__).with_name("first_picture.webp"), content.getvalue())


if __name__ == "__main__":
    main()
