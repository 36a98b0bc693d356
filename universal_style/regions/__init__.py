"""Regions: label maps read from masks or found in features, matched between content and styles, and their coverage."""

from universal_style.regions.assignment import assign, colour_named
from universal_style.regions.automatic import FEWEST_CLUSTERS, MOST_CLUSTERS, automatic_regions, cluster, stacked
from universal_style.regions.label_map import DRAWN, Colour, LabelMap, moment_weights
from universal_style.regions.masks import read_masks
from universal_style.regions.matching import (
    KEEP,
    MAX_RATIO,
    MIN_PIXELS,
    MISSING,
    WHOLE,
    Match,
    Region,
    Source,
    colour_name,
    match,
)
from universal_style.regions.semantic import Segmenter

__all__ = [
    "DRAWN",
    "FEWEST_CLUSTERS",
    "KEEP",
    "MAX_RATIO",
    "MIN_PIXELS",
    "MISSING",
    "MOST_CLUSTERS",
    "WHOLE",
    "Colour",
    "LabelMap",
    "Match",
    "Region",
    "Segmenter",
    "Source",
    "assign",
    "automatic_regions",
    "cluster",
    "colour_name",
    "colour_named",
    "match",
    "moment_weights",
    "read_masks",
    "stacked",
]
