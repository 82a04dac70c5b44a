"""``mfer data``: identify a copy of a dataset, check that it is complete, and say what results on it mean."""

from mfer_lightning.data.doctor.examine import Examination, examine
from mfer_lightning.data.doctor.findings import Finding

__all__ = ["Examination", "Finding", "examine"]
