"""Pictures in and out: any file, array or tensor becomes upright sRGB floats, and goes back as it came.

`picture` is what the package works on; `reading` and `writing` are its way in and out, `arrays`, `profiles` and
`shapers` the numbers and colours on that way.
"""

from universal_style.images.arrays import size_at
from universal_style.images.picture import Image
from universal_style.images.reading import Source, known_formats, long_side_of, opened
from universal_style.images.writing import FORMATS, check_fits, output_format

__all__ = [
    "FORMATS",
    "Image",
    "Source",
    "check_fits",
    "known_formats",
    "long_side_of",
    "opened",
    "output_format",
    "size_at",
]
