"""How a content and its styles are divided into regions: by masks, by features, or by a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch.nn import functional

from universal_style.errors import InputError, OptionError
from universal_style.images import Image, Source
from universal_style.networks.pooling import NearestPooling
from universal_style.networks.vgg import stride_at
from universal_style.regions import (
    DRAWN,
    LabelMap,
    Match,
    Segmenter,
    assign,
    automatic_regions,
    match,
    read_masks,
    stacked,
)
from universal_style.request import Request
from universal_style.subjects import Loaded, Subject
from universal_style.windows import grown_length

LONG_SIDE = 512
"""Pictures are divided into automatic regions at this long side in pixels, or their own if it is smaller."""
LEVELS = (3, 4)
"""Automatic regions come from relu3_1, relu4_1 and colour."""

FOUND = 1 / 16
"""How far borders that were found may lie from the outlines, as a share of the longer side: features are coarse."""


def divided(
    request: Request,
    loaded: Loaded,
    content: Image,
    carried: Image,
    subjects: Sequence[Subject],
    content_mask: Source | None = None,
    style_masks: Sequence[Source | None] = (),
) -> tuple[LabelMap, list[LabelMap], Match]:
    """Read the regions from masks, find them, or take each picture as one; they end at the pictures' edges.

    Args:
        content: in its own colours.
        carried: the same as the networks see it.

    Returns:
        The content's regions, those of each style, and what each of the content's takes from each style.

    Raises:
        InputError: a mask cannot be used, or is given for a preset.
        OptionError: what is asked for excludes each other.
    """
    for subject, mask in zip(subjects, style_masks, strict=False):
        if subject.picture is None and mask is not None:
            raise InputError(f"{subject.name} is a preset, which has no regions; give the picture for its mask")
    masked = content_mask is not None or any(mask is not None for mask in style_masks)
    if not subjects:
        if masked:
            raise OptionError(f"{request.method.name} holds one style for the whole picture; give no regions with it")
        return LabelMap.uniform(content.height, content.width).hiding(content.hidden), [], Match(())
    if not (request.auto_regions or request.semantic_regions):
        sizes = [subject.size for subject in subjects]
        regions, of_styles = read_masks(content_mask, style_masks, (content.height, content.width), sizes)
        reach = DRAWN
    elif masked:
        raise OptionError("found regions and masks exclude each other; give one of them")
    else:
        regions, of_styles = _found(request, loaded, carried, subjects)
        reach = FOUND
    regions = _ending_in(content, regions, reach)
    of_styles = [
        labels if subject.picture is None else _ending_in(subject.picture, labels, reach)
        for subject, labels in zip(subjects, of_styles, strict=True)
    ]
    return regions, of_styles, _matched(request, regions, of_styles)


def _ending_in(picture: Image, labels: LabelMap, reach: float) -> LabelMap:
    labels = labels.hiding(picture.hidden)
    return labels if labels.count == 1 else labels.following(picture.tensor(), reach)


def _found(
    request: Request, loaded: Loaded, content: Image, subjects: Sequence[Subject]
) -> tuple[LabelMap, list[LabelMap]]:
    """Divide all pictures together; a preset is one region."""
    pictures = [content, *(subject.picture for subject in subjects if subject.picture is not None)]
    if request.semantic_regions:
        device = loaded.backend.device
        found = _segmenter(device)([picture.tensor(device) for picture in pictures])
    else:
        found = clustered(loaded, pictures, request.auto_regions, request.seed)
    rest = iter(found)
    regions = next(rest)
    return regions, [LabelMap.uniform(*s.size) if s.picture is None else next(rest) for s in subjects]


@cache
def _segmenter(device: torch.device) -> Segmenter:
    return Segmenter.pretrained(device)


@torch.inference_mode()
def clustered(loaded: Loaded, pictures: Sequence[Image], count: int, seed: int) -> list[LabelMap]:
    """Divide pictures by their features, seen at `LONG_SIDE`."""
    fine, coarse = LEVELS
    features = []
    for picture in pictures:
        small = picture.scaled_to(min(LONG_SIDE, max(picture.height, picture.width)))
        sides = [grown_length(side, stride_at(coarse)) for side in (small.height, small.width)]
        pixels = functional.interpolate(small.tensor(loaded.backend.device), sides, mode="bilinear")
        levels = dict(loaded.encoder.ascend(pixels, NearestPooling(), coarse))
        blurred = functional.avg_pool2d(pixels, stride_at(fine))
        features.append(stacked([levels[fine][0], levels[coarse][0], blurred[0]], *levels[fine].shape[2:]))
    return automatic_regions(features, [(p.height, p.width) for p in pictures], count, seed)


def _matched(request: Request, regions: LabelMap, of_styles: Sequence[LabelMap]) -> Match:
    """Say what each region takes from each style."""
    if not request.style_regions:
        return match(regions, of_styles, request.missing, request.weights)
    if regions.is_uniform or not all(labels.is_uniform for labels in of_styles):
        raise OptionError("style-regions name regions of the content's mask; give that mask and no style masks")
    return assign(regions, of_styles, request.style_regions, request.missing, request.weights)
