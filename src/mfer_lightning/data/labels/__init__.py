"""Label files: read tables and folders, validate them, and report errors.

The dataset readers in :mod:`mfer_lightning.data.datasets` share these modules, which neither decode images nor write
files. An error in a file raises a ``UserError`` that names the file and, for text files, the line.
"""
