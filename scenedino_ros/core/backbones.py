# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""The backbones: one row of a table for each network that encodes images."""

from dataclasses import dataclass

from scenedino_ros.core.errors import InputError, unknown_name


@dataclass(frozen=True)
class BackboneSpec:
    """One vision transformer SceneDINO can be built on.

    Attributes:
        timm_name: Architecture and weights in timm.
        width: Channels C of its tokens.
        heads: Attention heads.
        patch: Edge of a patch in the image the transformer sees, pixels.
        external_patch: Edge of the same patch in the network input image, pixels; patch-14
            transformers see an image scaled by 14/16.
        register_tokens: Extra tokens besides the class token.
        layer_scale: Whether blocks scale their output per channel.
        tapped_blocks: Blocks, counted from 0, whose output the decoder reads besides the final
            tokens; three, in ascending order.
        official_version: ``version`` of the backbone in configurations of the published code.
        official_size: ``backbone`` in the same configurations.
        fit3d_file: File of its weights fine-tuned with 3D features (FiT3D); empty: not published.
    """

    timm_name: str
    width: int
    heads: int
    patch: int
    external_patch: int
    register_tokens: int = 0
    layer_scale: bool = False
    tapped_blocks: tuple[int, int, int] = (3, 6, 9)
    official_version: str = ""
    official_size: str = ""
    fit3d_file: str = ""

    @property
    def is_convolutional(self) -> bool:
        """Whether it is no transformer: S4C's is a ResNet."""
        return not self.heads

    @property
    def prefix_tokens(self) -> int:
        """Tokens before those of the patches: the class token, then the register tokens."""
        return 1 + self.register_tokens

    @property
    def prefix_positions(self) -> int:
        """Entries of the position embedding before those of the patches.

        The class token has one, except in transformers with register tokens: timm adds theirs to
        the token itself.
        """
        return 0 if self.register_tokens else 1


BACKBONES = {
    "dino_vits8": BackboneSpec(
        timm_name="vit_small_patch8_224.dino",
        width=384,
        heads=6,
        patch=8,
        external_patch=8,
        official_version="v1",
        official_size="vit-s",
    ),
    "dino_vitb8": BackboneSpec(
        timm_name="vit_base_patch8_224.dino",
        width=768,
        heads=12,
        patch=8,
        external_patch=8,
        official_version="v1",
        official_size="vit-b",
    ),
    "dino_vits16": BackboneSpec(
        timm_name="vit_small_patch16_224.dino",
        width=384,
        heads=6,
        patch=16,
        external_patch=16,
        official_version="v1",
        official_size="vit-s",
    ),
    "dino_vitb16": BackboneSpec(
        timm_name="vit_base_patch16_224.dino",
        width=768,
        heads=12,
        patch=16,
        external_patch=16,
        official_version="v1",
        official_size="vit-b",
    ),
    "dinov2_vits14": BackboneSpec(
        timm_name="vit_small_patch14_dinov2.lvd142m",
        width=384,
        heads=6,
        patch=14,
        external_patch=16,
        layer_scale=True,
        official_version="v2",
        official_size="vit-s",
        fit3d_file="dinov2_small_finetuned.pth",
    ),
    "dinov2_vitb14": BackboneSpec(
        timm_name="vit_base_patch14_dinov2.lvd142m",
        width=768,
        heads=12,
        patch=14,
        external_patch=16,
        layer_scale=True,
        official_version="v2",
        official_size="vit-b",
        fit3d_file="dinov2_base_finetuned.pth",
    ),
    "dinov2reg_vits14": BackboneSpec(
        timm_name="vit_small_patch14_reg4_dinov2.lvd142m",
        width=384,
        heads=6,
        patch=14,
        external_patch=16,
        register_tokens=4,
        layer_scale=True,
        official_version="reg",
        official_size="vit-s",
        fit3d_file="dinov2_reg_small_finetuned.pth",
    ),
    "dinov2reg_vitb14": BackboneSpec(
        timm_name="vit_base_patch14_reg4_dinov2.lvd142m",
        width=768,
        heads=12,
        patch=14,
        external_patch=16,
        register_tokens=4,
        layer_scale=True,
        official_version="reg",
        official_size="vit-b",
    ),
}


# Of S4C alone; its stages halve the resolution five times.
CONVOLUTIONAL = {
    "resnet50": BackboneSpec(
        timm_name="resnet50.tv_in1k", width=2048, heads=0, patch=32, external_patch=32
    )
}


def backbone_spec(name: str) -> BackboneSpec:
    """Return the specification of a backbone.

    Raises:
        InputError: If there is no backbone of that name.
    """
    known = {**BACKBONES, **CONVOLUTIONAL}
    if name not in known:
        raise unknown_name("backbone", name, known)
    return known[name]


def patch_grid(name: str, image_size: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns of patches of an image.

    Args:
        name: A key of `BACKBONES`.
        image_size: (height, width) of the network input image, pixels.

    Raises:
        InputError: If the image is not a whole number of patches.
    """
    patch = backbone_spec(name).external_patch
    if len(image_size) != 2:
        raise InputError(f"image size must be height and width, got {tuple(image_size)}")
    height, width = image_size
    if height < patch or width < patch or height % patch or width % patch:
        raise InputError(
            f"image size must be a multiple of {patch} px for {name}, got {height} x {width}"
        )
    return height // patch, width // patch
