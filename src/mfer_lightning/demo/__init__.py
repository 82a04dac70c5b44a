"""A local web page on which a trained model predicts photos (``mfer demo``)."""
