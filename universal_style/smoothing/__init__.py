"""Smoothing: photographs stay photographs when colours follow the content's edges."""

from universal_style.smoothing.bilateral import BilateralFit
from universal_style.smoothing.closed_form import ClosedForm
from universal_style.smoothing.debanding import debanded
from universal_style.smoothing.guided import GuidedFilter
from universal_style.smoothing.kinds import SMOOTHINGS, NoSmoothing, Smoothing, smoothing_named
from universal_style.smoothing.windowed import smoothed

__all__ = [
    "SMOOTHINGS",
    "BilateralFit",
    "ClosedForm",
    "GuidedFilter",
    "NoSmoothing",
    "Smoothing",
    "debanded",
    "smoothed",
    "smoothing_named",
]
