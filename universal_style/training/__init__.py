"""The trainer of the mirror decoders."""
