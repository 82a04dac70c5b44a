"""Trained models included in the package: one folder per version, and an index of their checksums."""
