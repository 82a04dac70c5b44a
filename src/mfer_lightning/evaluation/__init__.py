"""Compute results from predictions: metrics, calibration, intervals, compactness, and the schema of a result.

Uses NumPy, SciPy and scikit-learn on a table of predictions, without the model.
"""
