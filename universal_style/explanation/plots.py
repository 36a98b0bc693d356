"""The plots of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

from universal_style.explanation.facts import Spectrum
from universal_style.plots import plot
from universal_style.roots import RELATIVE_CUTOFF

COLUMNS = 4
FONT, DPI = 9, 100
FLOOR = 1e-7
"""Share of a spectrum's largest eigenvalue under which it is not drawn."""
COLOURS = {"content": "#0072b2", "result": "#d55e00"}
STYLES = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def draw_spectra(path: Path, sites: Mapping[str, Mapping[str, Spectrum]]) -> None:
    """Draw the eigenvalues of content, styles and result, a panel per site, on logarithmic scales."""
    columns = min(COLUMNS, len(sites))
    rows = -(-len(sites) // columns)
    with plot(path, 3.1 * columns, 2.7 * rows, font=FONT, dpi=DPI) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (site, curves) in zip(panels, sites.items(), strict=False):
            most = max(float(values[0]) for values in curves.values())
            for number, (of, values) in enumerate(curves.items()):
                colour = COLOURS.get(of, STYLES[(number - 1) % len(STYLES)])
                line = {"color": colour, "label": of, "linewidth": 1.4}
                ranks, drawn = np.arange(1, len(values) + 1), values > FLOOR * most
                axes.plot(ranks[drawn], values[drawn], linestyle="--" if of == "content" else "-", **line)
            cut = RELATIVE_CUTOFF * float(curves["content"][0])
            if cut > 0:
                axes.axhline(cut, color="#999999", linewidth=0.8, linestyle=":")
                axes.set(xscale="log", yscale="log")
            axes.set_title(site, fontsize=9)
            axes.grid(alpha=0.2)
        for axes in panels[len(sites) :]:
            axes.set_axis_off()
        panels[0].set(xlabel="rank", ylabel="eigenvalue of the covariance")
        panels[0].legend(frameon=False, fontsize=8)


def draw_distances(path: Path, distances: Mapping[str, Mapping[str, float]]) -> None:
    """Draw how far the picture is from the style after each step, a line per site."""
    steps = list(distances)
    with plot(path, 8, 3.6, font=FONT, dpi=DPI) as figure:
        axes = figure.subplots()
        sites = list(distances[steps[0]])
        for site, colour in zip(sites, mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(sites))), strict=True):
            values = [distances[step][site] for step in steps]
            axes.plot(steps, values, marker="o", markersize=4, label=site, color=tuple(colour))
        axes.set(ylabel="distance to the style, relative", yscale="log")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
