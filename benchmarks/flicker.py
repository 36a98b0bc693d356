"""Flicker of restyled clips: how much successive frames differ beyond the motion in the clip.

    pip install opencv-python-headless
    python benchmarks/flicker.py CLIP STYLE [--methods wct wct2 photo-wct] [--steady 0 0.5] [--size 320] [--begin 1]
        [--frames 60] [--json RESULT.json] [--keep FOLDER]

Dense inverse search (DIS) finds the optical flow between successive frames of the clip. The later frame is warped back
by it and compared with the earlier one where the flow holds: where there and back again leads to the same pixel. The
same flow and mask serve the clip and every result. `pixels` is the mean absolute difference in levels of 255; `patches`
is the same of the means over patches of 32 pixels squared, which leaves the pulsing of areas and drops the boiling of
textures. A style of strong contrasts raises both without any flicker of its own, so compare a method with itself.
"""

import argparse
import json
import tempfile
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from universal_style.stylizer import Stylizer
from universal_style.video.frame_folders import FrameFolder
from universal_style.video.run import restyle
from universal_style.video.sources import clip_named
from universal_style.video.targets import target_named

THERE_AND_BACK = 1.0
"""Pixels by which a pixel may miss itself for its flow to hold."""
PATCH = 32


def levels(image):
    return np.rint(image.pixels * 255).astype(np.uint8)


def flow(finder, before, after):
    return finder.calc(cv2.cvtColor(before, cv2.COLOR_RGB2GRAY), cv2.cvtColor(after, cv2.COLOR_RGB2GRAY), None)


def followed(picture, motion):
    """Give, at each pixel, what a picture holds where the motion leads."""
    rows, columns = np.mgrid[: motion.shape[0], : motion.shape[1]].astype(np.float32)
    return cv2.remap(picture, columns + motion[..., 0], rows + motion[..., 1], cv2.INTER_LINEAR), (
        (columns + motion[..., 0] >= 0)
        & (columns + motion[..., 0] <= motion.shape[1] - 1)
        & (rows + motion[..., 1] >= 0)
        & (rows + motion[..., 1] <= motion.shape[0] - 1)
    )


def motions(frames):
    """Give flow and mask for each pair of successive frames."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for before, after in pairwise(frames):
        there, back = flow(finder, before, after), flow(finder, after, before)
        returned, inside = followed(back, there)
        yield there, inside & (np.linalg.norm(there + returned, axis=-1) < THERE_AND_BACK)


def patch_sums(values):
    """Sum over patches of `PATCH` pixels squared."""
    rows, columns = (side // PATCH * PATCH for side in values.shape[:2])
    patches = values[:rows, :columns].reshape(rows // PATCH, PATCH, columns // PATCH, PATCH, -1)
    return patches.sum(axis=(1, 3))  # (r, 32, c, 32, k) -> (r, c, k)


def measured(frames, flows):
    """Give the mean differences over all pairs of successive frames, of pixels and of patches."""
    pixels, patches = [], []
    for (before, after), (motion, mask) in zip(pairwise(frames), flows, strict=True):
        warped, _ = followed(after.astype(np.float32), motion)
        change = (warped - before) * mask[..., None]
        counts = patch_sums(mask[..., None].astype(np.float32))
        full = counts[..., 0] > PATCH**2 / 2
        if full.any():
            pixels.append(np.abs(change[mask]).mean())
            patches.append(np.abs(patch_sums(change)[full] / counts[full]).mean())
    return {"pixels": round(float(np.mean(pixels)), 3), "patches": round(float(np.mean(patches)), 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--methods", nargs="+", default=["wct", "wct2", "photo-wct"])
    parser.add_argument("--steady", nargs="+", type=float, default=[0.0, 0.5], help="seconds of smoothing to compare")
    parser.add_argument("--size", type=int, default=320, help="long side in pixels")
    parser.add_argument("--begin", type=int, default=1, help="number of the first frame")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--keep", type=Path, help="keep the frames in this folder")
    given = parser.parse_args()

    clip = clip_named(given.clip)
    images = [
        frame.image.scaled_to(given.size)
        for frame in islice(clip.frames(), given.begin - 1, given.begin - 1 + given.frames)
    ]
    originals = [levels(image) for image in images]
    flows = list(motions(originals))
    whole = given.keep or Path(tempfile.mkdtemp())
    excerpt = whole / "clip"
    excerpt.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=1):
        image.write(excerpt / f"{number:06d}.png")
    held = float(np.mean([mask.mean() for _, mask in flows]))
    own = measured(originals, flows)
    print(f"{len(images)} frames of {given.clip.name}, flow holds for {held:.0%} of the pixels")
    print(f"{'':20}{'pixels':>10}{'patches':>10}{'frames/s':>10}")
    print(f"{'clip':20}{own['pixels']:10.2f}{own['patches']:10.2f}")
    rows = []
    for method in given.methods:
        stylizer = Stylizer(method)
        for steady in given.steady:
            output = whole / f"{method}-{steady:g}s".replace(".", "_")
            folder = FrameFolder.of(excerpt, Fraction(clip.timing.rate))
            report = restyle(stylizer, folder, [given.style], target_named(output), steady=steady)
            results = [levels(frame.image) for frame in FrameFolder.of(output, folder.rate).frames()]
            row = {"method": method, "steady": steady, **measured(results, flows)}
            row |= {"cuts": list(report.cuts), "rate": report.rate}
            rows.append(row)
            name = f"{method}, {steady:g} s"
            print(f"{name:20}{row['pixels']:10.2f}{row['patches']:10.2f}{row['rate']:10.2f}", flush=True)
    if given.json is not None:
        facts = {
            "clip": given.clip.name,
            "style": given.style.name,
            "begin": given.begin,
            "frames": len(images),
            "size": [images[0].height, images[0].width],
            "rate": float(clip.timing.rate),
            "flow_holds": round(held, 4),
            "own": own,
            "results": rows,
        }
        given.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
