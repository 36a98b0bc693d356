"""Muon, the optimiser of the decoders: steps that turn every direction of a layer's weights equally far."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from universal_style.networks.decoder import Decoder
from universal_style.training.coordinates import convolutions_in

MOMENTUM = 0.95
BIAS_MOMENTUM, BIAS_SQUARES, BIAS_FLOOR = 0.9, 0.99, 1e-8
BIAS_CHANNELS = 8
"""A bias has the rate of its layer's weights times this over the channels that the layer is given."""
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients that bring singular values between 0 and 1 to 0.7 … 1.2 in few iterations, small ones fastest."""
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made nearly orthogonal before each step; biases step by Adam.

    Source: Jordan et al. 2024 (Muon); the rate of a layer after Bernstein and Newhouse 2024: a step changes what a
        layer gives by about the rate, however many channels it has. Kingma and Ba 2015 for the biases, without their
        correction of the first steps, which a rate that warms up makes up for.
    Departs: a convolution's weight is the matrix of its output channels and everything else.

    Args:
        decoder: in its whitened coordinates. Its rate, "lr", is for whoever takes the steps to set.
    """

    _step_supports_amp_scaling = True  # a scaler of the loss says in `found_inf` whether the step is to be skipped

    def __init__(self, decoder: Decoder) -> None:
        groups = [
            {"params": list(layer.parameters()), "bias_rate": BIAS_CHANNELS / layer.in_channels}
            for layer in convolutions_in(decoder)
        ]
        super().__init__(groups, {"lr": 0.0})
        for group in self.param_groups:
            for parameter in group["params"]:
                names = ["momentum"] if parameter.dim() > 1 else ["momentum", "squares"]
                self.state[parameter] = {name: torch.zeros_like(parameter) for name in names}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take a step down the gradients; one whose gradients are not finite is skipped where a scaler looks."""
        skipped: Tensor | None = getattr(self, "found_inf", None)
        for group in self.param_groups:
            rate = group["lr"] if skipped is None else group["lr"] * (1 - skipped)
            for parameter in group["params"]:
                gradient = parameter.grad
                if skipped is not None:
                    gradient = torch.where(skipped > 0, torch.zeros_like(gradient), gradient)
                if parameter.dim() > 1:
                    parameter.sub_(rate * _turn(gradient, **self.state[parameter]))
                else:
                    parameter.sub_(rate * group["bias_rate"] * _scaled(gradient, **self.state[parameter]))


def _turn(gradient: Float[Tensor, "d c 3 3"], momentum: Float[Tensor, "d c 3 3"]) -> Float[Tensor, "d c 3 3"]:
    momentum.lerp_(gradient, 1 - MOMENTUM)
    ahead = torch.lerp(gradient, momentum, MOMENTUM).flatten(1)  # Nesterov's; (d, c, 3, 3) -> (d, 9 c)
    outputs, inputs = ahead.shape
    return math.sqrt(outputs / inputs) * orthogonalised(ahead).view_as(gradient)


def _scaled(
    gradient: Float[Tensor, " d"], momentum: Float[Tensor, " d"], squares: Float[Tensor, " d"]
) -> Float[Tensor, " d"]:
    momentum.lerp_(gradient, 1 - BIAS_MOMENTUM)
    squares.lerp_(gradient.square(), 1 - BIAS_SQUARES)
    return momentum / (squares.sqrt() + BIAS_FLOOR)


def orthogonalised(matrix: Float[Tensor, "d n"]) -> Float[Tensor, "d n"]:
    """Bring the singular values of a matrix near 1, by products alone; zeros stay.

    Source: Jordan et al. 2024, a Newton–Schulz iteration of fifth degree; in bfloat16 on graphics cards.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    values = wide.to(torch.bfloat16 if matrix.is_cuda else matrix.dtype)
    values = values / values.norm().clamp(min=torch.finfo(torch.float32).tiny)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = values @ values.T
        values = first * values + (third * square + fifth * square @ square) @ values
    turned: Tensor = (values if wide is matrix else values.T).to(matrix.dtype).contiguous()
    return turned
