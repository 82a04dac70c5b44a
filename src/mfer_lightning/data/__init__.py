"""Faces: datasets, protocols, splits, images, augmentation, and Lightning datamodules.

Six files lead from a path to a batch: the datamodule (``datasets/base.py``) reads paths and labels and makes the
loaders; ``images/sources.py`` finds a face's image, ``images/decode.py`` turns its bytes into pixels and
``images/cache.py`` stores them; ``dataset.py`` assembles the batch and ``augment.py`` augments it.
"""
