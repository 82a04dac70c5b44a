"""Load trained models, predict emotions in photos, videos and dataset splits, and export models."""
