"""A local web page that runs a trained model on photos (``mfer demo``)."""
