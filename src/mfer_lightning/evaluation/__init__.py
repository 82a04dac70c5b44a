"""Turn predictions into figures: metrics, calibration, intervals, compactness, and the schema of a result.

NumPy, SciPy and scikit-learn over one table of predictions; nothing here knows the model.
"""
