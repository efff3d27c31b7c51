# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The evidence of occupied and free space in a rolling box, fused from many images.

For each voxel in view the field is asked at the voxel's own centre, so nothing is resampled. With
the density d there, the threshold t and the edge s of a voxel, an image adds the log-odds

    min(1, z1 / z)^6 * clip(log(expm1(d s) / (min(1, z0 / z)^0.8 expm1(t s))), -c, c)

at depth z, since 1 - exp(-d s) is the probability that matter stops a ray within the voxel. At the
threshold occupied and free are equally likely. It falls with the depth, because the network is
less sure of large depths and spreads the density of a surface along the ray. The steep weight
lets the nearest images decide: a robot that drives has seen every place from farther away before.

What lies behind a surface cannot be seen to be free, whatever the field says there: such voxels
only get evidence of being occupied. Evidence halves with every half-life, and is clipped to what a
few images can overturn. A voxel with little evidence, for or against, is unknown.

Classes of voxels are votes of the weight min(1, z1 / z): a voxel has one class and the lead of
that class over all others (weighted majority vote, Boyer and Moore, 1991), because a histogram of
all classes would take eight times the memory.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from scenedino_ros.core.config import MapSettings
from scenedino_ros.core.labels import IGNORE
from scenedino_ros.core.poses import check_pose
from scenedino_ros.inference.exposed import exposed
from scenedino_ros.inference.query import EncodedImage
from scenedino_ros.mapping.box import RollingBox
from scenedino_ros.mapping.in_view import VoxelsInView, voxels_in_view
from scenedino_ros.mapping.map_voxels import MapVolume, MapVoxels
from scenedino_ros.mapping.pose_guard import PoseGuard, Restart

MOST_EVIDENCE = 4.0  # log-odds of a voxel at most: a probability of 98 %
LEAST_EVIDENCE = 0.2  # a voxel with less is unknown
_CLIP = 3.0  # what one image says of a voxel, log-odds
# Chosen on nine frames of a real drive and two synthetic ones.
_FULL_WEIGHT, _WEIGHT_FALL = 20.0, 6.0  # z1: depth up to which an image counts fully, metres
_FULL_THRESHOLD, _THRESHOLD_FALL = 12.0, 0.8  # z0: depth up to which the threshold is t, metres
# Voxels beyond this depth are asked in every second image, beyond twice this in every third, and
# so on: most voxels are far away, where neighbouring images say the same of them. Metres.
_ASKED_IN_EVERY_IMAGE = 12.8
# A voxel is behind a surface from this fraction of the surface's depth and this many edges of a
# voxel on. Surfaces are rendered in images of the network's size divided by the downscale.
_BEHIND, _BEHIND_EDGES, _DOWNSCALE = 0.05, 2.0, 8
_BEHIND_EVERY = 2  # of those voxels one in so many is asked in an image: most say nothing
_MOST_VOTES = 8.0
_NEARER_FIRST = 1e-3  # votes per metre; less than one vote over the whole depth
_NAMED_PER_IMAGE = 6000  # voxels whose classes are asked at most
# After so many half-lives without an image nothing is left of the evidence.
_FADED = 100
_NS = 1e-9  # seconds


class Field(Protocol):
    """What answers at points of an encoded image, as `Predictor` does."""

    density_threshold: float

    def densities_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> torch.Tensor:
        """Return (N,) densities, 1/m."""

    def classes_in_view(
        self, encoded: EncodedImage, uv_norm: torch.Tensor, depth: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (N,) uint8 class ids and (N,) confidences."""

    def rendered_depth(self, encoded: EncodedImage, *, downscale: int) -> torch.Tensor:
        """Return the (h, w) depths of the surfaces in view, metres."""


@dataclass(frozen=True)
class Fusion:
    """What one image did to the map.

    Attributes:
        asked: Voxels whose densities were asked.
        named: Voxels whose classes were asked.
        restart: Why the map started anew before this image, or None.
        reason: That as a sentence; or empty.
    """

    asked: int
    named: int
    restart: Restart | None = None
    reason: str = ""


class RollingMap:
    """Evidence and classes of the voxels of a box. Belongs to one thread.

    Attributes:
        box: The box.
        images: Images that were fused since the map last started.
        newest_ns: Stamp of the newest of them, nanoseconds.
    """

    def __init__(self, settings: MapSettings, device: torch.device | None = None) -> None:
        """Start with everything unknown.

        Args:
            settings: Size, resolution and rules.
            device: Where the map lives: that of the network.

        Raises:
            InputError: If the settings contradict each other.
        """
        self._settings = settings
        self._device = device or torch.device("cpu")
        self.box = RollingBox(settings.size, settings.voxel_size, settings.below)
        self._guard = PoseGuard(settings.max_speed, settings.max_turn)
        shape = self.box.shape
        self._evidence = torch.zeros(shape, device=self._device)
        self._seen = torch.full(shape, -math.inf, device=self._device)  # s since the first image
        self._label = torch.full(shape, IGNORE, dtype=torch.uint8, device=self._device)
        self._lead = torch.zeros(shape, device=self._device)
        self._votes = torch.zeros(shape, device=self._device)
        self._first_ns: int | None = None
        self._turns: Counter[str] = Counter()  # images of each camera
        self.newest_ns = 0
        self.images = 0

    def reset(self) -> None:
        """Make everything unknown."""
        self._guard.forget()
        self._begin()

    def _begin(self) -> None:
        self._clear(slice(None))
        self._first_ns, self.images = None, 0

    @torch.inference_mode()
    def fuse(
        self,
        field: Field,
        encoded: EncodedImage,
        T_map_cam: np.ndarray,
        stamp_ns: int,
        T_map_robot: np.ndarray | None = None,
        camera: str = "",
    ) -> Fusion:
        """Add what the field of one image says of the voxels in view.

        Args:
            field: Answers at points of the image.
            encoded: The image.
            T_map_cam: (4, 4) pose of the camera in the fixed frame when the image was taken,
                metres.
            stamp_ns: When that was, nanoseconds.
            T_map_robot: (4, 4) pose of the robot then; None: the camera's.
            camera: Name of the camera, of several: each asks far voxels in turns of its own.

        Returns:
            What was done.

        Raises:
            InputError: If a pose is not a finite rigid transform.
            OutOfMemoryError: If the voxels in view do not fit into the device's memory.
        """
        check_pose(T_map_cam, "the camera's pose")
        T_map_robot = T_map_cam if T_map_robot is None else T_map_robot
        restart = self._guard.check(T_map_robot, stamp_ns, camera)
        silence = (stamp_ns - self.newest_ns) * _NS  # since the newest image
        if restart or silence > _FADED * self._settings.half_life:
            self._begin()  # and count seconds anew: float32 resolves few of them finely
        if self._first_ns is None:
            self._first_ns = self.newest_ns = stamp_ns
        if stamp_ns >= self.newest_ns:  # for an older image the box would lose what is ahead
            self.newest_ns = stamp_ns
            for axis, slots in self.box.move(T_map_robot[:3, 3]):
                where: list[slice | torch.Tensor] = [slice(None)] * 3
                where[axis] = torch.from_numpy(slots).to(self._device)
                self._clear(tuple(where))
        view = voxels_in_view(
            self.box,
            T_map_cam,
            encoded.camera,
            self._device,
            turn=self._turns[camera],
            full_depth=_ASKED_IN_EVERY_IMAGE,
        )
        self._turns[camera] += 1
        surface = field.rendered_depth(encoded, downscale=_DOWNSCALE)
        behind = _is_behind(view, surface, _BEHIND_EDGES * self.box.voxel_size)
        asked = ~behind | ((view.slot + _shuffled(self.images)) % _BEHIND_EVERY == 0)
        view, behind = VoxelsInView(*(column[asked] for column in view)), behind[asked]
        density = field.densities_in_view(encoded, view.uv_norm, view.depth)
        said = self._log_odds(density, view.depth, field.density_threshold)
        shown = ~behind | (said > 0)
        view, said = VoxelsInView(*(column[shown] for column in view)), said[shown]
        occupied = self._observe(view, said, self._seconds(stamp_ns))
        named = self._vote(field, encoded, view, occupied)
        self.images += 1
        return Fusion(len(density), named, *(restart or ()))

    def _log_odds(
        self, density: torch.Tensor, depth: torch.Tensor, threshold: float
    ) -> torch.Tensor:
        """Return what (N,) densities at depths say: the clipped log-odds, without their weight."""
        edge, threshold = self.box.voxel_size, self._settings.density_threshold or threshold
        fall = (_FULL_THRESHOLD / depth).clamp_(max=1).log_()
        said = torch.log(torch.expm1((density * edge).clamp_(1e-6, 50)))
        said.sub_(math.log(math.expm1(threshold * edge))).sub_(fall, alpha=_THRESHOLD_FALL)
        return said.clamp_(-_CLIP, _CLIP)

    def _observe(self, view: VoxelsInView, said: torch.Tensor, now: float) -> torch.Tensor:
        """Add evidence; return the (N,) bool voxels that image and map both take as occupied."""
        evidence, seen = self._evidence.view(-1), self._seen.view(-1)
        last = seen[view.slot]
        stored = evidence[view.slot]
        before = stored * self._decay(now - last)
        weight = (_FULL_WEIGHT / view.depth).clamp_(max=1).pow_(_WEIGHT_FALL)
        after = weight.mul_(said).add_(before)
        after.clamp_(-MOST_EVIDENCE, MOST_EVIDENCE)
        evidence[view.slot] = after
        seen[view.slot] = last.clamp_(min=now)
        # Also those that had faded before this image.
        least = torch.minimum(before, after)
        freed = view.slot[(stored >= LEAST_EVIDENCE) & (least < LEAST_EVIDENCE)]
        self._forget_classes(freed)
        return (said > 0) & (after >= LEAST_EVIDENCE)

    def _vote(
        self, field: Field, encoded: EncodedImage, view: VoxelsInView, occupied: torch.Tensor
    ) -> int:
        """Ask the classes of exposed voxels: those with the fewest votes first, then the nearest.

        What is near leaves the view first.
        """
        outside = self._unrolled(_exposed(self._rolled(self._evidence >= LEAST_EVIDENCE)))
        chosen = occupied.logical_and_(outside.view(-1)[view.slot]).nonzero().squeeze(1)
        votes, lead, label = self._votes.view(-1), self._lead.view(-1), self._label.view(-1)
        if len(chosen) > _NAMED_PER_IMAGE:
            order = votes[view.slot[chosen]] + _NEARER_FIRST * view.depth[chosen]
            chosen = chosen[order.topk(_NAMED_PER_IMAGE, largest=False).indices]
        if not len(chosen):
            return 0
        slot, depth = view.slot[chosen], view.depth[chosen]
        said, _ = field.classes_in_view(encoded, view.uv_norm[chosen], depth)
        weight = (_FULL_WEIGHT / depth).clamp_(max=1)
        weight[said == IGNORE] = 0
        agreed = label[slot] == said
        after = lead[slot] + torch.where(agreed, weight, -weight)
        label[slot] = torch.where(after < 0, said, label[slot])
        total = votes[slot] + weight
        scale = (_MOST_VOTES / total).clamp_(max=1)
        lead[slot], votes[slot] = after.abs_().mul_(scale), total.mul_(scale)
        return len(chosen)

    def occupied(self, exposed_only: bool = False, hidden: tuple[int, ...] = ()) -> MapVoxels:
        """Return the occupied voxels at the time of the newest image.

        Args:
            exposed_only: Only voxels with a face neighbour that is not among them.
            hidden: Class ids that are left out.
        """
        evidence, age = self._now()
        chosen = evidence >= LEAST_EVIDENCE
        labels = self._rolled(self._label)
        for class_id in hidden:
            chosen &= labels != class_id
        if exposed_only:
            chosen = _exposed(chosen)
        index = chosen.flatten().nonzero().squeeze(1)
        lead, votes = (
            self._rolled(values).flatten()[index] for values in (self._lead, self._votes)
        )
        columns = (
            *(index, labels.flatten()[index], lead.div_(votes.clamp_(min=1e-6))),
            *(evidence.flatten()[index].sigmoid_(), age.flatten()[index]),
        )
        return MapVoxels(self.box.grid(), *(column.cpu().numpy() for column in columns))

    def volume(self, hidden: tuple[int, ...] = ()) -> MapVolume:
        """Return what is known of every voxel at the time of the newest image.

        Args:
            hidden: Class ids of voxels that are unknown, not occupied.
        """
        evidence, _ = self._now()
        label = self._rolled(self._label).cpu().numpy()
        occupied = (evidence >= LEAST_EVIDENCE).cpu().numpy()
        for class_id in hidden:
            occupied &= label != class_id
        free = (evidence <= -LEAST_EVIDENCE).cpu().numpy()
        return MapVolume(self.box.grid(), occupied, free, label)

    def evidence(self) -> np.ndarray:
        """Return the (X, Y, Z) float32 log-odds of the box's voxels now; 0 is unknown."""
        return self._now()[0].cpu().numpy()

    def log_odds_at(self, points: np.ndarray) -> np.ndarray:
        """Return the evidence of the voxels that hold points, at the time of the newest image.

        Args:
            points: (N, 3) points in the fixed frame, metres.

        Returns:
            (N,) float32 log-odds of occupied against free; 0 where the map knows nothing.
        """
        slots, inside = self.box.slots(points)
        slot = torch.from_numpy(slots).to(self._device)
        age = self._seconds(self.newest_ns) - self._seen.view(-1)[slot]
        evidence = self._evidence.view(-1)[slot] * self._decay(age)
        return np.where(inside, evidence.cpu().numpy(), np.float32(0))

    def memory(self) -> int:
        """Return the bytes of the map."""
        fields = (self._evidence, self._seen, self._label, self._lead, self._votes)
        return sum(field.nbytes for field in fields)

    def _now(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return evidence and age, (X, Y, Z), in ascending order of the voxels."""
        age = (self._seconds(self.newest_ns) - self._rolled(self._seen)).clamp_(min=0)
        return self._rolled(self._evidence).mul_(self._decay(age)), age

    def _decay(self, age: torch.Tensor) -> torch.Tensor:
        return torch.exp2(age.clamp(min=0) / -self._settings.half_life)

    def _seconds(self, stamp_ns: int) -> float:
        return (stamp_ns - (self._first_ns or 0)) * _NS

    def _clear(self, where: object) -> None:
        self._evidence[where] = 0
        self._seen[where] = -math.inf
        self._label[where] = IGNORE
        self._lead[where] = 0
        self._votes[where] = 0

    def _forget_classes(self, slot: torch.Tensor) -> None:
        self._label.view(-1)[slot] = IGNORE
        self._lead.view(-1)[slot] = 0
        self._votes.view(-1)[slot] = 0

    def _rolled(self, values: torch.Tensor) -> torch.Tensor:
        """Return values by slot in ascending order of the voxels."""
        return values.roll(self.box.roll(), (0, 1, 2))

    def _unrolled(self, values: torch.Tensor) -> torch.Tensor:
        x, y, z = self.box.roll()
        return values.roll((-x, -y, -z), (0, 1, 2))


def _exposed(occupied: torch.Tensor) -> torch.Tensor:
    """Return which voxels of a (X, Y, Z) box can be seen; below the box, all is taken as solid.

    The lowest layer lies in the ground, where there is nothing to be seen from below.
    """
    solid = torch.ones_like(occupied[:, :, :1])
    return exposed(torch.cat([solid, occupied], dim=2))[:, :, 1:]


def _shuffled(number: int) -> int:
    """Return a whole number that changes without a pattern from one number to the next.

    With a pattern, tiles that are asked in every second image would meet the same voxels always.
    """
    return (number * 2654435761 % 2**32) >> 16  # multiplicative hashing, Knuth


def _is_behind(view: VoxelsInView, surface: torch.Tensor, margin: float) -> torch.Tensor:
    """Return the (N,) bool voxels that lie behind the surfaces of a (h, w) depth image.

    Args:
        view: The voxels.
        surface: Depths, metres.
        margin: How far behind at least, metres.
    """
    height, width = surface.shape
    column = ((view.uv_norm[:, 0] + 1) * (width / 2)).long().clamp_(0, width - 1)
    row = ((view.uv_norm[:, 1] + 1) * (height / 2)).long().clamp_(0, height - 1)
    limit = surface.mul(1 + _BEHIND).add_(margin).flatten()
    return view.depth > limit[row.mul_(width).add_(column)]
