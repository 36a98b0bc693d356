"""Closed-form warm start: every convolution of a mirror decoder by regression, deepest first.

Convolution L of the encoder turns its input into features; its mirror in the decoder has to turn them back. So the
mirror of L is fitted, in the least-squares sense, to give the encoder's input of L from what the decoder, as fitted
so far, hands to it. What a ReLU follows need not be met where the target is zero: any negative number does. The fit
is then a majorisation: targets that are met by a negative number are replaced by it, and the same normal matrix,
factored once, solves again. One regression per layer takes the place of thousands of gradient steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.convolution import bias_of
from universal_style.networks.decoder import Decoder, DecoderBlock, descended
from universal_style.networks.pooling import Kept, Pooling
from universal_style.networks.vgg import Encoder, convolution
from universal_style.training.patches import patches_at, random_places, targets_at

COLUMNS_PER_UNKNOWN = 12
"""Feature columns collected per unknown weight of an output channel; 1.1 GB for 512 channels."""
COLUMNS_PER_PICTURE = 1500
RIDGE = 1e-4
"""Ridge penalty relative to the mean diagonal of the normal matrix."""
HAAR_BANDS = 4
RELU_ROUNDS = 20
"""Rounds of the majorisation, with Nesterov's momentum."""

Patches = list[Float[Tensor, "unknowns n"]]
Targets = list[Float[Tensor, "d n"]]


def encoder_inputs(
    encoder: Encoder, pixels: Float[Tensor, "n 3 h w"], pooling: Pooling, level: int
) -> tuple[dict[str, Tensor], list[Kept]]:
    """Record the input of every convolution on the way up, and relu{level}_1 under the name ""."""
    inputs: dict[str, Tensor] = {"": pixels}
    kept: list[Kept] = []
    for block in encoder.blocks[:level]:
        inputs.update(block.steps(inputs[""], pooling, kept))
    return inputs, kept


def regression_warm_start(
    decoder: Decoder,
    encoder: Encoder,
    pooling: Pooling,
    batches: Iterable[Float[Tensor, "n 3 h w"]],
    deepest: int,
) -> Iterator[str]:
    """Fit the deepest blocks of a decoder in place, yielding each convolution's name once it is solved.

    Args:
        decoder: the initial numbers of the fitted blocks do not matter.
        batches: endless pixels to fit on; each convolution takes as many as its size asks for.
        deepest: how many blocks are fitted; the others stay as they are.
    """
    source = iter(batches)
    for position, block in enumerate(list(decoder.blocks)[:deepest]):
        for name in block.names:
            with torch.no_grad():
                _fit(list(decoder.blocks)[: position + 1], name, encoder, pooling, source)
            yield name


def widened(parameters: Mapping[str, Tensor], decoder: Decoder) -> dict[str, Tensor]:
    """Turn a decoder for summed wavelet bands into one for concatenated bands that gives the same picture.

    A convolution of a sum is the sum of the convolutions: each band gets the same weights. What else comes up beside
    the bands, the features before pooling, gets none.

    Args:
        parameters: of the decoder for summed bands.
        decoder: of the wider kind; only its shapes matter.
    """
    wide = {}
    for name, wanted in decoder.plain().items():
        value = parameters[name]
        if wanted.shape != value.shape:
            copies = [value] * HAAR_BANDS + [torch.zeros_like(value)] * (wanted.shape[1] // value.shape[1] - HAAR_BANDS)
            value = torch.cat(copies, dim=1)
        wide[name] = value
    return wide


def _fit(
    blocks: Sequence[DecoderBlock], name: str, encoder: Encoder, pooling: Pooling, source: Iterator[Tensor]
) -> None:
    """Fit one convolution of the last of these blocks; everything before it is fitted already."""
    *earlier, block = blocks
    fitted = convolution(block, name)
    unknowns = 9 * fitted.in_channels + 1
    patches: Patches = []
    targets: Targets = []
    while sum(part.shape[1] for part in patches) < COLUMNS_PER_UNKNOWN * unknowns:
        inputs, kept = encoder_inputs(encoder, next(source), pooling, blocks[0].level)
        features = inputs[""]
        for done in earlier:
            features = descended([done], features, kept[done.level - 1], pooling)
        given = _given_to(block, name, features, kept[block.level - 1], pooling)
        places = random_places(given, COLUMNS_PER_PICTURE)
        more = patches_at(given, places)
        patches.append(torch.cat([more, torch.ones_like(more[:1])]))  # with a row of ones for the bias
        targets.append(targets_at(inputs[name], places))
    normal = _normal_matrix(patches)
    solution = _regress(patches, targets, normal, rounds=RELU_ROUNDS if name != "conv1_1" else 0)
    fitted.weight.copy_(solution[:-1].T.reshape(fitted.weight.shape))  # (9c + 1, d) -> (d, c, 3, 3)
    bias_of(fitted).copy_(solution[-1])


def _given_to(block: DecoderBlock, name: str, features: Tensor, kept: Kept, pooling: Pooling) -> Tensor:
    return next(given for step, given in block.steps(features, kept, pooling) if step == name)


def _normal_matrix(patches: Patches) -> Float[Tensor, "unknowns unknowns"]:
    """Sum X Xᵀ over the collected columns, in float64."""
    first = patches[0]
    total = torch.zeros(len(first), len(first), dtype=torch.float64, device=first.device)
    for part in patches:
        total += (part @ part.T).double()
    return total


def _regress(
    patches: Patches, targets: Targets, normal: Float[Tensor, "unknowns unknowns"], rounds: int
) -> Float[Tensor, "unknowns d"]:
    """Fit relu(Xᵀ W) to the targets by majorisation from the linear fit; no rounds leave the linear fit."""
    damped = normal + RIDGE * normal.diagonal().mean() * torch.eye(
        len(normal), dtype=normal.dtype, device=normal.device
    )
    factor = torch.linalg.cholesky(damped)
    right = sum(x @ t.T for x, t in zip(patches, targets, strict=True))
    solution = before = torch.cholesky_solve(torch.as_tensor(right).double(), factor).float()
    for number in range(rounds):
        ahead = solution + number / (number + 3) * (solution - before)
        step = torch.zeros_like(solution)
        for x, t in zip(patches, targets, strict=True):
            given = ahead.T @ x
            step += x @ torch.where((t > 0) | (given > 0), t - given, 0).T
        before, solution = solution, ahead + torch.cholesky_solve(step.double(), factor).float()
    return solution
