"""``mfer data``: what a copy of a dataset is, whether it is complete, and what figures on it mean."""

from mfer_lightning.data.doctor.examine import Examination, examine
from mfer_lightning.data.doctor.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
