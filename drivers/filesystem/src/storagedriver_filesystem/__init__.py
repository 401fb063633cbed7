"""Storage driver for a directory of a local filesystem."""
