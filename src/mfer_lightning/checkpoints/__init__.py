"""Checkpoints as data: read them, check what they describe, build network and preprocessing. No Lightning here."""
