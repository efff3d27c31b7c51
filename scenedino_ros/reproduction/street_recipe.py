# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The table of semantic scene completion on synthetic streets, from nothing but this package."""

from dataclasses import dataclass

from scenedino_ros.evaluation.published import SSC_ROWS, PublishedSsc
from scenedino_ros.reproduction.recipe import Recipe, RecipeBuilder, checkpoint

_TRAIN, _VALIDATION, _TEST = "stores/train/*", "stores/validation/*", "test/kitti360"
_PUBLISHED: dict[str, PublishedSsc] = {row.method: row for row in SSC_ROWS}


@dataclass(frozen=True)
class StreetScale:
    """How much is rendered and trained.

    Attributes:
        train: Seeds of the streets that are learned from.
        validation: Seeds of those whose labels name clusters, and that linear probes learn from.
        test: Seeds of those that are scored.
        frames: Of each street.
        width: Of rectified images, px.
        image_size: Of network input images, HEIGHTxWIDTH.
        field: Configuration of stage 1.
        field_steps: Its steps, for SceneDINO and S4C alike.
        s4c: Configuration of S4C.
        semantics: Configuration of stage 2, for 3D and 2D.
        semantics_steps: Its steps.
    """

    train: str
    validation: str
    test: str
    frames: int
    width: int
    image_size: str
    field: str
    field_steps: int
    s4c: str
    semantics: str
    semantics_steps: int


SCALES = {
    "tiny": StreetScale(
        train="1000-1007",
        validation="1990-1993",
        test="2000-2003",
        frames=12,
        width=640,
        image_size="192x640",
        field="field_default",
        field_steps=1500,
        s4c="field_s4c_small",
        semantics="semantics_default",
        semantics_steps=100,
    ),
    # Shows that every step runs, and no order of the rows.
    "smoke": StreetScale(
        train="1000-1001",  # of several recordings each gets a store of its own
        validation="1990-1991",
        test="2000",
        frames=6,
        width=176,
        image_size="96x320",
        field="field_smoke",
        field_steps=4,
        s4c="field_s4c_smoke",
        semantics="semantics_smoke",
        semantics_steps=4,
    ),
}


def street_recipe(scale: StreetScale, seeds: tuple[int, ...], encoder: str) -> Recipe:
    """Return the recipe of the table.

    All methods have the same frozen encoder and as many steps. The labels of S4C are those of the
    streets; its network labels come from a linear probe that the validation streets' labels have
    taught on the encoder's tokens.

    Args:
        scale: How much is rendered and trained.
        seeds: Seeds of the training runs.
        encoder: Weights of the encoder, as ``encoder.weights`` of stage 1.
    """
    builder = RecipeBuilder()
    _add_drives(builder, scale)
    for builder.seed in seeds:
        _add_methods(builder, scale, encoder)
    return builder.recipe(
        "Semantic scene completion of synthetic streets",
        {
            "SceneDINO": _PUBLISHED["SceneDINO, DINOv2"],
            "SceneDINO, linear probe": _PUBLISHED["SceneDINO, DINOv2, linear probe"],
            "S4C, labels of a network": _PUBLISHED["S4C (classes from labels)"],
            "S4C + STEGO": _PUBLISHED["S4C + STEGO"],
        },
    )


def _add_drives(builder: RecipeBuilder, scale: StreetScale) -> None:
    """Add the steps that render drives and make frame stores."""
    size = ("--frames", str(scale.frames), "--width", str(scale.width))
    common = (*size, "--rate", "8", "--speed", "8", "--rays", "2")
    fisheyes = ("--fisheye-width", str(scale.width * 5 // 4), "--fisheye-crop")
    for part, seeds in (("train", scale.train), ("validation", scale.validation)):
        drives = ("scenedino", "synthesize", f"drives/{part}", "--seeds", seeds)
        made = builder.add(f"drives_{part}", *drives, *common, *fisheyes)
        index = ("scenedino", "index", f"drives/{part}/bags/*", "-o", f"stores/{part}")
        builder.add(f"index_{part}", *index, "--image-size", scale.image_size, needs=(made,))
    cameras = ("--cameras", "camera_00", "camera_01", "--write", "folders")
    builder.add(
        "test", "scenedino", "synthesize", "test", "--seeds", scale.test, *common, *cameras
    )


def _add_methods(builder: RecipeBuilder, scale: StreetScale, encoder: str) -> None:
    """Add training and scores of every row, for one seed."""
    data = ("--data.stores", _TRAIN, "--encoder.cache", "cache", "--encoder.weights", encoder)
    field_run = (*data, "--run.steps", str(scale.field_steps))
    head_data = ("--data.stores", _TRAIN, "--data.validation", _VALIDATION)
    head_run = (*head_data, "--run.steps", str(scale.semantics_steps))
    scored = ("--thresholds", "0.5,0.2,1.0", "--panels", "1")

    def learn_s4c(kind: str, *words: str, needs: tuple[str, ...]) -> str:
        needs += ("index_train",)
        return builder.learn("field", kind, scale.s4c, *field_run, *words, needs=needs)

    def score(method: str, kind: str, run: str, stage: str, *words: str) -> None:
        builder.score(method, kind, _TEST, run, stage, *scored, *words)

    field = builder.learn(
        "field", "scenedino_field", scale.field, *field_run, needs=("index_train",)
    )
    learned = ("--checkpoint", checkpoint(field, "field"), *head_run)
    needs = (field, "index_validation", "test")
    head = builder.learn("semantics", "scenedino", scale.semantics, *learned, needs=needs)
    score("SceneDINO", "scenedino", head, "semantics")
    linear = ("--mode", "direct_linear")
    score("SceneDINO, linear probe", "scenedino_linear", head, "semantics", *linear)
    labelled = learn_s4c("s4c_labels", needs=("test",))
    score("S4C, labels of the streets", "s4c_labels", labelled, "field")
    in_2d = (*learned, "--features", "image")
    stego = builder.learn("semantics", "stego", scale.semantics, *in_2d, needs=needs)
    for kind, method, mode in (
        ("network", "S4C, labels of a network", "direct_linear"),
        ("stego", "S4C + STEGO", "stego_kmeans"),
    ):
        folder = f"maps/{kind}_{builder.seed}"
        words = ("scenedino", "label-images", _TRAIN, "--network", checkpoint(stego, "semantics"))
        name = f"maps_{kind}_{builder.seed}"
        maps = builder.add(name, *words, "--mode", mode, "-o", folder, needs=(stego,))
        run = learn_s4c(f"s4c_{kind}", "--data.class_maps", folder, needs=(maps,))
        score(method, f"s4c_{kind}", run, "field")
