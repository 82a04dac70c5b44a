"""The trained models that come inside the package: one folder a version, and an index of their checksums."""
