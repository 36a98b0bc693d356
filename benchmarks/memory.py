"""Peak memory of a walk by stage, precision and size, against what the windows are chosen by.

    python benchmarks/memory.py [--methods wct wct2 wct2-sum photo-wct] [--megapixels 1 2 4] -o RESULT.json

Each walk is taken in a fresh process: it loads the networks, observes a tiny style, and then carries a picture through
one stage. `bytes_per_pixel` is what the process grew by meanwhile, over the pixels walked over; `base_mib` is the peak
of a whole `universal-style transfer` over a tiny picture. FOOTPRINTS and BASE_BYTES of
universal_style/drivers/bounds.py must not be lower.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import measuring
from measuring import MIB, Row, Size

TINY = (64, 64)
"""Size of the style, so that what observing it leaves in the process hides nothing of the walk."""
STAGES = {
    "wct": [{"levels": [level]} for level in (5, 4, 3, 2, 1)],
    "photo-wct": [{"levels": [4, 3, 2, 1]}, {}, {"sites": ["encoder", "decoder"]}],
    "wct2": [{"levels": [3, 2, 1]}, {}, {"sites": ["encoder", "skip", "decoder"]}],
    "wct2-sum": [{"levels": [4, 3, 2, 1]}, {}, {"sites": ["encoder", "skip", "decoder"]}],
}
"""Options of each method that make one stage each."""


def walk(method: str, options: dict, dtype: str, size: Size, picture: Path) -> Row:
    """Carry a picture of a size through a method's only stage."""
    import torch

    from universal_style.drivers.bounds import footprint
    from universal_style.drivers.whole import carry
    from universal_style.regions import LabelMap

    fitted, _ = measuring.ready(method, dtype, picture, picture, **options)
    (stage,) = fitted.stages
    pixels = torch.rand(1, 3, *size).contiguous(memory_format=torch.channels_last)
    before = measuring.held_bytes()
    measuring.forget_peak()
    carry(stage, pixels, fitted.fit, LabelMap.uniform(*size))
    grown = measuring.peak_bytes() - before
    walked = [-(-side // stage.stride) * stage.stride for side in size]
    return {
        "pooling": stage.pooling.name,
        "stage": f"relu{stage.decoder.level}_1",
        "sites": len(stage.sites),
        "dtype": str(stage.dtype).removeprefix("torch."),
        "size": measuring.named(size),
        "grown_mib": round(grown / MIB),
        "bytes_per_pixel": round(grown / (walked[0] * walked[1])),
        "footprint_mib": round(footprint(stage).of(walked[0] * walked[1]) / MIB),
    }


def base(method: str, dtype: str, picture: Path, folder: Path, threads: int) -> Row:
    """Run the command line with all networks of a method over a tiny picture, from start to end."""
    levels = measuring.WIDEST.get(method, {}).get("levels", [])
    words = ["transfer", picture, picture, "-o", folder / "result.png", "--method", method, "--dtype", dtype]
    words += ["--levels", ",".join(map(str, levels))] if levels else []
    _, peak = measuring.command([*words, "--smooth", "none", "--quiet"], threads)
    return {"method": method, "dtype": dtype, "base_mib": round(peak / MIB)}


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(STAGES), choices=STAGES)
    parser.add_argument("--dtypes", nargs="+", default=["auto", "float32"])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.1, 0.25, 1.0, 2.0])
    parser.add_argument("--plot", type=Path, help="memory against size, a PNG")
    options = parser.parse_args()
    began = measuring.machine(options)
    walks, bases = [], []
    with tempfile.TemporaryDirectory() as name:
        picture = measuring.fitted(options.style, TINY, Path(name))
        for method in options.methods:
            for dtype in options.dtypes:
                bases.append(base(method, dtype, picture, Path(name), options.threads))
                print(*bases[-1].values(), flush=True)
                for stage in STAGES[method]:
                    for megapixels in options.megapixels:
                        arguments = method, stage, dtype, measuring.size_with(megapixels), picture
                        row = measuring.apart(options, walk, *arguments) | {"megapixels": megapixels}
                        walks.append(row)
                        print(*row.values(), flush=True)
    print(measuring.table(walks), measuring.table(bases), sep="\n\n", end="\n\n")
    exceeded = [row for row in walks if row["grown_mib"] > row["footprint_mib"]]
    print(f"{len(exceeded)} of {len(walks)} walks took more than their footprint", *exceeded, sep="\n")
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in walks:
        groups[f"{row['pooling']} {row['stage']}, {row['sites']} sites, {row['dtype']}"].append(row)
    measuring.curves(options.plot, groups, {"grown_mib": "growth of the process, MiB"})
    measuring.write(options.output, began, {"walks": walks, "bases": bases, "exceeded": exceeded})


if __name__ == "__main__":
    main()
