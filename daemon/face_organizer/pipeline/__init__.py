"""Moves: threads, channels, batches; never a pixel or a file."""
