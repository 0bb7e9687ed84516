"""Thinks: what is so on a machine in, what ails it and what helps out."""
