"""Measure speed: each figure as a ratio to a plain baseline in the same run, and to what the machine can do."""
