"""Synthetic faces driven by the Facial Action Coding System: the embedded default dataset."""

from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.data.facs.samples import FacsLabels, FacsSample
from mfer_lightning.data.facs.sheet import contact_sheet

__all__ = ["FacsGenerator", "FacsLabels", "FacsSample", "contact_sheet"]
