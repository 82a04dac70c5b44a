"""Faces: indices, readers, protocols, datasets, samplers, augmentation and Lightning datamodules."""
