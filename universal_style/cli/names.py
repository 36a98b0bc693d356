"""Choices on the command line, by name."""

from __future__ import annotations

from enum import StrEnum


class TransformName(StrEnum):
    """Transforms by name."""

    WCT = "wct"
    OT = "ot"
    CHOLESKY = "cholesky"
    ADAIN = "adain"


class PoolingName(StrEnum):
    """Poolings by name."""

    NEAREST = "nearest"
    INDEX = "index"
    HAAR_SUM = "haar-sum"
    HAAR_CAT5 = "haar-cat5"


class OptimizerName(StrEnum):
    """Ways of descent by name."""

    LBFGS = "lbfgs"
    ADAM = "adam"


class InitName(StrEnum):
    """Where an optimiser begins."""

    CONTENT = "content"
    STYLE = "style"
    NOISE = "noise"
    RECOLORED = "recolored"


class EncoderPoolingName(StrEnum):
    """The optimisers' poolings by name."""

    MAX = "max"
    AVERAGE = "average"


class EncoderName(StrEnum):
    """The optimisers' encoders by name."""

    BUNDLED = "bundled"
    TORCHVISION = "torchvision"


class SmoothingName(StrEnum):
    """Smoothings by name."""

    NONE = "none"
    CLOSED_FORM = "closed-form"
    BILATERAL = "bilateral"
    GUIDED = "guided"


class MixName(StrEnum):
    """Mixings of several styles by name."""

    MAPS = "maps"
    STATISTICS = "statistics"


class KeepColorsName(StrEnum):
    """Ways of keeping the content's colours by name."""

    NONE = "none"
    LUMINANCE = "luminance"
    LUMINANCE_ONLY = "luminance-only"
    HISTOGRAM = "histogram"
    CORAL = "coral"


class MissingName(StrEnum):
    """What becomes of a region without a counterpart."""

    GLOBAL = "global"
    NEAREST = "nearest"
    KEEP = "keep"


class DeviceName(StrEnum):
    """Devices by name."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class DtypeName(StrEnum):
    """Precisions by name."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class PairsName(StrEnum):
    """Pairings of contents and styles by name."""

    PRODUCT = "product"
    ZIP = "zip"


class EngineName(StrEnum):
    """What does a batch, by name."""

    LOCAL = "local"
    RAY = "ray"


class FormatName(StrEnum):
    """Formats of files by name."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
