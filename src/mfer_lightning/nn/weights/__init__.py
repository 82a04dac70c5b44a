"""Pre-trained weights: safe reading, layout detection and strict loading."""
