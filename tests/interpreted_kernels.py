"""Runs the smoothing's kernels in Triton's interpreter, on the CPU, and says how far off torch's products they are."""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

import torch

from universal_style.smoothing import kernels
from universal_style.smoothing.affinity import EPSILON, Affinity
from universal_style.smoothing.coarse import _down, _models_down, _models_up, _nodes, _up

SIZES = ((3, 5), (17, 23), (6, 300))

torch.manual_seed(0)
for height, width in SIZES:
    guide = torch.rand(3, height, width)
    affinity, models = Affinity.of(guide, EPSILON), torch.cat([torch.ones(1, height, width), guide - 0.5])
    for channels in (1, 3, 4):
        values = torch.randn(channels, height, width)
        pairs = [
            (
                affinity.combined(values, 1, -0.9999),
                kernels.stencil(affinity.planes, affinity.degrees, values, 1, -0.9999),
            )
        ]
        nodes = _models_down(values, models)
        rows = kernels.models_down(values, models, _nodes(height))
        pairs.append((nodes, _down(rows.flatten(0, 1), 2).unflatten(0, (channels, 4))))
        wanted, given = torch.empty_like(values), torch.empty_like(values)
        _models_up(nodes, models, values, affinity.degrees, wanted)
        rows = _up(nodes.flatten(0, 1), 2, width).unflatten(0, (channels, 4))
        kernels.models_up(rows, models, values, affinity.degrees, given)
        pairs.append((wanted, given))
        for one, other in pairs:
            sys.stdout.write(f"{float((one - other).abs().max() / one.abs().max())}\n")
