"""Launchers and sweepers of this package, where Hydra looks for plugins."""
