"""The open MFER and an experiment framework for facial expression recognition."""

__version__ = "0.1.0"
