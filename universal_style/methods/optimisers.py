"""The optimisers: Gatys, and Deep Photo, which adds a term for photorealism in a second phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from universal_style.errors import OptionError
from universal_style.images import output_format
from universal_style.methods.beginnings import INITS
from universal_style.methods.descent import ENCODERS, POOLINGS, Descent
from universal_style.mixing import shares
from universal_style.names import looked_up
from universal_style.networks.layers import check_layer
from universal_style.outputs import check_writable
from universal_style.ranges import at_least
from universal_style.reference.descent import OPTIMIZERS

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYERS = ("relu4_2",)

LayerWeights = Mapping[str, float]


@dataclass(frozen=True)
class Optimiser:
    """A method that descends on pixels.

    Attributes:
        name: on the command line.
        iterations: at each scale, and in each phase, unless asked otherwise.
        content_weight: of the content term, where the style term's layers weigh 1 together.
        tv_weight: of the roughness.
        photorealism_weight: of the photorealism term in the second phase; 0 has no such phase.
        init: where it begins unless asked otherwise.
    """

    name: str
    iterations: int
    content_weight: float
    tv_weight: float
    photorealism_weight: float
    init: str
    smoothing: str = "none"
    precisions: ClassVar[Sequence[str]] = ("float32", "bfloat16")  # gradients vanish in the range of float16
    holds_style: ClassVar[bool] = False

    def recipe(
        self,
        *,
        iterations: int | None = None,
        optimizer: str = "lbfgs",
        init: str | None = None,
        style_layers: LayerWeights | Sequence[str] = STYLE_LAYERS,
        content_layers: LayerWeights | Sequence[str] = CONTENT_LAYERS,
        content_weight: float | None = None,
        tv_weight: float | None = None,
        photorealism_weight: float | None = None,
        pooling: str = "max",
        scales: int = 0,
        encoder: str = "bundled",
        preview: str | Path | None = None,
        preview_every: int = 25,
    ) -> Descent:
        """Check options.

        Args:
            iterations: at each scale and phase, at least 1.
            optimizer: lbfgs or adam.
            init: where to begin: content, style, noise, or recolored (the content in the styles' colours); the method's
                own when left out.
            style_layers: names, or weights by name; they are scaled to sum to 1.
            content_layers: the same.
            content_weight: at least 0.
            tv_weight: at least 0.
            photorealism_weight: at least 0; above 0 a second phase at full size adds the photorealism term.
            pooling: of the encoder: max or average.
            scales: from coarse to fine, each twice the one before; 0 chooses by the size.
            encoder: bundled (normalised), or torchvision, which is fetched.
            preview: picture file that shows where the optimiser is.
            preview_every: iterations from one preview to the next.

        Raises:
            OptionError: an option is out of range.
        """
        if encoder not in ENCODERS:
            raise OptionError(f"encoder {encoder!r} is unknown; use one of {', '.join(ENCODERS)}")
        iterations = self.iterations if iterations is None else iterations
        at_least(1, iterations=iterations, preview_every=preview_every)
        weights = {
            "content_weight": self.content_weight if content_weight is None else content_weight,
            "tv_weight": self.tv_weight if tv_weight is None else tv_weight,
            "photorealism_weight": self.photorealism_weight if photorealism_weight is None else photorealism_weight,
        }
        at_least(0, scales=scales, **weights)
        if preview is not None:
            output_format(Path(preview))
            check_writable(Path(preview))
        return Descent(
            iterations=iterations,
            optimizer=looked_up("optimizer", optimizer, OPTIMIZERS),
            init=looked_up("init", self.init if init is None else init, INITS),
            style_layers=_weights("style-layers", style_layers),
            content_layers=_weights("content-layers", content_layers),
            **weights,
            pooling=looked_up("pooling", pooling, POOLINGS),
            scales=scales,
            encoder=encoder,
            preview=None if preview is None else Path(preview),
            preview_every=preview_every,
        )

    def checkpoints(self, folder: Path) -> tuple[Path, ...]:
        """There are none: it descends on the pixels themselves."""
        return ()


def _weights(option: str, layers: LayerWeights | Sequence[str]) -> dict[str, float]:
    """Check layers and scale their weights to sum to 1."""
    if not layers:
        raise OptionError(f"{option} names no layer; name at least one")
    given = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
    if not all(0 <= weight < float("inf") for weight in given.values()) or not any(given.values()):
        raise OptionError(f"{option} weighs {', '.join(f'{w:g}' for w in given.values())}; at least 0 and not all 0")
    return dict(zip(map(check_layer, given), shares(tuple(given.values())), strict=True))


OPTIMISERS: dict[str, Optimiser] = {
    method.name: method
    for method in (
        Optimiser("gatys", 200, content_weight=0.1, tv_weight=0.0, photorealism_weight=0.0, init="content"),
        Optimiser("deep-photo", 300, content_weight=0.02, tv_weight=0.0, photorealism_weight=1000.0, init="recolored"),
    )
}
