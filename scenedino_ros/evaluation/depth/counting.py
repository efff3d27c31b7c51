"""Depth rendered from one image against true depth, beside guesses that look at no image."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Plot
from scipy.ndimage import distance_transform_edt, gaussian_filter

from scenedino_ros.cameras.camera import PinholeCamera
from scenedino_ros.core.number_ranges import flat_ranges
from scenedino_ros.evaluation.depth.data import DepthData
from scenedino_ros.evaluation.depth.lidar_depth import KITTI360_ROAD, Road, pixel_directions
from scenedino_ros.evaluation.depth.scores import DEPTH_MEASURES, SCALINGS, depth_scores
from scenedino_ros.evaluation.result import Figure, RunResult, Table, coverage
from scenedino_ros.evaluation.run_folder import Counts, RunFolder
from scenedino_ros.evaluation.speed import Stopwatch
from scenedino_ros.evaluation.tiles import color_scale, save_plot, spread, tile_rows, write_panels
from scenedino_ros.inference.network_choice import NetworkChoice
from scenedino_ros.inference.predictor import Predictor
from scenedino_ros.viewing.pictures import color_depth

MODEL, ROAD, MEAN = "model", "flat road", "mean depth image"
QUANTITIES = {"z": "Depth along the optical axis", "range": "Distance along the ray"}
REGIONS = ("all", "above")
_BINS = (1.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 50.0, 80.0)  # metres, of the plot
_MEAN_FRAMES = 64  # most training frames that the mean depth image is made of
_MEAN_SIGMA = 2.0  # pixels over which it is smoothed


@dataclass(frozen=True)
class DepthEvaluation:
    """Scores of rendered depth, and of a flat road and a mean depth image on the same pixels.

    Attributes:
        data: Images with true depth.
        network: The network.
        training: Numbers of the frames that training may have used; the mean depth image is made
            of their true depth. None: there is no such baseline.
        road: The plane of the road.
        above: Pixels that are this much higher than the road are scored by themselves, metres.
        n_samples: Samples along each ray.
        panels: Pictures of single items in the report.
    """

    data: DepthData
    network: NetworkChoice
    training: Collection[int] | None = None
    road: Road = KITTI360_ROAD
    above: float = 0.4
    n_samples: int = 32
    panels: int = 4

    kind = "depth"

    def settings(self) -> dict[str, Any]:
        """Return all that the counts depend on."""
        return {
            "data": self.data.settings(),
            "network": self.network.settings(),
            "training": None if self.training is None else flat_ranges(self.training),
            "road": asdict(self.road),
            "above": self.above,
            "n_samples": self.n_samples,
        }

    def items(self) -> list[str]:
        """Return the frames with true depth."""
        return self.data.items()

    def open(self, watch: Stopwatch) -> Callable[[str], Counts]:
        """Build the network."""
        return DepthWork(self, watch).count

    def is_training(self, item: str) -> bool:
        """Return whether a frame is among those that training may have used."""
        return int(item) in (self.training or ())

    def summarise(self, folder: RunFolder, tell: Callable[[str], None]) -> RunResult:
        """Return tables of the means over frames, a plot over distance and panels."""
        items = self.items()
        groups = {"": items}
        if self.training is not None:
            groups = {
                " (frames of the training)": [i for i in items if self.is_training(i)],
                " (other frames)": [i for i in items if not self.is_training(i)],
            }
        missing = folder.missing(items)
        done = [item for item in items if item not in missing]
        totals = {name: folder.total(group) for name, group in groups.items() if group}
        tables = []
        for name, total in totals.items():
            finished = len(set(groups[name]) & set(done))
            tables += _tables(name, total, coverage(finished, len(groups[name]), "frames"))
        last_name, last = list(totals.items())[-1]
        figures = [_plot(folder.path, f"Error over distance{last_name}", last)] if last else []
        tell("drawing panels")
        figures += write_panels(
            folder.path, done, self.panels, "frame", lambda: DepthWork(self, Stopwatch())
        )
        return RunResult(
            kind=self.kind,
            title="Depth",
            dataset=self.data.describe(),
            checkpoint=self.network.describe(),
            settings=self.settings(),
            items=len(items),
            unit="frames",
            missing=missing,
            tables=tables,
            notes=self._notes(),
            figures=figures,
            counts=folder.total(items),
        )

    def _notes(self) -> list[str]:
        notes = [
            "Every number is the mean over frames of the frame's own score; predictions are "
            "clamped to 0.001..80 m. SceneDINO publishes no depth scores to compare with.",
            f"Above the road means more than {self.above:g} m above the plane with normal "
            f"({', '.join(f'{value:.3f}' for value in self.road.normal)}) at "
            f"{self.road.height:g} m under the camera. The flat road predicts that plane, and "
            "80 m above the horizon.",
            "Rows with 'median' or 'least squares' scale each frame by its true depth, which a "
            "robot does not have.",
        ]
        if self.training is not None:
            notes.append(
                "The mean depth image averages the true depth of the training frames (at most "
                f"{_MEAN_FRAMES}) pixel by pixel and looks at no image; on those frames it is in "
                "sample."
            )
        return notes


@dataclass(frozen=True, eq=False)
class _Depths:
    """One frame: picture, its camera, true z-depth, and predicted z-depth by predictor."""

    rgb: np.ndarray
    camera: PinholeCamera
    truth: np.ndarray
    predictions: dict[str, np.ndarray]


class DepthWork:
    """Does frames, in the process that holds the network."""

    def __init__(self, evaluation: DepthEvaluation, watch: Stopwatch) -> None:
        """Build the network."""
        self._evaluation, self._watch = evaluation, watch
        self._predictor: Predictor = evaluation.network.predictor()
        self._mean: np.ndarray | None = None

    def count(self, item: str) -> Counts:
        """Return the scores of a frame: sums over frames are made of them."""
        depths = self._depths(item)
        road, above = self._evaluation.road, self._evaluation.above
        high = road.height_above(depths.camera, depths.truth) > above
        truths = {"all": depths.truth, "above": np.where(high, depths.truth, 0)}
        to_range = np.linalg.norm(pixel_directions(depths.camera), axis=-1)
        counts: Counts = {}
        for region, truth in truths.items():
            counts[f"pixels.{region}"] = np.array((truth > 0).sum(), np.int64)
            for name, prediction in depths.predictions.items():
                for quantity, factor in (("z", 1.0), ("range", to_range)):
                    pair = (truth * factor, prediction * factor)
                    for scaling in SCALINGS if name == MODEL else SCALINGS[:1]:
                        key = f"{quantity}.{region}.{name}.{scaling}"
                        counts[key] = _with_count(depth_scores(*pair, scaling))
        for name, prediction in depths.predictions.items():
            counts[f"bins.{name}"] = _error_by_distance(depths.truth, prediction)
        return counts

    def panel(self, item: str) -> np.ndarray:
        """Return a picture of a frame: input, truth, and each prediction with its error."""
        depths = self._depths(item)
        rows = [[("Input", depths.rgb), ("True depth", _thick(depths.truth))]]
        for name, prediction in depths.predictions.items():
            error = np.abs(prediction - depths.truth) / np.where(depths.truth > 0, depths.truth, 1)
            picture = color_scale(
                _nearest(np.where(depths.truth > 0, error, np.nan)), (0.0, 0.5), "magma"
            )
            caption = f"Relative error of the {name}, 0 (black) to 0.5 and more (white)"
            rows.append([(f"Depth of the {name}", color_depth(prediction)), (caption, picture)])
        return tile_rows(f"Depth, frame {item}", rows, 640)

    def _depths(self, item: str) -> _Depths:
        with self._watch.predicting():
            rgb, camera = self._evaluation.data.image(item)
            encoded = self._predictor.encode(rgb, camera)
        truth = self._evaluation.data.truth(item, encoded.camera)
        with self._watch.predicting():
            view = self._predictor.render(
                encoded, downscale=1, n_samples=self._evaluation.n_samples, depth=True
            )
        assert view.depth is not None
        predictions = {MODEL: view.depth, ROAD: self._evaluation.road.depth(encoded.camera)}
        if self._evaluation.training is not None:
            if self._mean is None:
                self._mean = self._mean_depth(encoded.camera)
            predictions[MEAN] = self._mean
        return _Depths(encoded.rgb, encoded.camera, truth, predictions)

    def _mean_depth(self, camera: PinholeCamera) -> np.ndarray:
        items = [i for i in self._evaluation.items() if self._evaluation.is_training(i)]
        images = (self._evaluation.data.truth(i, camera) for i in spread(items, _MEAN_FRAMES))
        return mean_depth_image(images, (camera.height, camera.width))


def mean_depth_image(images: Iterator[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Average depth images pixel by pixel, smooth, and fill the rest from the nearest pixel.

    Args:
        images: (h, w) z-depths, metres, 0 where unknown.
        size: (h, w).

    Returns:
        (h, w) float32 metres; 80 m everywhere if nothing is known.
    """
    total, count = np.zeros(size), np.zeros(size)
    for image in images:
        total += image
        count += image > 0
    if not count.any():
        return np.full(size, 80.0, dtype=np.float32)
    weight = gaussian_filter(count, _MEAN_SIGMA, truncate=3)
    mean = gaussian_filter(total, _MEAN_SIGMA, truncate=3) / np.maximum(weight, 1e-9)
    rows, columns = distance_transform_edt(
        weight < 1e-6, return_distances=False, return_indices=True
    )
    return mean[rows, columns].astype(np.float32)


def _with_count(scores: np.ndarray | None) -> np.ndarray:
    if scores is None:
        return np.zeros(len(DEPTH_MEASURES) + 1)
    return np.append(scores, 1.0)


def _error_by_distance(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return (2, bins) sums of the relative error and numbers of pixels, by true depth."""
    known = truth > 0
    true = truth[known].astype(np.float64)
    error = np.abs(np.clip(prediction[known], 1e-3, 80.0) - true) / true
    counts, _ = np.histogram(true, _BINS)
    sums, _ = np.histogram(true, _BINS, weights=error)
    return np.stack([sums, counts.astype(np.float64)])


def _tables(group: str, total: Counts, scope: str) -> list[Table]:
    tables = []
    for quantity, title in QUANTITIES.items():
        rows: list[list[str | float]] = []
        for region, words in zip(REGIONS, ("", ", above the road"), strict=True):
            for key, value in total.items():
                parts = key.split(".")
                if parts[:2] != [quantity, region]:
                    continue
                name, scaling = parts[2:]
                scaled = "" if scaling == "none" else f", scaled by {scaling}"
                means = value[:-1] / value[-1] if value[-1] else np.full(len(value) - 1, np.nan)
                rows.append([f"{name}{scaled}{words} ({scope})", *map(float, means)])
        tables.append(Table(f"{title}{group}", ["", *DEPTH_MEASURES], rows, digits=3))
    return tables


def _plot(path: Path, title: str, total: Counts) -> Figure:
    plot = Plot(figsize=(7, 3.6), layout="constrained")
    axes = plot.subplots()
    middles = np.sqrt(np.array(_BINS[:-1]) * np.array(_BINS[1:]))
    for key in (key for key in total if key.startswith("bins.")):
        sums, counts = total[key]
        seen = counts > 0
        name = key.removeprefix("bins.")
        axes.plot(middles[seen], sums[seen] / counts[seen], "o-", label=name)
    axes.set(xscale="log", yscale="log", title=title)
    axes.set(xlabel="true depth [m]", ylabel="mean relative error")
    axes.set_xticks(_BINS, [f"{edge:g}" for edge in _BINS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    save_plot(path / "error_over_distance.png", plot)
    return Figure("error_over_distance.png", title)


def _nearest(values: np.ndarray) -> np.ndarray:
    """Return values with those of known pixels spread to their neighbours, for the eye."""
    distance, (rows, columns) = distance_transform_edt(~np.isfinite(values), return_indices=True)
    return np.where(distance <= 1.5, values[rows, columns], np.nan)


def _thick(depth: np.ndarray) -> np.ndarray:
    return color_depth(np.nan_to_num(_nearest(np.where(depth > 0, depth, np.nan))))
