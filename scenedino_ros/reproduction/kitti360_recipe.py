# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The published table of semantic scene completion, from KITTI-360 and SSCBench."""

from dataclasses import dataclass
from pathlib import Path

from scenedino_ros.evaluation.published import SSC_ROWS
from scenedino_ros.evaluation.ssc.data import SPLITS
from scenedino_ros.reproduction.recipe import Recipe, RecipeBuilder, checkpoint

_OFFICIAL, _ORB_SLAM = "official", "orb-slam"


@dataclass(frozen=True)
class _Stores:
    """Frame stores with the poses of one source.

    Attributes:
        step: Makes them.
        train: Those of the training split, as data.stores.
        validation: Those of the validation split.
    """

    step: str
    train: str
    validation: str

    @property
    def words(self) -> tuple[str, ...]:
        """The settings that name them."""
        return "--data.stores", self.train, "--data.validation", self.validation


def kitti360_recipe(data: Path, seeds: tuple[int, ...]) -> Recipe:
    """Return the recipe of the table, every setting as published.

    Args:
        data: Folder of KITTI-360 with the labels of SSCBench.
        seeds: Seeds of the training runs.
    """
    builder = RecipeBuilder()
    official = _add_stores(builder, str(data), _OFFICIAL)
    orb_slam = _add_stores(builder, str(data), _ORB_SLAM)
    for builder.seed in seeds:
        for name, backbone in (("DINO", "dino_vitb8"), ("DINOv2", "dinov2_vitb14")):
            head = _learn_scenedino(builder, backbone, backbone, official)
            method = f"SceneDINO, {name}"
            builder.score(method, backbone, str(data), head, "semantics")
            linear = ("--mode", "direct_linear")
            kind = f"{backbone}_linear"
            builder.score(f"{method}, linear probe", kind, str(data), head, "semantics", *linear)
        head = _learn_scenedino(builder, "orb_slam", "dino_vitb8", orb_slam)
        method = "SceneDINO, DINO, poses of ORB-SLAM3"
        builder.score(method, "orb_slam", str(data), head, "semantics")
        _add_s4c(builder, str(data), official)
    return builder.recipe(
        "Semantic scene completion, SSCBench-KITTI-360 test",
        {row.method: row for row in SSC_ROWS},
    )


def _add_stores(builder: RecipeBuilder, root: str, poses: str) -> _Stores:
    """Add recordings and frame stores with the poses of a source."""
    folder = f"bags_{poses}"
    record = ("scenedino", "kitti360-to-bag", root, "-o", folder, "--no-scans", "--poses", poses)
    bags = builder.add(folder, *record)
    index = ("scenedino", "index", f"{folder}/*", "-o", f"stores_{poses}")
    step = builder.add(f"index_{poses}", *index, needs=(bags,))
    splits = (
        ",".join(f"stores_{poses}/*drive_{drive:04d}*" for drive in SPLITS[split][0])
        for split in ("train", "val")
    )
    return _Stores(step, *splits)


def _learn_scenedino(builder: RecipeBuilder, kind: str, backbone: str, stores: _Stores) -> str:
    """Add both stages of SceneDINO; return the run of the second one."""
    needs = (stores.step,)
    field = builder.learn(
        "field", f"field_{kind}", f"field_{backbone}", *stores.words, needs=needs
    )
    words = ("--checkpoint", checkpoint(field, "field"), *stores.words)
    return builder.learn("semantics", kind, f"semantics_{backbone}", *words, needs=(field,))


def _add_s4c(builder: RecipeBuilder, root: str, stores: _Stores) -> None:
    """Add S4C with the labels of the recordings, and with class maps of STEGO."""
    config, seed = "field_s4c_resnet50", builder.seed
    run = builder.learn("field", "s4c", config, *stores.words, needs=(stores.step,))
    builder.score("S4C (classes from labels)", "s4c", root, run, "field")
    field = f"field_dino_vitb8_{seed}"
    words = ("--checkpoint", checkpoint(field, "field"), *stores.words)
    stego = builder.learn("semantics", "stego", "semantics_stego", *words, needs=(field,))
    label = ("scenedino", "label-images", f"stores_{_OFFICIAL}/*", "--crf")
    network = ("--network", checkpoint(stego, "semantics"), "-o", f"maps/stego_{seed}")
    maps = builder.add(f"maps_stego_{seed}", *label, *network, needs=(stego,))
    words = (*stores.words, "--data.class_maps", f"maps/stego_{seed}")
    run = builder.learn("field", "s4c_stego", config, *words, needs=(maps,))
    builder.score("S4C + STEGO", "s4c_stego", root, run, "field")
