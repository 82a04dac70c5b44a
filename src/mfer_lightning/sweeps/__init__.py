"""Runs and sweeps: names and folders of runs, jobs of a sweep and their records, searches, ranks."""
