"""Load trained models, predict photos, videos and splits of datasets, and export."""
