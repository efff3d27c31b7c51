# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The state of a camera as a level and a sentence: above all, why nothing is published."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from scenedino_ros.node.statistics import Reason, Snapshot


class Level(IntEnum):
    """Levels of `diagnostic_msgs/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Verdict(NamedTuple):
    """The state of a camera of the node.

    Attributes:
        level: How serious it is.
        message: The sentence.
        silence: Identifies why the node publishes nothing; empty where it publishes.
        remark: Identifies a warning that is logged once although the node publishes; or empty.
    """

    level: Level
    message: str
    silence: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Situation:
    """What `judge` reads.

    Attributes:
        before: Statistics at the last report.
        now: Statistics at this one.
        active_since: When the node was activated, or continued after a pause, seconds of
            `time.monotonic`; None if it is not active.
        paused_since: When the node was paused, seconds of `time.monotonic`; None if it is not.
        state: Label of the lifecycle state.
        image_topic: Full name of the image topic.
        info_topic: Full name of the CameraInfo topic.
        image_publishers: Number of publishers of images.
        info_publishers: Number of publishers of calibrations.
        subscribed: Whether an output has a subscriber.
        waits: Whether an image waits while the images of other cameras are worked on.
        stale_after: Seconds without a result after which the verdict names the reason.
        is_calibrated: Whether a calibration has come since the node was configured.
        image_hint: Why no image comes, as far as the published topics show; or empty.
        info_hint: The same for missing calibrations.
        alternating: A sentence if several cameras seem to publish on one topic; or empty.
    """

    before: Snapshot
    now: Snapshot
    active_since: float | None
    paused_since: float | None
    state: str
    image_topic: str
    info_topic: str
    image_publishers: int
    info_publishers: int
    subscribed: bool
    waits: bool
    stale_after: float
    is_calibrated: bool
    image_hint: str = ""
    info_hint: str = ""
    alternating: str = ""


# A warning needs this many missing images in a report, and this fraction of all.
_FEW, _NOTEWORTHY = 3, 0.2

LONG = 15.0  # seconds; work on one image, or between two, hangs if it takes longer

_UNWANTED = Verdict(Level.OK, "nobody subscribes, so nothing is computed", "unwanted")


def judge(situation: Situation) -> Verdict:
    """Return the state of a camera of the node."""
    verdict = _judge(situation)
    if not situation.alternating or verdict.level == Level.STALE:
        return verdict
    if verdict.level == Level.ERROR:
        return verdict._replace(message=f"{verdict.message}; {situation.alternating}")
    return Verdict(Level.WARN, situation.alternating, verdict.silence, "alternating")


def _judge(situation: Situation) -> Verdict:
    now, since = situation.now, situation.active_since
    if since is None:
        return Verdict(Level.WARN, f"the node is {situation.state}, not active", situation.state)
    if now.busy_since is not None and now.time - now.busy_since > LONG:
        return _hangs(now, now.time - now.busy_since)
    if situation.paused_since is not None:
        seconds = now.time - situation.paused_since
        sentence = f"paused for {seconds:.1f} s: images are dropped until ~/pause is false"
        return Verdict(Level.OK, sentence, "paused")
    handled = _latest(now.last_done, now.last_unwanted, since)
    if now.time - handled <= situation.stale_after:
        return _flowing(situation)
    last_image = _latest(now.last_image, since)
    if now.time - last_image > situation.stale_after:
        return _no_image(situation, now.time - last_image)
    if not situation.subscribed:
        return _UNWANTED
    if not situation.is_calibrated:
        return _no_info(situation)
    if now.last_problem_time is not None and now.last_problem_time > handled:
        return Verdict(Level.ERROR, f"no image can be used: {now.last_problem}", "problem")
    if now.busy_since is not None:
        seconds = now.time - now.busy_since  # a slow network's ordinary pace
        return Verdict(Level.WARN, f"one image has been worked on for {seconds:.1f} s")
    if situation.waits:
        seconds = now.time - handled
        silence = "waits" if seconds > LONG else ""
        sentence = f"images have waited for {seconds:.1f} s while other cameras' were worked on"
        return Verdict(Level.WARN, sentence, silence)
    return Verdict(Level.ERROR, "images arrive, but none has its camera_info", "unpaired")


def _hangs(now: Snapshot, seconds: float) -> Verdict:
    stage = f", in the stage {now.busy_stage}" if now.busy_stage else ""
    sentence = (
        f"the image with the stamp {now.busy_stamp_ns / 1e9:.6f} s has been worked on for "
        f"{seconds:.1f} s{stage}"
    )
    return Verdict(Level.ERROR, sentence, "busy")


def _latest(*times: float | None) -> float:
    return max(time for time in times if time is not None)


def _flowing(situation: Situation) -> Verdict:
    before, now = situation.before, situation.now
    failed = now.drops.get(Reason.FAILED, 0) - before.drops.get(Reason.FAILED, 0)
    if failed:
        images = "image" if failed == 1 else "images"
        sentence = f"{failed} {images} failed, see the log; last problem: {now.last_problem}"
        return Verdict(Level.ERROR, sentence)
    missing, arrived = now.missing - before.missing, now.images - before.images
    if missing >= _FEW and missing >= _NOTEWORTHY * (missing + arrived):
        return _missing(missing, missing + arrived, lost=now.lost > before.lost)
    bad = sum(
        count - before.drops.get(reason, 0)
        for reason, count in now.drops.items()
        if reason.is_problem
    )
    if bad:
        images = "image was" if bad == 1 else "images were"
        return Verdict(Level.WARN, f"{bad} {images} skipped: {now.last_problem}")
    if now.clock_offset is not None:
        return Verdict(Level.WARN, _other_clock(now.clock_offset))
    if now.found_nothing:
        return Verdict(Level.WARN, now.found_nothing, "0 voxels")
    if now.done > before.done:
        seconds = max(now.time - before.time, 1e-9)
        return Verdict(Level.OK, f"{(now.done - before.done) / seconds:.1f} images/s")
    if now.images == 0:
        return Verdict(Level.OK, "waiting for the first image")
    if not situation.subscribed:
        return _UNWANTED
    return Verdict(Level.OK, "running")


def _other_clock(behind: float) -> str:
    """Return a sentence on stamps that are so many seconds behind the node's clock."""
    if behind < 0:
        return (
            f"the stamps of the images are {-behind:.1f} s ahead of the node's clock: the clocks "
            "of camera and node differ, or use_sim_time is set and nobody publishes /clock"
        )
    return (
        f"the stamps of the images are {behind:.1f} s behind the node's clock; recordings need "
        "use_sim_time and a player that publishes /clock"
    )


_LOST = (
    "the middleware lost them, as it does with large best-effort images where shared memory is "
    "scarce or the camera's process has no transport profile: set FASTDDS_DEFAULT_PROFILES_FILE "
    "for the camera, too, start a container with --shm-size=1g or --ipc=host, or set "
    "input.reliable"
)


def _missing(missing: int, sent: int, *, lost: bool) -> Verdict:
    left_out = (
        "the camera left them out, or this machine was too busy to take them, or images are "
        "throttled and camera_info is not"
    )
    reason = _LOST if lost else left_out
    sentence = f"{missing} of {sent} images did not arrive, by the stamps of the others: {reason}"
    return Verdict(Level.WARN, sentence, remark=f"missing, {'lost' if lost else 'left out'}")


def _no_image(situation: Situation, seconds: float) -> Verdict:
    topic, hint = situation.image_topic, situation.image_hint
    if situation.image_publishers == 0:
        sentence = f"nobody publishes {topic}"
        return Verdict(Level.STALE, f"{sentence}; {hint}" if hint else sentence, f"none {hint}")
    if situation.now.lost > situation.before.lost:
        hint = _LOST
    elif situation.now.images or not hint:
        # Where images came before, what other topics show is at most one of the reasons.
        stopped = (
            "the camera has stopped, or large best-effort messages are lost on the way, or it is "
            "slower than diagnostics.stale_after"
        )
        hint = f"{stopped}; or {hint}" if hint else stopped
    return Verdict(
        Level.STALE,
        f"no image on {topic} for {seconds:.1f} s, although it has "
        f"{situation.image_publishers} publisher(s): {hint}",
        f"stopped {hint}",
    )


def _no_info(situation: Situation) -> Verdict:
    topic, hint = situation.info_topic, situation.info_hint
    nobody = situation.info_publishers == 0
    what = f"nobody publishes {topic}" if nobody else f"no camera_info has come on {topic}"
    sentence = f"images arrive, but {what}"
    return Verdict(Level.ERROR, f"{sentence}; {hint}" if hint else sentence, f"{what} {hint}")
