# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Score rendered depth on drives without ground truth: against matched images, and across views.

    python scripts/matched_depth.py stores/kitti02 --checkpoint default
    python scripts/matched_depth.py stores/kitti03 --every 10 --matches runs/matches

Each line is a frame store. Depth of the network is compared with depth from matching: the two
images of a rectified pair (semi-global matching), or images of one camera before and after (plane
sweep); see `train.field.depth_hints`. It is known on a part of the pixels, mostly on well-lit
texture, and far depth is uncertain by some percent. ``ends`` is the fraction of pixels whose end
point, seen from the view that is about 2 m further along, has the depth that the network renders
there from that view's own image, within 5 %; both depths are between 3 and 50 m.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from scenedino_ros.cameras.camera import CalibratedCamera
from scenedino_ros.core.errors import InputError
from scenedino_ros.core.ray_spacing import INVERSE
from scenedino_ros.evaluation.depth.lidar_depth import pixel_directions
from scenedino_ros.evaluation.depth.scores import depth_scores
from scenedino_ros.evaluation.stores import camera_of, open_store
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.recordings.frame_store.store import FrameStore
from train.field.depth_hints import DepthHints
from train.field.items import View

LIMITS = (3.0, 50.0)  # metres, z-depth
STEP = 2.0  # metres between the views whose end points are compared
SAME = 0.05  # relative
SAMPLES = 64  # in inverse depth, as when the first models were compared
SCALE = 2  # depth is rendered at every second pixel of both axes
COLUMNS = "{:<24}{:>8}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}"


def rendered(predictor: Predictor, store: FrameStore, camera: str, frame: int) -> np.ndarray:
    """Return the (h, w) rendered z-depth of an image, metres."""
    rgb = np.array(store.image(camera, frame))
    encoded = predictor.encode(rgb, CalibratedCamera(camera_of(store, camera)))
    view = predictor.render(encoded, downscale=SCALE, n_samples=SAMPLES, spacing=INVERSE)
    assert view.depth is not None
    return view.depth


def same_ends(
    depth: np.ndarray, other: np.ndarray, T_other_view: np.ndarray, store: FrameStore, camera: str
) -> tuple[int, int]:
    """Return on how many pixels two views agree about the end point, and how many both see.

    Args:
        depth: (h, w) z-depth of a view, metres.
        other: (h, w) z-depth of the other view, metres.
        T_other_view: (4, 4) view to other view, metres.
        store: The drive.
        camera: Camera of both.
    """
    height, width = depth.shape
    own = camera_of(store, camera).resized(width, height)
    points = pixel_directions(own) * depth[..., None] @ T_other_view[:3, :3].T
    points += T_other_view[:3, 3]
    u, v = np.moveaxis(own.project(points.reshape(-1, 3)).reshape(points.shape[:2] + (2,)), -1, 0)
    z = points[..., 2]
    near, far = LIMITS
    seen = (u >= 0) & (u < own.width) & (v >= 0) & (v < own.height)
    seen &= (depth >= near) & (depth <= far) & (z >= near) & (z <= far)
    there = cv2.remap(
        other, (u - 0.5).astype(np.float32), (v - 0.5).astype(np.float32), cv2.INTER_NEAREST
    )
    agree = np.abs(there - z) <= SAME * z
    return int((agree & seen).sum()), int(seen.sum())


def next_view(store: FrameStore, frame: int) -> int | None:
    """Return the frame that is about `STEP` further along, None at the end or a pose jump."""
    travelled, part = store.travelled(), np.cumsum(store.breaks())
    moved = np.where(part == part[frame], travelled - travelled[frame], np.inf)
    found = int(np.abs(moved - STEP).argmin())
    return found if abs(moved[found] - STEP) < STEP / 2 else None


def score(
    predictor: Predictor, path: Path, camera: str, every: int, matches: Path
) -> tuple[float, ...]:
    """Return frames, abs rel, d < 1.25, RMSE, median ratio, known pixels and agreeing ends."""
    store = open_store(path, camera)
    hints = DepthHints(matches, store, (LIMITS[0], 80.0))
    to_range = np.linalg.norm(pixel_directions(camera_of(store, camera)), axis=-1)
    frames = list(range(0, len(store), every))
    for _ in hints.fill(camera, frames):
        pass
    rows, ratios, known, agree, seen = [], [], [], 0, 0
    for frame in frames:
        depth = rendered(predictor, store, camera, frame)
        matched = hints.distance(View(camera, frame)).astype(np.float32) / to_range
        matched = matched[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
        matched = np.where((matched >= LIMITS[0]) & (matched <= LIMITS[1]), matched, 0)
        row = depth_scores(matched, depth)
        if row is not None:
            rows.append(row)
            ratios.append(np.median(depth[matched > 0] / matched[matched > 0]))
            known.append((matched > 0).mean())
        other = next_view(store, frame)
        if other is not None:
            T_world_other = store.T_world_cam(camera, other)
            T = np.linalg.inv(T_world_other) @ store.T_world_cam(camera, frame)
            counts = same_ends(depth, rendered(predictor, store, camera, other), T, store, camera)
            agree, seen = agree + counts[0], seen + counts[1]
    if not rows:
        raise InputError(f"{path} has no frame whose depth can be matched, every {every} frames")
    abs_rel, _, rmse, _, d1, *_ = np.mean(rows, axis=0)
    ends = agree / seen if seen else float("nan")
    return len(rows), abs_rel, d1, rmse, float(np.median(ratios)), float(np.mean(known)), ends


def main() -> None:
    """Print a line for each store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--checkpoint", default="", help="file or name (default: the default one)")
    parser.add_argument("--camera", default="camera_00")
    parser.add_argument("--every", type=int, default=1, help="score every n-th frame")
    parser.add_argument("--matches", type=Path, help="folder that keeps the matched depth")
    arguments = parser.parse_args()
    predictor = NetworkChoice(arguments.checkpoint, fit="stretch").predictor()
    head = ("store", "frames", "abs rel", "d < 1.25", "RMSE [m]", "ratio", "known", "ends")
    print(COLUMNS.format(*head))
    with tempfile.TemporaryDirectory() as temporary:
        matches = arguments.matches or Path(temporary)
        for path in arguments.stores:
            frames, *values = score(predictor, path, arguments.camera, arguments.every, matches)
            shown = [f"{value:.3f}" for value in values]
            print(COLUMNS.format(path.name, frames, *shown), flush=True)


if __name__ == "__main__":
    main()
