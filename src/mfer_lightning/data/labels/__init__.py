"""Label files: read tables and folders, validate them, and report errors.

Shared by the dataset readers in :mod:`mfer_lightning.data.datasets`. Images are not decoded, and nothing is written.
Errors in a file raise a ``UserError`` with the file and, for text files, the line.
"""
