"""Predict photos or a video into a folder that a second start continues: ``mfer predict``."""
