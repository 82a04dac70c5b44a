"""Figures, one file each: a function takes data and a path and writes a PNG whole or not at all."""
