"""Measure speed relative to a plain baseline, timed in the same run, and to the limits of the machine."""
