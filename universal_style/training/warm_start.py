"""Closed-form warm start: every convolution of a mirror decoder by ridge regression, deepest first.

Convolution L of the encoder turns its input into features; its mirror in the decoder has to turn them back. So the
mirror of L is fitted, in the least-squares sense, to give the encoder's input of L from what the decoder, as fitted
so far, hands to it. One solve per layer takes the place of the first thousands of gradient steps, and the normal
matrix it needs also gives the whitened coordinates in which the layer is then trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from universal_style.networks.decoder import Decoder
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import Encoder, ReflectionConvolution, bias_of, convolution
from universal_style.training.coordinates import whiten_coordinates

COLUMNS_PER_UNKNOWN = 12
"""Feature columns collected per unknown weight of an output channel."""
COLUMNS_PER_BATCH = 6000
RIDGE = 1e-4
"""Ridge penalty relative to the mean diagonal of the normal matrix."""


def encoder_inputs(
    encoder: Encoder, pixels: Float[Tensor, "n 3 h w"], pooling: Pooling, level: int
) -> tuple[dict[str, Tensor], list[Kept]]:
    """Record the input of every convolution on the way up, and relu{level}_1 under the name ""."""
    inputs: dict[str, Tensor] = {}
    kept: list[Kept] = []
    inputs[""] = pixels
    for block in encoder.blocks[:level]:
        inputs.update(block.steps(inputs[""], pooling, kept))
    return inputs, kept


def ridge_warm_start(
    decoder: Decoder,
    encoder: Encoder,
    pooling: Pooling,
    batches: Iterable[Float[Tensor, "n 3 h w"]],
) -> Iterator[str]:
    """Fit a decoder in place and whiten its coordinates, yielding each convolution's name once it is solved.

    Args:
        decoder: fitted in place; its initial numbers do not matter.
        batches: endless pixels to fit on; each convolution takes as many as its size asks for.
    """
    source = iter(batches)
    for position, block in enumerate(decoder.blocks):
        for name in block.names:
            fitted = convolution(block, name)
            unknowns = 9 * fitted.in_channels + 1
            device = fitted.weight.device
            normal = torch.zeros(unknowns, unknowns, dtype=torch.float64, device=device)
            right = torch.zeros(unknowns, fitted.out_channels, dtype=torch.float64, device=device)
            columns = 0
            while columns < COLUMNS_PER_UNKNOWN * unknowns:
                pixels = next(source)
                with torch.no_grad():
                    inputs, kept = encoder_inputs(encoder, pixels, pooling, decoder.level)
                    features = inputs[""]
                    for earlier in decoder.blocks[:position]:
                        features = earlier(features, kept[earlier.level - 1], pooling)
                    given = next(x for n, x in block.steps(features, kept[block.level - 1], pooling) if n == name)
                    patches, targets = _sample_columns(given, inputs[name])
                    normal += (patches @ patches.T).double()
                    right += (patches @ targets.T).double()
                    columns += patches.shape[1]
            _solve_into(fitted, normal.clone(), right)
            mean = normal[:-1, -1] / columns
            whiten_coordinates(fitted, normal[:-1, :-1] / columns - torch.outer(mean, mean))
            yield name


def _sample_columns(
    given: Float[Tensor, "n c h w"], wanted: Float[Tensor, "n d h w"]
) -> tuple[Float[Tensor, "k m"], Float[Tensor, "d m"]]:
    padded = functional.pad(given.float(), (1, 1, 1, 1), mode="reflect")
    patches = functional.unfold(padded.contiguous(), 3).transpose(0, 1)  # (n, 9c, hw) -> (9c, n, hw)
    targets = wanted.float().flatten(2).transpose(0, 1)  # (n, d, h, w) -> (d, n, hw)
    per_picture = max(1, COLUMNS_PER_BATCH // given.shape[0])
    chosen = torch.randperm(patches.shape[2], device=given.device)[:per_picture]
    patches, targets = patches[:, :, chosen].flatten(1), targets[:, :, chosen].flatten(1)
    return torch.cat([patches, torch.ones_like(patches[:1])]), targets


def _solve_into(fitted: ReflectionConvolution, normal: Tensor, right: Tensor) -> None:
    normal.diagonal().add_(RIDGE * normal.diagonal().mean())
    solution = torch.linalg.solve(normal, right).T  # (9c + 1, d) -> (d, 9c + 1)
    with torch.no_grad():
        fitted.weight.copy_(solution[:, :-1].reshape(fitted.weight.shape))
        bias_of(fitted).copy_(solution[:, -1])
