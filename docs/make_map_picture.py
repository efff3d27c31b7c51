# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Make README's picture of a map: a synthetic drive, fused with the default model.

Run from the root of the repository: ``python docs/make_map_picture.py``. It takes some minutes
without a GPU. The drive is the one that ``./demo.sh`` plays (seed 0); no image of it took part in
the training. The map has the node's defaults, and the poses of the drive are exact.
"""

import io
from pathlib import Path

from PIL import Image

from scenedino_ros.core.config import MapSettings
from scenedino_ros.core.costs import ClassCosts
from scenedino_ros.core.files import write_atomically
from scenedino_ros.core.labels import SKY
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.mapping.ground import find_ground, occupancy_values
from scenedino_ros.mapping.rolling_map import RollingMap
from scenedino_ros.streets.drive import StreetDrive
from scenedino_ros.streets.render import RenderSettings, render_frame
from scenedino_ros.streets.rig import BASE_HEIGHT, RigSettings
from scenedino_ros.viewing.drive_map import DriveMap
from scenedino_ros.viewing.map_view import draw_occupancy_grid, draw_top_down, voxel_palette
from scenedino_ros.viewing.pictures import (
    BACKGROUND,
    CAPTION,
    LEGEND,
    MARGIN,
    class_legend,
    place_picture,
)
from scenedino_ros.viewing.voxel_view import chase_view, draw_voxels

CAMERA = "camera_00"
TILE, OBLIQUE = (600, 400), (780, 822)  # width and height of the pictures, pixels


def main() -> None:
    """Render the drive, fuse its images in a map, and write the picture."""
    drive, settings = StreetDrive(), RenderSettings(RigSettings((CAMERA,)))
    rig = settings.rig.rig()[CAMERA]
    predictor = NetworkChoice("default").predictor()
    classes = predictor.classes
    rolling = RollingMap(MapSettings(frame="map"), predictor.torch_device)
    track = []
    for frame in range(drive.frames):
        rgb = render_frame(drive, settings, frame)[CAMERA].rgb
        T_map_base = drive.T_world_base(frame)
        T_map_cam = T_map_base @ rig.T_base_cam
        encoded = predictor.encode(rgb, rig.calibrated)
        rolling.fuse(predictor, encoded, T_map_cam, drive.stamp_ns(frame), T_map_base)
        track.append(T_map_base)
    hidden = tuple(classes.ids((SKY,)))
    costs, volume = ClassCosts.of(classes), rolling.volume(hidden)
    ground = find_ground(volume, costs, track[-1][:3, 3] - (0.0, 0.0, BASE_HEIGHT))
    voxels = rolling.occupied(exposed_only=True, hidden=hidden).semantic()
    shown = DriveMap([voxels.grid])
    shown.update(voxels, occupancy_values(volume, ground, costs, MapSettings().obstacle_heights))
    extent = shown.known(track)
    above = draw_top_down(shown, classes, track, shown=extent, size=TILE)
    grid = draw_occupancy_grid(shown, track, shown=extent, size=TILE)
    oblique = draw_voxels(
        voxels,
        voxel_palette(classes)[voxels.label],
        T_grid_cam=T_map_cam,
        camera=rig.calibrated.pinhole,
        size=OBLIQUE[::-1],
        viewpoint=chase_view(T_map_cam, back=26.0, above=20.0, aside=4.0, ahead=8.0),
        field_of_view_deg=58.0,
    )
    size = (OBLIQUE[0] + TILE[0] + 3 * MARGIN, OBLIQUE[1] + CAPTION + LEGEND + 2 * MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    caption = f"{len(voxels):,} voxels after {drive.frames} images, the camera in red"
    place_picture(canvas, oblique, caption, (MARGIN, MARGIN), OBLIQUE)
    left = 2 * MARGIN + OBLIQUE[0]
    place_picture(canvas, above, "From above, with the way of the robot", (left, MARGIN), TILE)
    caption = "Occupancy grid: free white, occupied dark, passable at a cost orange, unknown grey"
    place_picture(canvas, grid, caption, (left, MARGIN + CAPTION + TILE[1]), TILE)
    named = [label for label in range(len(classes.names)) if (voxels.label == label).any()]
    class_legend(canvas, (MARGIN, size[1] - MARGIN - LEGEND // 2), named, classes)
    content = io.BytesIO()
    canvas.save(content, format="WEBP", quality=60, method=6)
    write_atomically(Path(__file__).with_name("map.webp"), content.getvalue())


if __name__ == "__main__":
    main()
