"""The encoder with the numbers that torchvision publishes: VGG-19 as trained on ImageNet, not normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from universal_style.errors import InputError
from universal_style.networks.vgg import Encoder, convolutions

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours of ImageNet, which torchvision's networks expect taken out; here they are in conv1_1."""
PREFIX = "torchvision-"


def fetched_encoder() -> Encoder:
    """Load VGG-19 as torchvision publishes it, fetching its 548 MB once.

    Raises:
        InputError: it cannot be fetched.
    """
    from torchvision.models import VGG19_Weights, vgg19  # a second and 160 MB, for those who ask for it

    try:
        network = vgg19(weights=VGG19_Weights.IMAGENET1K_V1)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"torchvision's VGG-19 cannot be fetched ({error}); connect to the network once, or use --encoder bundled"
        ) from error
    return encoder_of(network.features)


def encoder_of(layers: nn.Module) -> Encoder:
    """Turn torchvision's layers into an encoder on RGB in [0, 1].

    conv1_1 ∘ ((x - mean) / deviation) has the weight W / deviation and the bias b - Σ W mean / deviation, summed over
    channels and taps.
    """
    published = [layer for layer in layers.children() if isinstance(layer, nn.Conv2d)]
    parameters: dict[str, Tensor] = {}
    for name, layer in zip(convolutions(), published, strict=False):  # torchvision's go on to conv5_4
        assert layer.bias is not None
        parameters[f"{name}.weight"], parameters[f"{name}.bias"] = layer.weight.detach(), layer.bias.detach()
    mean, deviation = (torch.tensor(values, dtype=torch.float64) for values in (MEAN, DEVIATION))
    weight = parameters["conv1_1.weight"].double() / deviation[:, None, None]
    bias = parameters["conv1_1.bias"].double() - torch.einsum("oihw,i->o", weight, mean)
    parameters["conv1_1.weight"], parameters["conv1_1.bias"] = weight.float(), bias.float()
    encoder = Encoder(prefix=PREFIX)
    encoder.load_plain(parameters)
    return encoder.eval()
