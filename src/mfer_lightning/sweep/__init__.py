"""Runs and sweeps: which folder a run lives in, what a job of a sweep left behind."""
