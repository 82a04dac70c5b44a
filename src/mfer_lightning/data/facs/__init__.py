"""Synthetic faces driven by the Facial Action Coding System: the embedded default dataset.

An emotion is a distribution over action-unit intensities (`actions`); these and a person's traits (`identity`,
`traits`) move the control points of a face (`template`, `blendshapes`, `geometry`), which is painted (`render`,
`features`, `hair`, `relief`) under the circumstances of a picture (`conditions`, `occlusion`). Everything about a face
is known, which makes the dataset the ground truth for controlled experiments.

Difficulty of the defaults, measured once on 10,000 training and 2,000 test faces (other people, other pictures):
logistic regression on 32x32 pixels reaches 0.47 (grey) and 0.49 (RGB) at 64 pixels, 0.48 (grey) at 48; a plain
convolutional network of four stages (16 to 112 channels, 8 epochs, last epoch) 0.972 at 64 pixels and 0.952 at 48.
"""

from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.data.facs.samples import FacsLabels, FacsSample
from mfer_lightning.data.facs.sheet import contact_sheet

__all__ = ["FacsGenerator", "FacsLabels", "FacsSample", "contact_sheet"]
