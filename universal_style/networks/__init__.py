"""The encoder, its mirror decoders, the poolings between them, and their files."""
