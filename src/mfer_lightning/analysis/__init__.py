"""What a trained model looks at, and what it bears: over a model and faces."""
