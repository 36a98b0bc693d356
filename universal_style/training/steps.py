"""The gradient step of a decoder's training, which a graphics card records once and then repeats."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils import parametrize

from universal_style.networks.convolution import bias_of
from universal_style.networks.decoder import Decoder
from universal_style.recordings import recorded
from universal_style.training.coordinates import convolutions_in
from universal_style.training.gradients import autocast, take_step
from universal_style.training.muon import Muon
from universal_style.training.objective import Given, Objective

BEFORE_RECORDING = 3
"""Steps in which a graphics card chooses its algorithms and takes its memory."""


@dataclass(frozen=True)
class Recording:
    """A step as a graphics card repeats it, with no command between its parts.

    Attributes:
        graph: to be replayed.
        given: memory that it reads from.
        terms: memory that it writes the terms of the loss to.
    """

    graph: torch.cuda.CUDAGraph
    given: Given
    terms: dict[str, Tensor]

    def repeat(self, given: Given) -> dict[str, Tensor]:
        """Take the step with other numbers."""
        self.given.copy_(given)
        self.graph.replay()
        return self.terms


class Steps:
    """Gradient steps of a decoder, each followed by its average.

    Args:
        decoder: which learns.
        average: of the decoder's plain weights over the last steps.
        objective: the loss.
        optimizer: of that decoder.
        scaler: of the loss, for half precision; one that is not enabled in others.
        precision: torch.float32, or a lower one for autocast.
    """

    def __init__(
        self,
        decoder: Decoder,
        average: Decoder,
        objective: Objective,
        optimizer: Muon,
        scaler: torch.amp.GradScaler,
        precision: torch.dtype,
    ) -> None:
        self._decoder, self._average, self._objective = decoder, average, objective
        self._optimizer, self._scaler, self._precision = optimizer, scaler, precision
        self._device = next(decoder.parameters()).device
        self._rate = torch.zeros((), device=self._device)
        for group in optimizer.param_groups:
            group["lr"] = self._rate
        self._keep = torch.zeros((), device=self._device)
        self._taken = {False: 0, True: 0}
        self._recorded: dict[bool, Recording] = {}

    def take(self, given: Given, rate: float, keep: float) -> dict[str, float]:
        """Take a step.

        Args:
            given: crops, and what goes with them, of the same number and size in every step; transformed features may
                come later.
            rate: of the optimiser.
            keep: share of the average that stays.

        Returns:
            The weighted terms of the loss.
        """
        self._rate.fill_(rate)
        self._keep.fill_(keep)
        terms = self._take(given)
        return dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))

    def _take(self, given: Given) -> dict[str, Tensor]:
        """Take a step, by the recorded one of its kind where a graphics card has made all ready for it."""
        kind = given.transformed is not None
        self._taken[kind] += 1
        if self._device.type != "cuda" or self._taken[kind] <= BEFORE_RECORDING:
            return self._descend(given)
        if kind not in self._recorded:
            self._recorded[kind] = self._record(given.clone())
        return self._recorded[kind].repeat(given)

    def _record(self, given: Given) -> Recording:
        """Record a step, and do nothing else."""
        graph, terms = recorded(lambda: self._descend(given))
        return Recording(graph, given, terms)

    def _descend(self, given: Given) -> dict[str, Tensor]:
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._device, self._precision), parametrize.cached():
            terms = self._objective(self._decoder, given)
        take_step(terms, self._decoder, self._optimizer, self._scaler)
        follow(self._average, self._decoder, self._keep)
        return {name: term.detach() for name, term in terms.items()}


@torch.no_grad()
def follow(average: Decoder, decoder: Decoder, keep: Float[Tensor, ""]) -> None:
    """Move the average towards the decoder's plain weights, keeping a share of what it was."""
    for mean, value in zip(convolutions_in(average), convolutions_in(decoder), strict=True):
        mean.weight.lerp_(value.weight, 1 - keep)
        bias_of(mean).lerp_(bias_of(value), 1 - keep)
