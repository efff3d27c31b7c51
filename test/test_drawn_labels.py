# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""Labels of areas drawn by hand, as frame stores for stage 2."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from small_fields import NEARBY

from scenedino_ros.core.errors import InputError
from scenedino_ros.core.labels import CITYSCAPES19
from scenedino_ros.recordings.frame_store.store import (
    NO_LABEL,
    POSES_OF,
    FrameStore,
    file_stem,
)
from train.draw_labels import drawn_label, main
from train.field.benchmark import write_noise_drive

AREAS = {"road": [[0, 40, 159, 40, 159, 63, 0, 63]], "car": [[40, 30, 60, 30, 60, 50, 40, 50]]}
DEFAULT = Path(__file__).parent.parent / "train" / "configs" / "drawn_default.yaml"


def test_a_store_of_the_drawn_frames_is_made(tmp_path: Path, capsys) -> None:
    write_noise_drive(tmp_path / "stores" / "drive", NEARBY)
    source = FrameStore(tmp_path / "stores" / "drive")
    file = tmp_path / "areas.yaml"
    drives = {"drive": {5: AREAS, 2: {"sky": [[0, 0, 9, 0, 9, 9]]}}}
    file.write_text(yaml.safe_dump(drives, sort_keys=False))
    assert main([str(file), "--stores", str(tmp_path / "stores"), "-o", str(tmp_path / "o")]) == 0
    drawn = FrameStore(tmp_path / "o" / "drive")
    assert len(drawn) == 2
    assert np.array_equal(drawn.image("camera_00", 1), source.image("camera_00", 5))
    np.testing.assert_allclose(
        drawn.T_world_cam("camera_00", 1), source.T_world_cam("camera_00", 5), atol=1e-12
    )
    label = drawn.label("camera_00", 1)
    road, car = CITYSCAPES19.ids(("road", "car"))
    assert (label[60, 80], label[45, 50], label[35, 50], label[10, 10]) == (
        road,
        car,
        car,
        NO_LABEL,
    )
    refused = [
        ({"drive": {500: AREAS}}, "has frames 0 to"),
        ({"drive": {"three": AREAS}}, "has frames 0 to 7, not three"),
        ({"drive:camera_09": {5: AREAS}}, "has cameras camera_00"),
        ({"drive": 5}, "drive must have areas by frame, got 5"),
        ({"drive": {5: None}}, "drive, frame 5: areas must be lists of polygons by class name"),
        (["drive"], "must have frames by drive, got ['drive']"),
        # Whatever is wrong, nothing is written.
        ({"drive": {5: AREAS}, "drive:camera_01": {500: AREAS}}, "has frames 0 to"),
    ]
    for content, complaint in refused:
        file.write_text(yaml.safe_dump(content))
        command = [str(file), "--stores", str(tmp_path / "stores"), "-o", str(tmp_path / "p")]
        assert main(command) == 2
        err = capsys.readouterr().err
        assert complaint in err
        assert "Traceback" not in err
    assert not (tmp_path / "p").exists()


def test_a_drive_names_the_camera_that_its_areas_are_drawn_in(tmp_path: Path) -> None:
    write_noise_drive(tmp_path / "stores" / "drive", NEARBY)
    source = FrameStore(tmp_path / "stores" / "drive")
    other = list(source.cameras)[-1]
    assert other != "camera_00"
    later = source.T_world_body.copy()
    later[:, 0, 3] += 0.4  # it is not triggered with the others
    np.save(source.path / POSES_OF.format(file_stem(other)), later)
    source = FrameStore(source.path)
    file = tmp_path / "areas.yaml"
    file.write_text(yaml.safe_dump({f"drive:{other}": {3: AREAS}}))
    assert main([str(file), "--stores", str(tmp_path / "stores"), "-o", str(tmp_path / "o")]) == 0
    drawn = FrameStore(tmp_path / "o" / "drive")
    assert np.array_equal(drawn.image(other, 0), source.image(other, 3))
    np.testing.assert_allclose(
        drawn.T_world_cam(other, 0), source.T_world_cam(other, 3), atol=1e-12
    )
    assert drawn.label(other, 0) is not None
    file.write_text(yaml.safe_dump({"drive": {5: AREAS}, f"drive:{other}": {3: AREAS}}))
    assert main([str(file), "--stores", str(tmp_path / "stores"), "-o", str(tmp_path / "p")]) == 0
    for camera, frame in (("camera_00", 5), (other, 3)):
        drawn = FrameStore(tmp_path / "p" / f"drive_{camera}")
        assert np.array_equal(drawn.image(camera, 0), source.image(camera, frame))


@pytest.mark.parametrize(
    ("areas", "what"),
    [
        ({"hedge": [[0, 0, 9, 0, 9, 9]]}, "hedge"),
        ({"car": [[0, 0, 9, 0]]}, "three corners"),
        ({"car": [0, 0, 9, 0, 9, 9]}, "three corners or more, got 0"),
        ({"car": [[0, 0, 9, 0, 9, "a"]]}, "three corners or more"),
        ({"car": 5}, "a list of polygons, got 5"),
        ({"car": [[200, 0, 220, 0, 220, 9]]}, "outside the image of 64 x 160 px"),
        ({}, "by class name"),
    ],
)
def test_what_is_no_area_is_refused(areas, what: str) -> None:
    with pytest.raises(InputError, match=what):
        drawn_label(areas, (64, 160))


def test_the_areas_of_the_default_model_can_be_drawn() -> None:
    drives = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    labels = [drawn_label(areas, (192, 640)) for d in drives.values() for areas in d.values()]
    assert len(labels) == 31
    shown = {CITYSCAPES19.names[i] for label in labels for i in np.unique(label) if i < 19}
    assert {"road", "sidewalk", "building", "vegetation", "sky", "car", "terrain"} <= shown
