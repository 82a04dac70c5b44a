"""FERPlus for Lightning."""

from __future__ import annotations

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.images.decode import ImageSource
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.readers.ferplus import PIXEL_ROW, read_ferplus


class FERPlusDataModule(FaceDataModule):
    """FERPlus (Barsoum et al., ICMI 2016): 48 x 48 grey faces in 8 classes, with ten annotators' votes each.

    Either layout::

        ferplus/                                  ferplus/
        ├── FER2013Train/                         ├── fer2013.csv       (emotion, pixels, Usage)
        │   ├── label.csv                         └── fer2013new.csv    (Usage, Image name, 10 votes)
        │   └── fer0000000.png ...
        ├── FER2013Valid/ ...
        └── FER2013Test/ ...

    Labels: MIT licence (microsoft/FERPlus). Faces: FER2013, for research, from the Kaggle challenge of 2013.

    Protocols: ``majority`` (default), ``argmax8``, ``ran``, ``dev``. Targets: ``majority``, ``crossentropy``,
    ``probability``, ``multi``, ``argmax``, ``votes``. Arguments as :class:`FaceDataModule`.
    """

    dataset = "ferplus"

    def read(self) -> FaceIndex:
        """Read the votes in whichever layout is there."""
        return read_ferplus(self.root)

    def make_source(self, index: FaceIndex) -> ImageSource:
        """Return the PNG files, or the pixel columns of the csv pair."""
        if PIXEL_ROW not in index.attributes:
            return super().make_source(index)
        from mfer_lightning.data.images.pixel_csv import PixelCsvSource

        return PixelCsvSource(index, index.root / "fer2013.csv", index.attributes[PIXEL_ROW], self.size)
