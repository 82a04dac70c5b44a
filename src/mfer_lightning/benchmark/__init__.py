"""Measure speed, as ratios to a plain baseline in the same run and to the limits of the machine."""
