"""Wires the rooms together: the only place that names concrete classes; signals; start and stop."""
