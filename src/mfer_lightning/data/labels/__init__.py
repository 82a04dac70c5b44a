"""Label files: reading tables and folders, checking what they say, reporting what is wrong.

Shared by the dataset files in :mod:`mfer_lightning.data.datasets`. No image is decoded, nothing is written. Every
mistake in a file raises a ``UserError`` that names the file and the line.
"""
