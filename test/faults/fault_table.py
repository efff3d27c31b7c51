# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The table of faults: what is injected, what must be seen, and how soon answers come again.

`fault_runner.py` runs each row against a real node. A row is data: no code of its own.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
from ros_rig import CAMERA_FRAME, GRID_FRAME, HEIGHT, WIDTH, picture

OK, WARN, ERROR, STALE = range(4)
YEARS = 10 * 365 * 86_400.0  # seconds
RAW, COMPRESSED, OWN = "raw", "compressed", "own"
UNTOUCHED: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Frames:
    """Frames that differ from good ones, sent until everything that must be seen has been seen.

    Attributes:
        image: Fields of the image that differ; None: no image is sent.
        info: Fields of the CameraInfo that differ; None: none is sent.
        transform: `parent`, `child`, `translation`, `rotation`, `offset` of its stamp in seconds
            or `bytes` of the whole message, where they differ; None: none is sent.
        more_transforms: Further transforms, in the same form.
        offsets: Offsets of the stamps from now in seconds, in turn.
        transform_last: Send the transform only this many seconds after the image.
        info_last: The same for the CameraInfo.
    """

    image: Mapping[str, Any] | None = field(default_factory=dict)
    info: Mapping[str, Any] | None = field(default_factory=dict)
    transform: Mapping[str, Any] | None = field(default_factory=dict)
    more_transforms: tuple[Mapping[str, Any], ...] = ()
    offsets: tuple[float, ...] = (0.0,)
    transform_last: float = 0.0
    info_last: float = 0.0


@dataclass(frozen=True)
class Act:
    """Something that is done to the node, its processes or its topics.

    Attributes:
        verb: A method of `Injector`, in fault_runner.py.
        arguments: Its arguments.
    """

    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What must be seen while a fault lasts.

    Attributes:
        counts: Counts of the diagnostics that rise.
        level: Level of the entry `frames`; None: any.
        words: Part of its message.
        log: Part of the log.
        refused: Part of the sentence with which a service or a parameter refuses.
    """

    counts: tuple[str, ...] = ()
    level: int | None = None
    words: str = ""
    log: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Fault:
    """A fault of the world around the node.

    Attributes:
        kind: What kind of fault it is.
        name: Short name.
        injected: What is injected, in words.
        during: Frames that are sent and acts that are done, in turn, until `seen`.
        seen: What must be seen.
        recovery: Answers must come again with this good frame after the fault, from 1. With 2, the
            first one may still meet the fault: its image may arrive before its CameraInfo.
        before: Acts before the fault.
        after: Acts that end it, before the good frames.
        node: `RAW`, `COMPRESSED`, or `OWN`: a process of its own.
        parameters: Of the node, for one of its own.
        environment: The same for variables.
        memory: Most that the fault may add to the peak of the resident memory, MiB.
    """

    kind: str
    name: str
    injected: str
    during: tuple[Frames | Act, ...]
    seen: Seen
    recovery: int = 1
    before: tuple[Act, ...] = ()
    after: tuple[Act, ...] = ()
    node: str = RAW
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: float = 150.0

    @property
    def title(self) -> str:
        """Its kind and its name."""
        return f"{self.kind}: {self.name}"


def dropped(reason: str, words: str = "", **seen: Any) -> Seen:
    """Return what is seen of frames that are refused."""
    return Seen((f"dropped: {reason}",), words=words, **seen)


ANSWERED = Seen(("images out",))


def intrinsics(fx: float, cx: float = (WIDTH - 1) / 2, fy: float | None = None) -> dict[str, Any]:
    """Return fields of a CameraInfo."""
    cy = (HEIGHT - 1) / 2
    return {"k": [fx, 0.0, cx, 0.0, fx if fy is None else fy, cy, 0.0, 0.0, 1.0]}


def resized(width: int, height: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of an image of another size, and of its CameraInfo."""
    size = {"width": width, "height": height}
    image = {**size, "step": 3 * width, "data": bytes(3 * width * height)}
    focal = float(max(width, height))
    k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    return image, {**size, "k": k}


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header states a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(3 * 4000))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


JPEG = cv2.imencode(".jpg", picture()[..., ::-1])[1].tobytes()
PNG = cv2.imencode(".png", picture()[..., ::-1])[1].tobytes()
WIDE_IMAGE, WIDE_INFO = resized(40_000, 1)
OTHER_IMAGE, OTHER_INFO = resized(96, 48)
ESCAPES = "\x1b]0;title\x07\x1b[31mcamera\n[FATAL] forged line"
LOOP = {"parent": CAMERA_FRAME, "child": GRID_FRAME}

CAMERAS = (
    Fault(
        "cameras",
        "silent",
        "the camera sends nothing",
        (),
        Seen(level=STALE, words="no image on /image"),
    ),
    Fault(
        "cameras",
        "gone",
        "the camera's publisher is closed and opened again",
        (),
        Seen(level=STALE, words="nobody publishes /image"),
        before=(Act("close_camera"),),
        after=(Act("open_camera"),),
    ),
    Fault(
        "cameras",
        "killed",
        "the camera is a process that is killed, so that its publisher stays in the graph",
        (),
        Seen(level=STALE),
        before=(Act("camera_process_killed"),),
    ),
    Fault(
        "cameras",
        "swapped",
        "images come from a camera whose frame TF does not know",
        (Frames(image={"frame_id": "another_camera"}),),
        dropped("no transform", "another_camera"),
    ),
    Fault(
        "cameras",
        "alternating",
        "two cameras publish on one topic in turn",
        (
            Frames(),
            Frames(image={"frame_id": "another_camera"}, transform={"child": "another_camera"}),
        ),
        Seen(level=WARN, words="come in turn"),
    ),
    Fault(
        "cameras",
        "another size",
        "images have another size than their CameraInfo",
        (Frames(image=OTHER_IMAGE),),
        dropped("image and camera_info do not fit"),
        recovery=2,
    ),
)
CALIBRATIONS = (
    Fault(
        "calibration",
        "changing",
        "every frame has another focal length",
        tuple(Frames(info=intrinsics(80.0 + number)) for number in range(4)),
        ANSWERED,
    ),
    Fault(
        "calibration",
        "missing",
        "the node is configured anew and no CameraInfo comes",
        (Frames(info=None),),
        Seen(level=ERROR, words="camera_info"),
        before=(Act("configure_anew"),),
    ),
    Fault(
        "calibration",
        "latched",
        "the only CameraInfo was latched before the node was configured anew",
        (Frames(info=None),),
        ANSWERED,
        before=(Act("latch_info"), Act("configure_anew")),
        after=(Act("unlatch_info"),),
    ),
    Fault(
        "calibration",
        "late",
        "CameraInfo comes 0.2 s after its image, with pairing exact",
        (Frames(info_last=0.2),),
        ANSWERED,
        node=COMPRESSED,
    ),
    Fault(
        "calibration",
        "other stamps",
        "no CameraInfo has the stamp of an image, with pairing exact",
        (Frames(info={"stamp_offset": 0.003}),),
        dropped("no camera_info"),
        node=COMPRESSED,
    ),
    Fault(
        "calibration",
        "uncalibrated",
        "K is all zeros",
        (Frames(info={"k": [0.0] * 9, "p": [0.0] * 12}),),
        dropped("bad camera_info", "not calibrated"),
        recovery=2,
    ),
    *(
        Fault(
            "calibration",
            name,
            f"CameraInfo with {name}",
            (Frames(info=info),),
            dropped("bad camera_info"),
            recovery=2,
        )
        for name, info in (
            ("fx 1e154", intrinsics(1e154)),
            ("fx 1e-45", intrinsics(1e-45)),
            ("cx 1e300", intrinsics(90.0, 1e300)),
            ("NaN in K", intrinsics(float("nan"))),
            ("NaN in D", {"d": [float("nan")] * 5}),
            ("D of 1e300", {"d": [1e300] * 5}),
            ("an unknown lens", {"distortion_model": ESCAPES, "d": [0.1] * 5}),
        )
    ),
)
TIME = (
    Fault(
        "time",
        "jumps back",
        "stamps jump 100 s back and forth",
        (Frames(offsets=(0.0, -100.0)),),
        dropped("time ran backwards"),
        recovery=2,
    ),
    Fault(
        "time",
        "years ahead",
        "images are stamped ten years ahead, without transforms",
        (Frames(offsets=(YEARS,), transform=None),),
        dropped("no transform"),
        recovery=2,  # the first one's stamp is before that of the last
    ),
    Fault(
        "time",
        "zero",
        "images have no stamp",
        (Frames(image={"stamp_ns": 0}, transform=None),),
        Seen(("dropped: time ran backwards",)),
        recovery=1,
    ),
)
TRANSFORMS = (
    Fault(
        "transforms",
        "missing",
        "nobody publishes /tf",
        (Frames(transform=None),),
        dropped("no transform", CAMERA_FRAME),
    ),
    Fault(
        "transforms",
        "late",
        "the transform comes 0.3 s after its image",
        (Frames(transform_last=0.3),),
        ANSWERED,
    ),
    Fault(
        "transforms",
        "from the future",
        "one transform is stamped ten years ahead, and good ones follow",
        (Frames(more_transforms=({"offset": YEARS},)), *(Frames(),) * 4),
        Seen(log="start anew"),
        recovery=3,
    ),
    Fault(
        "transforms",
        "in a loop",
        "two frames are each other's parent",
        (Frames(more_transforms=(LOOP,)),),
        dropped("no transform", "loop"),
    ),
    Fault(
        "transforms",
        "1e39 m",
        "a translation of 1e39 m, with voxels out of view",
        (Frames(transform={"translation": (1e39, 0.0, 0.0)}),),
        dropped("no transform"),
        before=(Act("parameter", {"name": "voxels.out_of_view", "value": True}),),
        after=(Act("parameter", {"name": "voxels.out_of_view", "value": False}),),
    ),
    Fault(
        "transforms",
        "NaN",
        "a translation and a rotation of NaN",
        (Frames(transform={"translation": (float("nan"),) * 3, "rotation": (float("nan"),) * 4}),),
        dropped("no transform", log="ignored: "),
    ),
    Fault(
        "transforms",
        "garbage",
        "bytes on /tf that are no message",
        (Frames(transform={"bytes": b"\0\1\0\0" + b"\xff" * 60}),),
        dropped("no transform", log="ignored: "),
    ),
)
SUBSCRIBERS = (
    Fault(
        "subscribers",
        "none",
        "nobody subscribes",
        (Frames(),),
        Seen(("images nobody wanted",), words="nobody subscribes"),
        before=(Act("unsubscribe"),),
        after=(Act("subscribe"),),
        recovery=2,  # the node counts a subscriber a little after it appears
    ),
    Fault(
        "subscribers",
        "storm",
        "30 subscribers to all outputs come and go with every frame",
        (Act("subscribers_come_and_go", {"count": 30}), Frames()),
        ANSWERED,
    ),
)
PROCESSES = (
    Fault(
        "processes",
        "stopped",
        "the node is stopped for 20 frames, and continues",
        (Act("stopped_for_frames", {"count": 20}),),
        ANSWERED,
        # The middleware repeats lost transforms up to 3 s later, and a frame waits 0.5 s for them.
        recovery=8,
    ),
    Fault(
        "processes",
        "starved",
        "four processes compute on the node's one processor, at a higher priority",
        (Frames(),),
        ANSWERED,
        before=(Act("starve"),),
        after=(Act("feed"),),
        recovery=2,
    ),
    Fault(
        "processes",
        "killed",
        "the node is killed, and started again",
        (),
        Seen(),
        before=(Act("kill_and_start"),),
        node=OWN,
        recovery=3,
        memory=2000.0,  # all of the new process
    ),
)
MEMORY = (
    Fault(
        "memory",
        "exhausted",
        "the process may take no more memory, and a large rendered image is asked for",
        (Act("limit_memory", {"mib": 4}), Frames()),
        Seen(("dropped: out of memory",)),
        before=(
            Act("parameter", {"name": "render.downscale", "value": 1}),
            Act("parameter", {"name": "render.n_samples", "value": 512}),
            Act("subscribe_features"),
        ),
        after=(
            Act("limit_memory", {"mib": None}),
            Act("unsubscribe_features"),
            Act("parameter", {"name": "render.downscale", "value": 4}),
            Act("parameter", {"name": "render.n_samples", "value": 24}),
        ),
        node=OWN,
        recovery=2,
        memory=600.0,
    ),
    Fault(
        "memory",
        "shared memory removed",
        "the node's files in /dev/shm are removed, and a new subscriber comes",
        (Frames(),),
        ANSWERED,
        before=(Act("remove_shared_memory"), Act("subscribe_anew")),
        recovery=2,
        node=OWN,
    ),
)
DISK = (
    Fault(
        "disk",
        "no cache",
        "the cache is below a file, and the engine is auto",
        (Frames(),),
        ANSWERED,
        node=OWN,
        parameters={"model.engine": "auto", "model.precision": "auto"},
        environment={"SCENEDINO_CACHE": "/dev/null/cache", "ROS_LOG_DIR": "/dev/null/log"},
        memory=1000.0,
    ),
    Fault(
        "disk",
        "full",
        "no file may grow, and the map is to be saved",
        (Frames(), Act("save_map")),
        Seen(refused=" "),
        before=(Act("limit_files", {"full": True}),),
        after=(Act("limit_files", {"full": False}),),
        node=OWN,
        parameters={
            "map.frame": GRID_FRAME,
            "map.keep_updated": True,
            "map.size": [8.0, 8.0, 4.0],
        },
    ),
)
MESSAGES = (
    Fault(
        "messages",
        "40,000 x 1",
        "an image of 40,000 x 1 px with its CameraInfo",
        (Frames(image=WIDE_IMAGE, info=WIDE_INFO),),
        dropped("bad camera_info"),
        recovery=2,
    ),
    *(
        Fault("messages", name, words, (Frames(image=image),), dropped("bad image"))
        for name, words, image in (
            ("cut off", "an image without its last byte", {"data": bytes(3 * WIDTH * HEIGHT - 1)}),
            ("empty", "an image without data", {"data": b""}),
            ("huge step", "rows of 4 GiB", {"step": 2**32 - 1}),
            ("unknown encoding", "an encoding with control characters", {"encoding": ESCAPES}),
        )
    ),
    Fault(
        "messages",
        "0 x 0",
        "an image of 0 x 0 px",
        (Frames(image={"width": 0, "height": 0, "step": 0, "data": b""}),),
        dropped("image and camera_info do not fit"),
    ),
    Fault(
        "messages",
        "control characters",
        "a frame's name has control characters and a forged line of a log",
        (Frames(image={"frame_id": ESCAPES}),),
        dropped("no transform"),
    ),
    *(
        Fault(
            "messages",
            name,
            words,
            (Frames(image={"data": data, "format": kind}),),
            dropped(reason),
            node=COMPRESSED,
        )
        for name, words, data, kind, reason in (
            ("JPEG cut off", "half of a JPEG", JPEG[: len(JPEG) // 2], "jpeg", "bad image"),
            ("PNG cut off", "half of a PNG", PNG[: len(PNG) // 2], "png", "bad image"),
            ("no image", "bytes that are no image", b"GET / HTTP/1.1" * 50, "jpeg", "bad image"),
            ("empty file", "a compressed image without data", b"", "png", "bad image"),
            ("escapes", "a format with control characters", JPEG[:40], ESCAPES, "bad image"),
            (
                "PNG of 30,000 x 30,000",
                "a PNG of a few bytes whose header says 30,000 x 30,000 px",
                png_that_claims(30_000, 30_000),
                "png",
                "bad image",
            ),
        )
    ),
)
PARAMETERS = (
    Fault(
        "parameters",
        "storm",
        "100 parameters are changed, one after another, while frames come",
        (Act("parameters_change", {"count": 100}), Frames()),
        ANSWERED,
        after=(Act("parameter", {"name": "voxels.density_threshold", "value": 0.0}),),
    ),
    Fault(
        "parameters",
        "wrong",
        "50 changes are out of range",
        (Act("wrong_parameters", {"count": 50}), Frames()),
        Seen(("images out",), refused="must be in"),
    ),
)
SERVICES = (
    Fault(
        "services",
        "unknown transition",
        "the label of a transition has control characters and a forged line of a log",
        (Act("unknown_transition", {"label": ESCAPES}), Frames()),
        Seen(("images out",), log="31mcamera"),
    ),
)
FAULTS = (
    *CAMERAS,
    *CALIBRATIONS,
    *TIME,
    *TRANSFORMS,
    *SUBSCRIBERS,
    *PROCESSES,
    *MEMORY,
    *DISK,
    *MESSAGES,
    *PARAMETERS,
    *SERVICES,
)
BY_NAME = {fault.title: fault for fault in FAULTS}
# What ./test.sh runs; the other rows run with the whole table.
SUITE = (
    "cameras: alternating",
    "cameras: gone",
    "calibration: changing",
    "calibration: fx 1e154",
    "calibration: late",
    "time: jumps back",
    "transforms: 1e39 m",
    "transforms: NaN",
    "transforms: from the future",
    "subscribers: storm",
    "processes: stopped",
    "messages: 40,000 x 1",
    "messages: PNG of 30,000 x 30,000",
    "messages: control characters",
    "parameters: storm",
    "services: unknown transition",
)
