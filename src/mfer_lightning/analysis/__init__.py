"""Evaluate trained models on datasets: metrics, robustness, Grad-CAM and attention maps (``mfer evaluate``)."""
