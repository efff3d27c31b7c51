"""The vision transformers SceneDINO can be built on."""

from dataclasses import dataclass

from scenedino_ros.core.errors import InputError


@dataclass(frozen=True)
class BackboneSpec:
    """One vision transformer SceneDINO can be built on.

    Attributes:
        timm_name: Architecture and weights in timm.
        width: Channels C of its tokens.
        heads: Attention heads.
        patch: Edge of a patch in the image the transformer sees, pixels.
        external_patch: Edge of the same patch in the network's input image, pixels; patch-14
            transformers see an image scaled by 14/16.
        register_tokens: Extra tokens besides the class token.
        layer_scale: Whether blocks scale their output per channel.
    """

    timm_name: str
    width: int
    heads: int
    patch: int
    external_patch: int
    register_tokens: int = 0
    layer_scale: bool = False


BACKBONES = {
    "dino_vits8": BackboneSpec("vit_small_patch8_224.dino", 384, 6, 8, 8),
    "dino_vitb8": BackboneSpec("vit_base_patch8_224.dino", 768, 12, 8, 8),
    "dino_vits16": BackboneSpec("vit_small_patch16_224.dino", 384, 6, 16, 16),
    "dino_vitb16": BackboneSpec("vit_base_patch16_224.dino", 768, 12, 16, 16),
    "dinov2_vits14": BackboneSpec(
        "vit_small_patch14_dinov2.lvd142m", 384, 6, 14, 16, layer_scale=True
    ),
    "dinov2_vitb14": BackboneSpec(
        "vit_base_patch14_dinov2.lvd142m", 768, 12, 14, 16, layer_scale=True
    ),
    "dinov2reg_vits14": BackboneSpec(
        "vit_small_patch14_reg4_dinov2.lvd142m", 384, 6, 14, 16, 4, layer_scale=True
    ),
    "dinov2reg_vitb14": BackboneSpec(
        "vit_base_patch14_reg4_dinov2.lvd142m", 768, 12, 14, 16, 4, layer_scale=True
    ),
}


def backbone_spec(name: str) -> BackboneSpec:
    """Return the specification of a backbone.

    Raises:
        InputError: If there is no backbone of that name.
    """
    if name not in BACKBONES:
        raise InputError(f"unknown backbone '{name}'; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def patch_grid(name: str, image_size: tuple[int, ...]) -> tuple[int, int]:
    """Return the rows and columns of patches of an image.

    Args:
        name: A key of `BACKBONES`.
        image_size: (height, width) of the network's input image, pixels.

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
