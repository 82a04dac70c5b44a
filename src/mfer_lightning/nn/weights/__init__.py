"""Weights: read safely, recognised by their layout, loaded strictly."""
