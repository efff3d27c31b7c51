# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The tables on synthetic streets, from nothing but this package."""

from collections.abc import Callable
from dataclasses import dataclass

from scenedino_ros.reproduction import measures
from scenedino_ros.reproduction.measures import (
    PUBLISHED_CONSISTENCY,
    PUBLISHED_SEGMENTATION,
    PUBLISHED_SSC,
)
from scenedino_ros.reproduction.recipe import Recipe, RecipeBuilder, checkpoint

_BACKBONE = "dinov2_vits14"  # of the configurations below
_TRAIN, _VALIDATION, _TEST = "stores/train/*", "stores/validation/*", "test/kitti360"
_PAIRS = "stores/pairs"  # of one recording it is the store itself


@dataclass(frozen=True)
class StreetScale:
    """How much is rendered and trained.

    Attributes:
        train: Seeds of the streets that are learned from.
        validation: First and last seed of those whose labels name clusters, and that probes
            learn from.
        test: Seeds of those that are scored.
        pairs: Seed of the one whose frames are compared with each other.
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
    pairs: str
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
        pairs="2010",
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
        pairs="2010",
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


def street_recipe(table: str, scale: StreetScale, seeds: tuple[int, ...], encoder: str) -> Recipe:
    """Return the recipe of a table.

    All methods have the same frozen encoder and as many steps.

    Args:
        table: Which one, of `measures.TABLES`.
        scale: How much is rendered and trained.
        seeds: Seeds of the training runs.
        encoder: Weights of the encoder, as ``encoder.weights`` of stage 1.
    """
    streets = _Streets(scale, encoder)
    add_rows, left_out = _TABLES[table]
    for streets.builder.seed in seeds:
        add_rows(streets)
    return streets.builder.recipe("synthetic streets", measures.TABLES[table], left_out)


class _Streets:
    """Adds runs to a recipe, each with what it needs; for the seed of the builder.

    Attributes:
        builder: Has what was added.
        tokens: The encoder, as a consistency evaluation names it.
    """

    def __init__(self, scale: StreetScale, encoder: str) -> None:
        self.builder, self.tokens = RecipeBuilder(), f"{_BACKBONE}:{encoder}"
        self._scale, self._encoder = scale, encoder

    def _drives(self, part: str, seeds: str) -> str:
        """Add drives and their frame stores; return the step that makes the stores."""
        fisheyes = ("--fisheye-width", str(self._scale.width * 5 // 4), "--fisheye-crop")
        drives = ("scenedino", "synthesize", f"drives/{part}", "--seeds", seeds)
        made = self.builder.add(f"drives_{part}", *drives, *self._rendering, *fisheyes)
        index = ("scenedino", "index", f"drives/{part}/bags/*", "-o", f"stores/{part}")
        size = ("--image-size", self._scale.image_size)
        return self.builder.add(f"index_{part}", *index, *size, needs=(made,))

    @property
    def _rendering(self) -> tuple[str, ...]:
        size = ("--frames", str(self._scale.frames), "--width", str(self._scale.width))
        return *size, "--rate", "8", "--speed", "8", "--rays", "2"

    def _test(self) -> str:
        """Add the streets that are scored."""
        words = ("scenedino", "synthesize", "test", "--seeds", self._scale.test, *self._rendering)
        cameras = ("--cameras", "camera_00", "camera_01", "--write", "folders")
        return self.builder.add("test", *words, *cameras)

    def _learn_field(self, kind: str, config: str, *words: str, needs: tuple[str, ...]) -> str:
        data = ("--data.stores", _TRAIN, "--encoder.cache", "cache")
        steps = ("--encoder.weights", self._encoder, "--run.steps", str(self._scale.field_steps))
        needs = (self._drives("train", self._scale.train), *needs)
        return self.builder.learn("field", kind, config, *data, *steps, *words, needs=needs)

    def scenedino_field(self) -> str:
        """Add stage 1 of SceneDINO, with a map that doubles as often as that of S4C does."""
        fine = ("--model.upsample_fusion", "true")
        return self._learn_field("scenedino_field", self._scale.field, *fine, needs=())

    def head(self, kind: str, *words: str) -> str:
        """Add a head on the field of SceneDINO; labels of validation streets name its clusters."""
        field = self.scenedino_field()
        data = ("--data.stores", _TRAIN, "--data.validation", _VALIDATION)
        steps = ("--run.steps", str(self._scale.semantics_steps))
        start = ("--checkpoint", checkpoint(field, "field"), *data, *steps)
        needs = (field, self._drives("validation", self._scale.validation))
        config = self._scale.semantics
        return self.builder.learn("semantics", kind, config, *start, *words, needs=needs)

    def scenedino(self) -> str:
        """Add SceneDINO."""
        return self.head("scenedino")

    def stego(self) -> str:
        """Add STEGO: the head on the tokens of the image."""
        return self.head("stego", "--features", "image")

    def s4c_labels(self) -> str:
        """Add S4C with the labels of the streets."""
        return self._learn_field("s4c_labels", self._scale.s4c, needs=())

    def s4c(self, kind: str, mode: str) -> str:
        """Add S4C with class maps that STEGO's head makes of images in some mode."""
        stego, maps = self.stego(), f"{kind}_{self.builder.seed}"
        label = ("scenedino", "label-images", _TRAIN, "--network", checkpoint(stego, "semantics"))
        words = (*label, "--mode", mode, "-o", f"maps/{maps}")
        made = self.builder.add(f"maps_{maps}", *words, needs=(stego,))
        learned = ("--data.class_maps", f"maps/{maps}")
        return self._learn_field(f"s4c_{kind}", self._scale.s4c, *learned, needs=(made,))

    def ssc(self, kind: str, weights: str, *words: str, needs: tuple[str, ...]) -> str:
        """Add an evaluation of semantic scene completion."""
        scored = ("--thresholds", "0.5,0.2,1.0", "--panels", "1", *words)
        needs = (*needs, self._test())
        return self.builder.evaluate("ssc", kind, _TEST, weights, *scored, needs=needs)

    def probe(self, kind: str, head: str, mode: str, *words: str) -> str:
        """Add probes that are fitted to the validation streets, and the evaluation of one of them.

        The probes that a head learns on the way are far from their optimum after so few steps.
        """
        first, last = map(int, self._scale.validation.split("-"))
        stores = [f"stores/validation/street_{seed}" for seed in range(first, last + 1)]
        train = [word for store in stores for word in ("--train", store)]
        needs = (head, self._test(), self._drives("validation", self._scale.validation))
        words = (*train, "--every", "6", "--panels", "1", *words)
        name, weights = f"probe_{kind}", checkpoint(head, "semantics")
        fitted = self.builder.evaluate("probe", name, _TEST, weights, *words, needs=needs)
        weights = f"scores/{name}_{self.builder.seed}/probe.safetensors"
        return self.ssc(f"{kind}_{mode}", weights, "--mode", mode, needs=(fitted,))

    def segmentation(self, kind: str, weights: str, *words: str, needs: tuple[str, ...]) -> str:
        """Add an evaluation of segmentation."""
        needs = (*needs, self._test())
        words = ("--panels", "1", *words)
        name = f"segmentation_{kind}"
        return self.builder.evaluate("segmentation", name, _TEST, weights, *words, needs=needs)

    def consistency(self, weights: str, *, needs: tuple[str, ...]) -> str:
        """Add an evaluation of consistency, with exact flow from the depth of a street."""
        words = ("--features", self.tokens, "--panels", "1")
        needs = (*needs, self._drives("pairs", self._scale.pairs))
        return self.builder.evaluate(
            "consistency", "consistency", _PAIRS, weights, *words, needs=needs
        )


def _ssc_rows(streets: _Streets) -> None:
    """Add the table of semantic scene completion.

    The network labels of S4C come from a linear probe that the validation streets' labels have
    taught on the encoder's tokens.
    """
    row, head = streets.builder.row, streets.scenedino()
    weights = checkpoint(head, "semantics")
    scored = streets.ssc("scenedino", weights, needs=(head,))
    row("SceneDINO", scored, published=PUBLISHED_SSC["SceneDINO, DINOv2"])
    scored = streets.probe("linear", head, "direct_linear")
    row(
        "SceneDINO, linear probe",
        scored,
        published=PUBLISHED_SSC["SceneDINO, DINOv2, linear probe"],
    )
    for method, kind, run, published in (
        ("S4C, labels of the streets", "labels", streets.s4c_labels(), ()),
        (
            "S4C, labels of a network",
            "network",
            streets.s4c("network", "direct_linear"),
            PUBLISHED_SSC["S4C (classes from labels)"],
        ),
        (
            "S4C + STEGO",
            "stego",
            streets.s4c("stego", "stego_kmeans"),
            PUBLISHED_SSC["S4C + STEGO"],
        ),
    ):
        scored = streets.ssc(f"s4c_{kind}", checkpoint(run, "field"), needs=(run,))
        row(method, scored, published=published)


def _analysis_rows(streets: _Streets) -> None:
    """Add the analysis: one network, its classes found in other ways."""
    row, head = streets.builder.row, streets.scenedino()
    weights, direct = checkpoint(head, "semantics"), "direct_kmeans"
    row("SceneDINO", streets.ssc("scenedino", weights, needs=(head,)))
    scored = streets.ssc(direct, weights, "--mode", direct, needs=(head,))
    row("clusters of the features themselves", scored)
    row("linear probe of the code", streets.probe("linear", head, "stego_linear"))
    row("linear probe of the features", streets.probe("linear", head, "direct_linear"))
    row("MLP probe of the code", streets.probe("mlp", head, "stego_linear", "--hidden"))
    row("MLP probe of the features", streets.probe("mlp", head, "direct_linear", "--hidden"))


def _segmentation_rows(streets: _Streets) -> None:
    """Add the table of segmentation."""
    row, head, stego = streets.builder.row, streets.scenedino(), streets.stego()
    scored = streets.segmentation("scenedino", checkpoint(head, "semantics"), needs=(head,))
    row("SceneDINO", scored, published=PUBLISHED_SEGMENTATION["SceneDINO, DINO"])
    in_image = ("--features", "image")
    scored = streets.segmentation(
        "stego", checkpoint(stego, "semantics"), *in_image, needs=(stego,)
    )
    row("STEGO", scored, published=PUBLISHED_SEGMENTATION["STEGO, DINO"])
    run = streets.s4c("stego", "stego_kmeans")
    scored = streets.segmentation("s4c_stego", checkpoint(run, "field"), needs=(run,))
    row("S4C + STEGO", scored)


def _consistency_rows(streets: _Streets) -> None:
    """Add the table of consistency."""
    field = streets.scenedino_field()
    scored = streets.consistency(checkpoint(field, "field"), needs=(field,))
    row = streets.builder.row
    row("SceneDINO", scored, "field", PUBLISHED_CONSISTENCY["SceneDINO (DINOv2)"])
    row("its encoder", scored, streets.tokens, PUBLISHED_CONSISTENCY["DINOv2"])


_TABLES: dict[str, tuple[Callable[[_Streets], None], str]] = {
    "ssc": (_ssc_rows, ""),
    "analysis": (
        _analysis_rows,
        "The published ablations of losses, decoder and crops change settings that the small "
        "networks do without; --scale kitti360 has some of them.",
    ),
    "segmentation": (_segmentation_rows, "U2Seg is a program of others."),
    "consistency": (_consistency_rows, "FiT3D has no weights of this encoder."),
}
