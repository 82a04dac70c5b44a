"""Label files: read tables and folders, validate them, and report errors.

Shared by the dataset files in :mod:`mfer_lightning.data.datasets`. No image is decoded, nothing is written. Every error
in a file raises a ``UserError`` that names the file and the line.
"""
