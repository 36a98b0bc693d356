"""Files that are nearly right, and what reads them: for the tests and for benchmarks/fuzz.py.

A target has small sound files of its kind, a way to mend what a change to them breaks on purpose (checksums, lengths),
so that the change comes as deep as it can, and a reader, which may raise nothing but `UniversalStyleError`.
"""

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import png
import tifffile
import torch
from PIL import Image as Pillow
from PIL import features
from safetensors.torch import save

from universal_style import canvas, repetition
from universal_style.images import Image
from universal_style.images.formats import known_formats
from universal_style.networks import feed_forward
from universal_style.networks.checkpoints import SUMS, bundled_folder, decoder_name, encoder_digest, load_decoder
from universal_style.networks.feed_forward import TransformNet, load_net
from universal_style.networks.pooling import NearestPooling
from universal_style.pretrained import CONFIG, KIND, VERSION, Pretrained
from universal_style.regions import read_masks
from universal_style.styles import PRESET_KIND, PRESET_VERSION, Style, upper

INTERESTING = (0, 1, 2, 3, 7, 8, 16, 17, 127, 128, 255, 256, 1000, 1024, 4095, 32767, 32768, 65535, 65536, 2**24 - 1)
HUGE = (100_000, 10**6, 2**31 - 1, 2**31, 2**32 - 1)
MARKS = (
    b"IDAT", b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"Exif\0\0", b"ICC_PROFILE\0", b"VP8 ",
    b"\xff\xc0", b"\xff\xda",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        seeds: sound files.
        read: reads a file's bytes, given a folder to put it in.
        mend: puts checksums and lengths right.
    """

    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]
    mend: Callable[[bytes], bytes] = bytes


def mutant(random, data, others):
    """Change a file a little: bits, bytes, numbers, pieces left out, doubled, swapped or taken from other files."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        if not changed:
            break
        near_front = random.random() < 0.5
        at = random.randrange(min(len(changed), 64) if near_front else len(changed))
        length = random.choice((1, 2, 4, 8, 32, random.randrange(1, len(changed) + 1)))
        kind = random.randrange(9)
        if kind == 0:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            changed[at] = random.randrange(256)
        elif kind == 2:
            size, order = random.choice((2, 4)), random.choice(("big", "little"))
            value = random.choice(INTERESTING + HUGE) % 256**size
            changed[at : at + size] = value.to_bytes(size, order)
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + length]
        elif kind == 5:
            changed[at:at] = changed[at : at + length]
        elif kind == 6:
            other = random.choice(others)
            start = random.randrange(len(other))
            changed[at : at + length] = other[start : start + length]
        elif kind == 7:
            changed[at:at] = bytes(random.randrange(256) for _ in range(min(length, 16)))
        else:
            changed[at:at] = random.choice(MARKS)
    return bytes(changed[:65536])


def small():
    """A picture with edges and noise, (18, 24, 3)."""
    generator = np.random.default_rng(0)
    array = generator.integers(0, 256, (18, 24, 3), dtype=np.uint8)
    array[:9, :12] = (200, 30, 40)
    return array


def _saved(form, picture=None, **options):
    stream = io.BytesIO()
    (picture or Pillow.fromarray(small())).save(stream, form, **options)
    return stream.getvalue()


def _exif():
    exif = Pillow.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a text"
    return exif


def _profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def jpegs():
    grey = Pillow.fromarray(small()[:, :, 0])
    return [
        _saved("JPEG"),
        _saved("JPEG", progressive=True, exif=_exif()),
        _saved("JPEG", grey),
        _saved("JPEG", Pillow.fromarray(small()).convert("CMYK")),
        _saved("JPEG", icc_profile=_profile(), quality=30),
        _saved("MPO", save_all=True, append_images=[Pillow.fromarray(small()[::-1])]),
    ]


@cache
def pngs():
    colours = Pillow.fromarray(small())
    translucent = colours.copy()
    translucent.putalpha(Pillow.linear_gradient("L").resize(colours.size))
    return [
        _saved("PNG"),
        _saved("PNG", translucent),
        _saved("PNG", colours.convert("P"), transparency=0),
        _saved("PNG", colours.convert("1")),
        _saved("PNG", colours.convert("LA")),
        _saved("PNG", icc_profile=_profile(), exif=_exif(), dpi=(72, 72)),
        _saved("PNG", save_all=True, append_images=[Pillow.fromarray(small()[::-1])]),
    ]


def _deep(channels, interlace=False):
    whole = small().astype(np.uint16) * 257
    array = np.concatenate([whole, whole[:, :, :1]], axis=-1)[:, :, :channels]
    stream = io.BytesIO()
    writer = png.Writer(24, 18, greyscale=channels < 3, alpha=channels % 2 == 0, bitdepth=16, interlace=interlace)
    (writer.write_array if interlace else writer.write)(stream, array.ravel() if interlace else array.reshape(18, -1))
    return stream.getvalue()


@cache
def deep_pngs():
    return [_deep(1), _deep(2), _deep(3), _deep(4), _deep(3, interlace=True)]


def _tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


@cache
def tiffs():
    colours = Pillow.fromarray(small())
    return [
        _saved("TIFF"),
        _saved("TIFF", compression="tiff_deflate"),
        _saved("TIFF", compression="jpeg"),
        _saved("TIFF", compression="tiff_lzw", exif=_exif()),
        _saved("TIFF", compression="packbits"),
        _saved("TIFF", colours.convert("1"), compression="group4"),
        _saved("TIFF", colours.convert("CMYK"), icc_profile=_profile()),
        _tiff(small(), tile=(16, 16)),
    ]


@cache
def deep_tiffs():
    deep = small().astype(np.uint16) * 257
    return [
        _tiff(deep, photometric="rgb"),
        _tiff(deep, photometric="rgb", compression="zlib", predictor=True),
        _tiff(deep[:, :, 0], photometric="minisblack", rowsperstrip=4),
        _tiff(np.moveaxis(deep, -1, 0), photometric="rgb", planarconfig="separate"),
        _tiff(deep, photometric="rgb", tile=(16, 16), bigtiff=True),
        _tiff(deep[:, :, 0], photometric="minisblack", imagej=True),
        _tiff(np.stack([deep[:, :, 0]] * 3), photometric="minisblack"),
        _tiff(deep, photometric="rgb", compression="lzma", byteorder=">"),
        lzw_tiff(deep),
    ]


def lzw_tiff(numbers, extra_samples=None, predictor=1):
    """Pack numbers of 16 bits (h, w, 1, 3 or 4) by LZW, which neither tifffile nor Pillow write at that depth.

    To LZW they are bytes, and so many bytes lie in a row of a picture of 8 bits that is twice as wide. That is written,
    and then its tags are changed.
    """
    height, width, channels = numbers.shape
    if predictor == 2:
        numbers = np.concatenate([numbers[:, :1], np.diff(numbers, axis=1)], axis=1)
    octets = np.ascontiguousarray(numbers, "<u2").view(np.uint8).reshape(height, 2 * width, channels)
    data = bytearray(_saved("TIFF", Pillow.fromarray(octets.squeeze()), compression="tiff_lzw"))
    (start,) = struct.unpack_from("<I", data, 4)
    for place in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        match struct.unpack_from("<H", data, place)[0]:
            case 256:  # width
                struct.pack_into("<I", data, place + 8, width)
            case 258 if channels == 1:  # bits of each channel
                struct.pack_into("<H", data, place + 8, 16)
            case 258:
                struct.pack_into(f"<{channels}H", data, struct.unpack_from("<I", data, place + 8)[0], *[16] * channels)
            case 284 if predictor == 2:  # says no more than that channels lie together
                struct.pack_into("<HHIH", data, place, 317, 3, 1, 2)
            case 338 if extra_samples is not None:
                struct.pack_into("<H", data, place + 8, extra_samples)
    return bytes(data)


@cache
def large_tiffs():
    deep = small().astype(np.uint16) * 257
    return [
        _tiff(small(), photometric="rgb", compression="zlib", tile=(16, 16)),
        _tiff(small(), photometric="rgb", compression="zlib", predictor=True, rowsperstrip=4, iccprofile=_profile()),
        _tiff(np.moveaxis(small(), -1, 0), photometric="rgb", planarconfig="separate", compression="lzma"),
        _tiff(small()[:, :, 0], photometric="miniswhite", rowsperstrip=5),
        _tiff(deep, photometric="rgb", compression="zlib", tile=(16, 16), bigtiff=True),
        _tiff(deep, photometric="rgb", byteorder=">", extratags=[(274, "H", 1, 6, False)]),
    ]


@cache
def webps():
    translucent = Pillow.fromarray(small()).convert("RGBA")
    translucent.putalpha(Pillow.linear_gradient("L").resize(translucent.size))
    return [
        _saved("WEBP"),
        _saved("WEBP", lossless=True),
        _saved("WEBP", translucent, exif=_exif().tobytes()),
        _saved("WEBP", save_all=True, append_images=[Pillow.fromarray(small()[::-1])]),
    ]


@cache
def heifs():
    translucent = Pillow.fromarray(small()).convert("RGBA")
    translucent.putalpha(Pillow.linear_gradient("L").resize(translucent.size))
    known_formats()  # brings the format to Pillow
    return [
        _saved("HEIF", exif=_exif().tobytes()),
        _saved("HEIF", translucent),
        _saved("HEIF", save_all=True, append_images=[Pillow.fromarray(small()[::-1])]),
    ]


@cache
def other_pictures():
    """GIF, BMP, JPEG 2000, AVIF (where Pillow has them), PPM, TGA, ICO."""
    colours = Pillow.fromarray(small())
    found = [
        _saved("GIF"),
        _saved("GIF", colours.convert("P"), transparency=3, interlace=True),
        _saved("GIF", save_all=True, append_images=[Pillow.fromarray(small()[::-1])]),
        _saved("BMP"),
        _saved("BMP", colours.convert("P")),
        _saved("BMP", colours.convert("1")),
        _saved("DIB"),
        _saved("PPM"),
        b"P3 4 4 255 " + b"12 200 7 " * 16,
        b"Pf\n4 4\n-1.0\n" + struct.pack("<16f", *np.linspace(0, 1, 16)),
        _saved("TGA", compression="tga_rle"),
        _saved("ICO", sizes=[(16, 16)]),
        _saved("ICO", sizes=[(16, 16)], bitmap_format="bmp"),
    ]
    if features.check("jpg_2000"):
        found += [_saved("JPEG2000"), _saved("JPEG2000", no_jp2=True)]
    if features.check("avif"):
        found += [_saved("AVIF", speed=10), _saved("AVIF", colours.convert("RGBA"), speed=10)]
    return found


def mended_png(data):
    """Put the checksums of a PNG's chunks right."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = [data[:8]], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        out.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(out) + data[at:]


def mended_safetensors(data):
    """Make the length in front of a safetensors header fit the header as it is now."""
    end = data.find(b"}}", 8)
    ends = data.find(b"}}}", 8)
    end = max(end + 2, ends + 3) if end >= 0 else 0
    while 8 < end < len(data) and data[end : end + 1] == b" ":
        end += 1
    return struct.pack("<Q", end - 8) + data[8:] if end > 8 else data


def _written(data, folder, name):
    path = folder / name
    path.write_bytes(data)
    return path


def read_picture(data, folder):
    return Image.of(_written(data, folder, "picture"))


def read_large(data, folder):
    with mock.patch.object(canvas, "MAPPED_PIXELS", 0):
        return read_picture(data, folder)


def read_mask(data, folder):
    return read_masks(_written(data, folder, "mask"), (), (18, 24), [(5, 5)])


@cache
def presets():
    half = torch.rand(64 * 65 // 2)
    moments = {"max/relu1_1.count": torch.tensor(9.0), "max/relu1_1.mean": torch.rand(64), "max/relu1_1.scatter": half}
    facts = {"kind": PRESET_KIND, "version": PRESET_VERSION, "encoder": encoder_digest(), "name": "n"}
    few = {"max/relu1_1.count": torch.tensor(9.0, dtype=torch.float64), "max/relu1_1.mean": torch.rand(3)}
    few["max/relu1_1.scatter"] = torch.rand(len(upper(3)[0]))
    return [save(moments, facts), save(few, facts), save({}, facts)]


def read_preset(data, folder):
    return Style.load(_written(data, folder, "preset.safetensors"))


@cache
def checkpoints():
    name = decoder_name("nearest", 1)
    return [(bundled_folder() / f"{name}.safetensors").read_bytes()]


def read_decoder(data, folder):
    """Read a decoder whose sum is right: whoever may swap a file may write its sum."""
    path = _written(data, folder, f"{decoder_name('nearest', 1)}.safetensors")
    (folder / SUMS).write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")
    return load_decoder(folder, NearestPooling(), 1)


@cache
def _narrow(network):
    """Build nets of a few channels, which are as good to be spoilt and a thousand times as quick."""
    network.WIDTHS, network.RESIDUALS = (2, 3, 4), 1


@cache
def nets():
    _narrow(feed_forward)
    facts = {"kind": feed_forward.KIND, "version": feed_forward.VERSION, "style": "s"}
    return [save({name: value.half().contiguous() for name, value in TransformNet().state_dict().items()}, facts)]


def read_net(data, folder):
    return load_net(_written(data, folder, "net.safetensors"))


@cache
def reports():
    options = {"alpha": 1.0, "levels": [4, 3, 2, 1], "transform": "ot", "style_weights": [1.0], "style_regions": []}
    options |= {
        "missing": "global",
        "smooth": "none",
        "keep_colors": "none",
        "size": None,
        "style_size": 256,
        "seed": 0,
    }
    told = {
        "stylizer": {"method": "wct", "device": "cpu", "dtype": "float32", "decoders": None},
        "content": "a.png", "styles": ["b.png"], "content_mask": None, "style_masks": [None], "options": options,
        "checkpoints": {"encoder.safetensors": "00"}, "versions": {"torch": "2.6"},
    }  # fmt: skip
    return [json.dumps(told).encode(), json.dumps(told, indent=2).encode()]


def read_report(data, folder):
    return repetition.read_report(_written(data, folder, "report.json"))


@cache
def folders():
    config = {"method": "wct", "dtype": "auto", "encoder": encoder_digest(), "versions": {"torch": "2.6"}}
    text = json.dumps(config | {"kind": KIND, "version": VERSION}).encode()
    listed = f"{hashlib.sha256(b'x').hexdigest()}  a.safetensors\n".encode()
    return [text + b"\0" + listed, text + b"\0", text.replace(b'"wct"', b'"a.safetensors"') + b"\0" + listed]


def read_pretrained(data, folder):
    """Read a folder of one file, given what its config says and, after a zero, what its sums say."""
    config, _, listed = data.partition(b"\0")
    (folder / CONFIG).write_bytes(config)
    (folder / SUMS).write_bytes(listed)
    (folder / "a.safetensors").write_bytes(b"x")
    return Pretrained.read(folder)


def masks():
    return [*pngs()[:4], *deep_pngs()[:2], *jpegs()[:2], *other_pictures()[:1]]


TARGETS = {
    "jpeg": Target(jpegs, read_picture),
    "png": Target(pngs, read_picture, mended_png),
    "png16": Target(deep_pngs, read_picture, mended_png),
    "tiff": Target(tiffs, read_picture),
    "tiff16": Target(deep_tiffs, read_picture),
    "parts": Target(large_tiffs, read_large),
    "webp": Target(webps, read_picture),
    "heif": Target(heifs, read_picture),
    "other": Target(other_pictures, read_picture),
    "mask": Target(masks, read_mask, mended_png),
    "preset": Target(presets, read_preset, mended_safetensors),
    "checkpoint": Target(checkpoints, read_decoder, mended_safetensors),
    "net": Target(nets, read_net, mended_safetensors),
    "report": Target(reports, read_report),
    "pretrained": Target(folders, read_pretrained),
}
