"""How near each stage comes to what the machine can do.

    python benchmarks/roofline.py [--methods wct wct2 photo-wct] [--sizes 512x512] [--plot PLOT.png] -o RESULT.json

Operations and bytes are counted from the shapes that every operator of a stage takes and gives. Ceilings are measured
before each method in its own process: a large 3×3 convolution in float32 and bfloat16, a product of matrices in
float64, and a copy of a large tensor for the bandwidth. An operator can take no less than the longer of its operations
at the ceiling and its bytes at the bandwidth; `least_seconds` is the sum of these, and `reached` its share of the time
that the stage takes. Decompositions of matrices count as nothing, so a small picture reaches less.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from pathlib import Path

import measuring
from measuring import Row, Size

LARGE = 256
"""Channels of the large convolution, and its side in pixels."""
COPIED = 2**28
"""Bytes of the large tensor."""


def ceilings(repeats: int) -> dict[str, float]:
    """Measure operations per second by precision, and bytes per second."""
    import torch

    def best(work) -> float:
        work()
        return min(_seconds(work) for _ in range(repeats))

    found = {}
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            layer = torch.nn.Conv2d(LARGE, LARGE, 3).to(dtype).to(memory_format=torch.channels_last)
            features = torch.rand(1, LARGE, LARGE + 2, LARGE + 2).to(dtype)
            features = features.contiguous(memory_format=torch.channels_last)
            name = str(dtype).removeprefix("torch.")
            found[name] = 2 * 9 * LARGE**4 / best(lambda layer=layer, features=features: layer(features))
        matrix = torch.rand(1024, 1024, dtype=torch.float64)
        found["float64"] = 2 * 1024**3 / best(lambda: matrix @ matrix)
        source, target = torch.zeros(COPIED, dtype=torch.uint8), torch.zeros(COPIED, dtype=torch.uint8)
        found["bytes"] = 2 * COPIED / best(lambda: target.copy_(source))
    return found


def _seconds(work) -> float:
    with measuring.used() as usage:
        work()
    return usage.seconds


def operations(name: str, tensors, output) -> int:
    """Count the multiplications and additions of an operator from its shapes; those of a pass over memory are none.

    Convolutions count as direct ones, whatever products they are made of.
    """
    if name.startswith("conv_transpose2d"):
        return 2 * tensors[0].numel() * tensors[1][0].numel()
    if name.startswith(("conv2d", "cudnn_convolution", "_nnpack_spatial_convolution")):
        return 2 * output.numel() * tensors[1][0].numel()
    if name.startswith(("matmul", "mm", "bmm")):
        return 2 * output.numel() * tensors[0].shape[-1]
    return 0


def counted(work) -> Counter:
    """Do some work and count operations by precision, and bytes; give with them the roofs of each operator."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    found: Counter = Counter()

    class Counting(TorchDispatchMode):
        """Sees every operator with its tensors."""

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            output = func(*args, **(kwargs or {}))
            given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            made = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
            known = {tensor.untyped_storage().data_ptr() for tensor in given}
            views = made and all(tensor.untyped_storage().data_ptr() in known for tensor in made)
            if made and (func._schema.is_mutable or not views):
                name = func._schema.name.removeprefix("aten::")
                dtype = str(given[0].dtype if given else made[0].dtype).removeprefix("torch.")
                moved = sum(tensor.numel() * tensor.element_size() for tensor in (*given, *made))
                found[dtype, operations(name, given, made[0]), moved] += 1
            return output

    with Counting():
        work()
    return found


def measure(method: str, dtype: str, content: Path, style: Path, runs: int) -> tuple[dict[str, float], list[Row]]:
    """Measure the ceilings, then the stages of a method one after the other."""
    from universal_style.drivers.whole import carry

    roofs = ceilings(runs)
    fitted, task = measuring.ready(method, dtype, content, style, **measuring.WIDEST.get(method, {}))
    pixels, rows = task.pixels, []
    for stage in fitted.stages:
        arguments = stage, pixels, fitted.fit, task.regions
        operators = counted(lambda a=arguments: carry(*a))
        seconds = statistics.median(_seconds(lambda a=arguments: carry(*a)) for _ in range(runs))
        least = computing = 0.0
        for (precision, work, moved), times in operators.items():
            by_work, by_bytes = work / roofs.get(precision, float("inf")), moved / roofs["bytes"]
            least += times * max(by_work, by_bytes)
            computing += times * by_work if by_work > by_bytes else 0.0
        total = sum(work * times for (_, work, _), times in operators.items())
        moved = sum(size * times for (_, _, size), times in operators.items())
        precision = str(stage.dtype).removeprefix("torch.")
        rows.append(
            {
                "method": method,
                "stage": f"relu{stage.decoder.level}_1",
                "dtype": precision,
                "gigaoperations": round(total / 1e9, 2),
                "gigabytes": round(moved / 1e9, 2),
                "intensity": round(total / moved, 1),
                "seconds": round(seconds, 4),
                "gigaoperations_per_second": round(total / seconds / 1e9, 1),
                "of_ceiling": round(total / seconds / roofs[precision], 3),
                "least_seconds": round(least, 4),
                "computing": round(computing / least, 3),
                "reached": round(least / seconds, 3),
            }
        )
        pixels = carry(*arguments)
    return roofs, rows


def draw(path: Path | None, roofs: dict[str, float], rows: list[Row]) -> None:
    """Draw the stages under the roofs of their precisions."""
    if path is None:
        return
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.5, 4.8), layout="constrained")
        axes = figure.add_subplot()
        for number, dtype in enumerate(sorted({row["dtype"] for row in rows})):
            along = sorted([0.5, roofs[dtype] / roofs["bytes"], 1024])
            reach = [min(roofs[dtype], roofs["bytes"] * intensity) / 1e9 for intensity in along]
            axes.plot(along, reach, color=f"C{number}", label=f"{dtype}, ceiling")
            for method, marker in zip(dict.fromkeys(row["method"] for row in rows), "osD^v", strict=False):
                points = [row for row in rows if (row["method"], row["dtype"]) == (method, dtype)]
                axes.scatter(
                    [row["intensity"] for row in points],
                    [row["gigaoperations_per_second"] for row in points],
                    color=f"C{number}", marker=marker, s=26, label=f"{dtype}, {method}",
                )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="10⁹ operations per second")
        axes.grid(alpha=0.25, which="both")
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(path, dpi=110)


def main():
    parser = measuring.parser_of(__doc__)
    parser.add_argument("--methods", nargs="+", default=["wct", "wct2", "photo-wct"])
    sizes: list[Size] = [(512, 512)]
    parser.add_argument("--sizes", type=measuring.size_of, nargs="+", default=sizes, help="HxW")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "auto"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="stages under the roofs, a PNG")
    options = parser.parse_args()
    began = measuring.machine(options)
    rows: list[Row] = []
    highest: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        style = measuring.fitted(options.style, options.sizes[0], Path(name))
        for size in options.sizes:
            content = measuring.fitted(options.content, size, Path(name))
            for method in options.methods:
                for dtype in options.dtypes:
                    arguments = method, dtype, content, style, options.runs
                    roofs, found = measuring.apart(options, measure, *arguments)
                    highest = {key: max(value, highest.get(key, 0.0)) for key, value in roofs.items()}
                    rows += [{"size": measuring.named(size)} | row for row in found]
    print(measuring.table(rows))
    units = {key: round(value / 1e9, 1) for key, value in highest.items()}
    print(f"ceilings, 10⁹ a second: {units}")
    draw(options.plot, highest, rows)
    measuring.write(options.output, began, {"runs": options.runs, "ceilings_giga_per_second": units, "stages": rows})


if __name__ == "__main__":
    main()
