"""Pictures in and out: any file, array or tensor becomes upright sRGB floats, and goes back as it came.

`picture` is what the package works on; `reading` and `writing` are its way in and out, `formats` says what is read at
all, `arrays`, `profiles` and `shapers` are the numbers and colours on that way.
"""

from universal_style.images.arrays import size_at
from universal_style.images.formats import identified
from universal_style.images.limits import allow_megapixels
from universal_style.images.picture import Image
from universal_style.images.reading import Source, bytes_to_read, opened, size_of
from universal_style.images.writing import FORMATS, bytes_to_write, check_fits, output_format

__all__ = [
    "FORMATS",
    "Image",
    "Source",
    "allow_megapixels",
    "bytes_to_read",
    "bytes_to_write",
    "check_fits",
    "identified",
    "opened",
    "output_format",
    "size_at",
    "size_of",
]
