"""The nodes: each says what it takes and gives in the terms of ComfyUI, and calls the package.

ComfyUI runs nodes in torch's inference mode, in which the optimisers cannot descend; `plain` leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.devices import DEVICES, DTYPES
from universal_style.images import Image
from universal_style.integrations.comfyui.batches import batch_of, inside, pictures, regions
from universal_style.integrations.comfyui.blend import Blend
from universal_style.keep_colors import KEEP_COLORS
from universal_style.methods import METHODS
from universal_style.mixing import MIXINGS
from universal_style.ranges import LONGEST_SIDE
from universal_style.regions import MISSING, MOST_CLUSTERS
from universal_style.smoothing import SMOOTHINGS
from universal_style.styles import Style
from universal_style.stylizer import Stylizer
from universal_style.subjects import StyleSource
from universal_style.tensor_files import check_tensor_file

CATEGORY = "universal style"
NETWORK = "STYLE_NETWORK"
STYLE = "UNIVERSAL_STYLE"
"""Types of the wires that carry a `Stylizer` and a `Blend`."""
OWN = "the method's own"
"""Stands for the smoothing that a method has unless another is asked for."""
INSIDE_COLOUR = "white"
"""Colour of a mask's inside."""

Inputs = dict[str, dict[str, tuple[Any, ...]]]


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run outside of inference mode, whoever calls."""

    @wraps(function)
    def outside(*arguments: Any, **named: Any) -> Any:
        with torch.inference_mode(False):
            return function(*arguments, **named)

    return outside


def _side(tooltip: str) -> tuple[str, dict[str, Any]]:
    """Describe a long side in pixels, of which 0 stands for none given."""
    return "INT", {"default": 0, "min": 0, "max": LONGEST_SIDE, "tooltip": tooltip}


def _running() -> dict[str, tuple[Any, ...]]:
    """Describe where a network runs, and in which precision."""
    return {
        "device": (list(DEVICES), {"default": "auto", "tooltip": "auto takes a GPU where there is one"}),
        "dtype": (["auto", *DTYPES], {"default": "auto", "tooltip": "precision of the networks"}),
    }


class LoadNetwork:
    """Take one of the package's own methods."""

    DESCRIPTION = "A method with its networks. wct is for paintings, photo-wct and wct2 keep a photograph a photograph."
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (NETWORK,)
    RETURN_NAMES = ("network",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"method": (list(METHODS), {"default": "wct"}), **_running()}}

    @plain
    def load(self, method: str, device: str, dtype: str) -> tuple[Stylizer]:
        return (Stylizer(method, device=device, dtype=dtype),)


class LoadPretrained:
    """Take networks from a pretrained folder, or a trained feed-forward net."""

    DESCRIPTION = "A folder of Stylizer.save_pretrained, OWNER/NAME on a model hub, or a trained net's .safetensors."
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (NETWORK,)
    RETURN_NAMES = ("network",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"source": ("STRING", {"default": ""}), **_running()}}

    @plain
    def load(self, source: str, device: str, dtype: str) -> tuple[Stylizer]:
        if Path(source).is_file():
            return (Stylizer(source, device=device, dtype=dtype),)
        return (Stylizer.from_pretrained(source, device=device, dtype=None if dtype == "auto" else dtype),)


class ObserveStyle:
    """Observe pictures together as one style."""

    DESCRIPTION = "Sees all pictures of a batch as one style, once; for many contents or frames, and for presets."
    CATEGORY = CATEGORY
    FUNCTION = "observe"
    RETURN_TYPES = (STYLE,)
    RETURN_NAMES = ("style",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "network": (NETWORK,),
                "images": ("IMAGE",),
                "style_size": _side("long side at which the pictures are seen; 0: their own, up to 1024"),
            }
        }

    @plain
    def observe(self, network: Stylizer, images: Float[Tensor, "b h w c"], style_size: int) -> tuple[Blend]:
        return (Blend.of(network.observe(*pictures(images), style_size=style_size or None)),)


class MixStyles:
    """Mix two styles, or mixes of them."""

    DESCRIPTION = "Both styles at once, everywhere in the picture; chain it for more than two."
    CATEGORY = CATEGORY
    FUNCTION = "mix"
    RETURN_TYPES = (STYLE,)
    RETURN_NAMES = ("style",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        share = {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "share of the second style"}
        return {"required": {"first": (STYLE,), "second": (STYLE,), "share": ("FLOAT", share)}}

    @plain
    def mix(self, first: Blend, second: Blend, share: float) -> tuple[Blend]:
        return (first.with_other(second, share),)


class LoadStyle:
    """Read a style preset."""

    DESCRIPTION = "A preset that `universal-style style save` or the node beside this one wrote."
    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = (STYLE,)
    RETURN_NAMES = ("style",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"path": ("STRING", {"default": "style.safetensors"})}}

    @classmethod
    def IS_CHANGED(cls, path: str) -> float:
        """Tell a rewritten preset from the one that was read before."""
        return Path(path).stat().st_mtime if Path(path).is_file() else float("nan")

    @plain
    def load(self, path: str) -> tuple[Blend]:
        return (Blend.of(Style.load(path)),)


class SaveStyle:
    """Write a style preset."""

    DESCRIPTION = "Keeps an observed style in a file, for any method and any program that uses the package."
    CATEGORY = CATEGORY
    FUNCTION = "save"
    RETURN_TYPES = ()
    OUTPUT_NODE: ClassVar[bool] = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"style": (STYLE,), "path": ("STRING", {"default": "style.safetensors"})}}

    @plain
    def save(self, style: Blend, path: str) -> tuple[()]:
        check_tensor_file(Path(path), "preset")
        style.only.save(path)
        return ()


class Transfer:
    """Give pictures the style of others."""

    DESCRIPTION = "Gives every picture of the batch the style, in exactly its own size."
    CATEGORY = CATEGORY
    FUNCTION = "transfer"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        alpha = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "strength of the style"}
        found = {"default": 0, "min": 0, "max": MOST_CLUSTERS, "tooltip": "regions to find by itself; 0 finds none"}
        return {
            "required": {
                "network": (NETWORK,),
                "content": ("IMAGE",),
                "alpha": ("FLOAT", alpha),
                "keep_colors": (list(KEEP_COLORS), {"default": "none"}),
                "smooth": ([OWN, *SMOOTHINGS], {"default": OWN}),
                "size": _side("long side of the result; 0: the content's own"),
                "style_size": _side("long side at which styles are seen; 0: their own, up to 1024"),
                "mix": (list(MIXINGS), {"default": "maps", "tooltip": "how several styles become one"}),
                "missing": (list(MISSING), {"default": "global", "tooltip": "for regions without a counterpart"}),
                "auto_regions": ("INT", found),
            },
            "optional": {
                "style_images": ("IMAGE", {"tooltip": "each picture of the batch counts as one style"}),
                "style": (STYLE, {"tooltip": "counts as one style beside the pictures"}),
                "content_mask": (
                    "MASK",
                    {"tooltip": "alone: the outside stays; with a style mask: inside goes to inside"},
                ),
                "style_mask": ("MASK",),
                "content_regions": ("IMAGE", {"tooltip": "a picture in which equal colours are one region"}),
                "style_regions": ("IMAGE", {"tooltip": "the same for the styles; equal colours belong together"}),
            },
        }

    @plain
    def transfer(
        self,
        network: Stylizer,
        content: Float[Tensor, "b h w c"],
        alpha: float,
        keep_colors: str,
        smooth: str,
        size: int,
        style_size: int,
        mix: str,
        missing: str,
        auto_regions: int,
        style_images: Float[Tensor, "s _ _ _"] | None = None,
        style: Blend | None = None,
        content_mask: Float[Tensor, "m _ _"] | None = None,
        style_mask: Float[Tensor, "n _ _"] | None = None,
        content_regions: Float[Tensor, "p _ _ _"] | None = None,
        style_regions: Float[Tensor, "q _ _ _"] | None = None,
    ) -> tuple[Float[Tensor, "b _ _ _"]]:
        """Restyle picture by picture."""
        seen = [] if style_images is None else pictures(style_images)
        parts = () if style is None else style.parts
        contents = pictures(content)
        masks = regions(content_mask, content_regions, len(contents), "content")
        style_masks = regions(style_mask, style_regions, len(seen), "style")
        assigned = content_mask is not None and not any(style_masks)
        options: dict[str, Any] = {
            # Options at their usual value are left out: not every method has them.
            "alpha": None if alpha == 1 else alpha,
            "mix": None if mix == "maps" else mix,
            "keep_colors": keep_colors,
            "smooth": None if smooth == OWN else smooth,
            "size": size or None,
            "style_size": style_size or None,
            "missing": "keep" if assigned else missing,
            "auto_regions": auto_regions,
            "style_weights": [*(1.0 for _ in seen), *(weight for weight, _ in parts)] or None,
            "style_masks": [*style_masks, *(None for _ in parts)] if any(style_masks) else (),
            "style_regions": [INSIDE_COLOUR] * (len(seen) + len(parts)) if assigned else (),
        }
        styles: list[StyleSource] = [*seen, *(part for _, part in parts)]
        results = [
            # A picture that is all outside stays: Load Image gives such a mask where there is no alpha.
            _kept(picture, size)
            if assigned and not inside(mask)
            else network.run(picture, *styles, content_mask=mask, **options)[0]
            for picture, mask in zip(contents, masks, strict=True)
        ]
        return (batch_of(results),)


def _kept(picture: Image, size: int) -> Image:
    """Give a picture as it is, with the long side of the result."""
    return picture.scaled_to(size) if size else picture


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "UniversalStyleLoadNetwork": LoadNetwork,
    "UniversalStyleLoadPretrained": LoadPretrained,
    "UniversalStyleTransfer": Transfer,
    "UniversalStyleObserve": ObserveStyle,
    "UniversalStyleMix": MixStyles,
    "UniversalStyleLoadPreset": LoadStyle,
    "UniversalStyleSavePreset": SaveStyle,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "UniversalStyleLoadNetwork": "Load style network",
    "UniversalStyleLoadPretrained": "Load pretrained style network",
    "UniversalStyleTransfer": "Style transfer",
    "UniversalStyleObserve": "Observe style",
    "UniversalStyleMix": "Mix styles",
    "UniversalStyleLoadPreset": "Load style preset",
    "UniversalStyleSavePreset": "Save style preset",
}
