"""What travels along a style's wire: one or several observed styles with their shares."""

from __future__ import annotations

from dataclasses import dataclass

from universal_style.errors import InputError
from universal_style.styles import Style


@dataclass(frozen=True)
class Blend:
    """Styles to be mixed.

    Attributes:
        parts: each style with its share, at least 0; the shares sum to 1.
    """

    parts: tuple[tuple[float, Style], ...]

    @classmethod
    def of(cls, style: Style) -> Blend:
        """Give the blend of one style alone."""
        return cls(((1.0, style),))

    def with_other(self, other: Blend, share: float) -> Blend:
        """Mix in another.

        Args:
            share: of the other, 0 to 1.
        """
        own = tuple((weight * (1 - share), style) for weight, style in self.parts)
        return Blend(own + tuple((weight * share, style) for weight, style in other.parts))

    @property
    def only(self) -> Style:
        """The one style that it is made of.

        Raises:
            InputError: there are several.
        """
        if len(self.parts) > 1:
            raise InputError(f"a mix of {len(self.parts)} styles is no preset; save each of them and mix them later")
        return self.parts[0][1]
