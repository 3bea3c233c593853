"""Models: layer patterns of blocks, and the files they are read from."""
