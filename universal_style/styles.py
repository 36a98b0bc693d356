"""A style: what one or several pictures look like at every level, and the preset file that keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from universal_style.drivers.whole import grown, observe
from universal_style.errors import InputError, OutputError
from universal_style.moments import Moments, merge_all
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.stage import climb
from universal_style.networks.vgg import LEVELS, Encoder, stride_at

PRESET_KIND = "universal-style preset"
PRESET_VERSION = "1"


@dataclass(frozen=True)
class Style:
    """The moments of a style at each site; all that the closed-form methods need of it.

    Attributes:
        moments: by site name, relu1_1 … relu5_1.
        name: for reports.
    """

    moments: Mapping[str, Moments]
    name: str = "style"

    @classmethod
    def of_pixels(cls, encoder: Encoder, pictures: Iterable[Float[Tensor, "1 3 h w"]], name: str = "style") -> Style:
        """Observe pictures together as one style, all levels in one pass of the encoder over each."""
        pooling, stride = NearestPooling(), stride_at(LEVELS[-1])
        seen = [
            observe(climb(encoder, pooling, grown(pixels, stride), LEVELS[-1]), *pixels.shape[2:])
            for pixels in pictures
        ]
        return cls({site: merge_all(m[site] for m in seen) for site in seen[0]}, name)

    def merge(self, *others: Style) -> Style:
        """Join with other styles as if all their pictures had been observed together."""
        every = [self, *others]
        return Style({site: merge_all(s.moments[site] for s in every) for site in self.moments}, self.name)

    def to(self, device: torch.device | str) -> Style:
        """Move to a device."""
        return Style({site: moments.to(device) for site, moments in self.moments.items()}, self.name)

    def save(self, path: str | Path) -> None:
        """Write a preset file (safetensors), atomically.

        Raises:
            OutputError: the file cannot be written.
        """
        path = Path(path)
        tensors = {}
        for site, moments in self.moments.items():
            tensors[f"{site}.count"] = moments.count.cpu()
            tensors[f"{site}.mean"] = moments.mean.cpu()
            tensors[f"{site}.scatter"] = moments.scatter.float().cpu()
        temporary = path.with_name(path.name + ".partial")
        metadata = {"kind": PRESET_KIND, "version": PRESET_VERSION, "name": self.name}
        try:
            save_file(tensors, temporary, metadata)
            temporary.chmod(0o644)
            temporary.replace(path)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written ({error}); choose another place") from error

    @classmethod
    def load(cls, path: str | Path) -> Style:
        """Read a preset file.

        Raises:
            InputError: the file is missing, damaged or no preset.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist; a preset is made by: universal-style style save IMAGE -o PRESET")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a readable preset ({error}); make it anew") from error
        if metadata.get("kind") != PRESET_KIND or metadata.get("version") != PRESET_VERSION:
            raise InputError(f"{path} is not a preset of this version; make it anew: universal-style style save")
        moments = {}
        for site in sorted({key.split(".")[0] for key in tensors}):
            count, mean, scatter = (tensors[f"{site}.{part}"].double() for part in ("count", "mean", "scatter"))
            if not all(torch.isfinite(t).all() for t in (count, mean, scatter)):
                raise InputError(f"{path} holds numbers that are not finite; make it anew")
            moments[site] = Moments(count, mean, scatter)
        return cls(moments, metadata.get("name", path.stem))
