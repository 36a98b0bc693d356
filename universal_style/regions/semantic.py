"""Regions by what they show: labels of a pretrained segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from universal_style.errors import InputError
from universal_style.networks.torchvision_encoder import DEVIATION, MEAN
from universal_style.regions.label_map import Colour, LabelMap
from universal_style.regions.scores import best_labels, without_islands

SEEN_LONG_SIDE = 520
"""Long side in pixels at which the network sees a picture; the size that it was trained at."""


@dataclass(frozen=True)
class Segmenter:
    """A network that scores what each pixel shows.

    Attributes:
        network: from normalised pixels (1, 3, h, w) to a dict whose "out" is (1, n, h, w).
    """

    network: nn.Module

    @classmethod
    def pretrained(cls, device: torch.device) -> Segmenter:
        """Load torchvision's LR-ASPP network with the classes of Pascal VOC, fetching its 13 MB once.

        Source: Howard et al. 2019 (MobileNetV3), section 6.4.

        Raises:
            InputError: it cannot be fetched.
        """
        from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights, lraspp_mobilenet_v3_large

        try:
            network = lraspp_mobilenet_v3_large(weights=LRASPP_MobileNet_V3_Large_Weights.DEFAULT)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"the segmentation network cannot be fetched ({error}); connect to the network once, "
                "give masks, or use --auto-regions N"
            ) from error
        return cls(network.eval().requires_grad_(False).to(device))

    @torch.inference_mode()
    def __call__(self, pixels: Sequence[Float[Tensor, "1 3 _ _"]]) -> list[LabelMap]:
        """Give label maps with one numbering, at the sizes of the pictures.

        Args:
            pixels: RGB in [0, 1]; the content first.
        """
        maps = [without_islands(best_labels(self._scores(one), one.shape[2], one.shape[3])) for one in pixels]
        content, everywhere = maps[0], np.concatenate([labels.ravel() for labels in maps])
        known = sorted(np.unique(everywhere), key=lambda label: (-(content == label).sum(), label))
        table = np.zeros(256, np.uint8)
        table[known] = np.arange(len(known))
        colours = tuple(voc_colour(int(label)) for label in known)
        return [LabelMap(table[labels], colours) for labels in maps]

    def _scores(self, pixels: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "n g v"]:
        scale = min(1.0, SEEN_LONG_SIDE / max(pixels.shape[2:]))
        size = [max(32, round(length * scale)) for length in pixels.shape[2:]]
        small = functional.interpolate(pixels.float(), size, mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (MEAN, DEVIATION))
        scores: Tensor = self.network((small - mean) / deviation)["out"][0]
        return scores


def voc_colour(label: int) -> Colour:
    """Give the colour by which Pascal VOC draws a class: its bits, dealt out to the channels from the highest down."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (label >> channel & 1) << (7 - place)
        label >>= 3
    return channels[0], channels[1], channels[2]
