"""Films, GIFs and folders of frames: read, restyled frame by frame with a steady look, and written."""
