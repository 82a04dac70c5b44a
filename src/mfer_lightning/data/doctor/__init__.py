"""``mfer data``: identify a copy of a dataset, check that it is complete, and report what affects results on it."""

from mfer_lightning.data.doctor.examine import Examination, examine
from mfer_lightning.data.doctor.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
