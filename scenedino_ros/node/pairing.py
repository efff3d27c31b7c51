# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Which CameraInfo belongs to which image."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

from scenedino_ros.node.statistics import Reason

_QUEUE = 10  # images, and calibrations, that wait for their partner when pairing is exact
# One image alone may be so much earlier than the one before it, nanoseconds: it came out of order,
# and no clock jumped.
_REORDERED = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and the calibration it was taken with.

    Attributes:
        image: `sensor_msgs/Image` or `CompressedImage`.
        info: `sensor_msgs/CameraInfo`.
        stamp_ns: Stamp of the image, nanoseconds.
        arrival: When the image arrived, seconds of a steady clock.
    """

    image: Any
    info: Any
    stamp_ns: int
    arrival: float


class Drop(NamedTuple):
    """An image that will not be used: the reason, and a sentence that explains it."""

    reason: Reason
    sentence: str


class Paired(NamedTuple):
    """The result of one message: perhaps a frame, perhaps images that are dropped.

    Attributes:
        frame: An image that found its calibration, or None.
        drops: Images that are dropped, one entry each.
        jumped_back: Whether time ran backwards, so that everything stored by time is invalid.
    """

    frame: Frame | None = None
    drops: tuple[Drop, ...] = ()
    jumped_back: bool = False


class _Waiting(NamedTuple):
    image: Any
    arrival: float


class Pairing:
    """Pairs images with calibrations, which come on another topic, in any order.

    With ``exact`` the two have the same stamp, and whichever is first waits for the other. With
    ``latest`` a calibration holds until another comes, whatever its stamp; an image that comes
    before the first one waits for it, or until the next image replaces it.
    """

    def __init__(self, mode: str) -> None:
        """Start without any message.

        Args:
            mode: ``exact`` or ``latest``.
        """
        self._exact = mode == "exact"
        self._images: OrderedDict[int, _Waiting] = OrderedDict()
        self._infos: OrderedDict[int, Any] = OrderedDict()
        self._last_stamp_ns: int | None = None
        self._out_of_order = False

    def add_image(self, stamp_ns: int, image: Any, arrival: float) -> Paired:
        """Take in an image.

        Args:
            stamp_ns: Its stamp, nanoseconds.
            image: The message.
            arrival: When it came, seconds of a steady clock.

        Returns:
            The image with its calibration, if that is there, and images that are dropped.
        """
        last = self._last_stamp_ns
        if last is not None and stamp_ns < last:
            sentence = (
                f"the image's stamp is {(last - stamp_ns) / 1e9:.3f} s before the stamp of the "
                "image that came before it"
            )
            drop = Drop(Reason.TIME_BACKWARDS, sentence)
            if last - stamp_ns < _REORDERED and not self._out_of_order:
                self._out_of_order = True
                return Paired(None, (drop,))
            self._last_stamp_ns, self._out_of_order = stamp_ns, False
            # The stamps of those that waited are invalid, too.
            drops = (drop,) * (1 + len(self._images))
            self._images.clear()
            if self._exact:
                self._infos.clear()
            return Paired(None, drops, jumped_back=True)
        self._last_stamp_ns, self._out_of_order = stamp_ns, False
        replaced = self._images.pop(stamp_ns, None)
        self._images[stamp_ns] = _Waiting(image, arrival)
        paired = self._match_exact(stamp_ns) if self._exact else self._match_latest()
        if replaced is not None:
            drop = Drop(Reason.REPLACED, "another image of the same stamp came")
            return paired._replace(drops=(drop, *paired.drops))
        return paired

    def add_info(self, stamp_ns: int, info: Any) -> Paired:
        """Take in a calibration.

        Args:
            stamp_ns: Its stamp, nanoseconds.
            info: The message.

        Returns:
            An image that waited for it, if there is one, and images that are dropped.
        """
        if self._exact:
            self._infos.pop(stamp_ns, None)
            self._infos[stamp_ns] = info
            while len(self._infos) > _QUEUE:
                self._infos.popitem(last=False)
            return self._match_exact(stamp_ns)
        self._infos.clear()
        self._infos[stamp_ns] = info
        return self._match_latest()

    def _match_exact(self, stamp_ns: int) -> Paired:
        drops = []
        frame = None
        if stamp_ns in self._images and stamp_ns in self._infos:
            while next(iter(self._images)) != stamp_ns:
                drops.append(self._give_up())
            waiting = self._images.pop(stamp_ns)
            frame = Frame(waiting.image, self._infos.pop(stamp_ns), stamp_ns, waiting.arrival)
        while len(self._images) > _QUEUE:
            drops.append(self._give_up())
        return Paired(frame, tuple(drops))

    def _give_up(self) -> Drop:
        stamp_ns, _ = self._images.popitem(last=False)
        return self._missing_info(stamp_ns)

    def _match_latest(self) -> Paired:
        drops = []
        while len(self._images) > 1:
            drops.append(self._give_up())
        frame = None
        if self._images and self._infos:
            stamp_ns, waiting = self._images.popitem()
            (info,) = self._infos.values()
            frame = Frame(waiting.image, info, stamp_ns, waiting.arrival)
        return Paired(frame, tuple(drops))

    def _missing_info(self, stamp_ns: int) -> Drop:
        if not self._infos:
            return Drop(Reason.NO_INFO, "no camera_info has come for the image")
        latest_ns = next(reversed(self._infos))
        return Drop(
            Reason.NO_INFO,
            f"no camera_info has the image's stamp {stamp_ns / 1e9:.6f} s; the last one has "
            f"{latest_ns / 1e9:.6f} s (input.pairing is exact)",
        )
