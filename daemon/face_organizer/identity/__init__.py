"""Thinks: arrays in, arrays out. Decides who is who."""
