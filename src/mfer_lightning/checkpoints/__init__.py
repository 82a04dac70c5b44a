"""Checkpoints as data: read and check them, and build network and preprocessing. Does not use Lightning."""
