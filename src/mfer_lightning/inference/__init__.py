"""From a checkpoint back to a model."""
