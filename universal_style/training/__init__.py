"""The trainers: of the mirror decoders, and of feed-forward nets."""
