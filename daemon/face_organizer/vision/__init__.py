"""Thinks: arrays in, arrays out. Finds, aligns and embeds faces."""
