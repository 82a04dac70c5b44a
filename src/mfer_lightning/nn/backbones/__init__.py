"""Backbones: timm's models as feature extractors."""
