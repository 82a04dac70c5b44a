"""Synthetic faces driven by the Facial Action Coding System: the default dataset.

An emotion is a distribution over action-unit intensities (`action_units`). These and a person's traits (`identity`,
`traits`) move the control points of the `average_face` (`blendshapes`, `geometry`). The face is painted (`render`,
`features`, `hair_and_glasses`, `shading`) under the conditions of a photo (`conditions`, `occlusion`). Everything about
a face is known (`ground_truth`), which makes the dataset suitable for controlled experiments. To see some faces, run
``mfer data dataset=facs``, which writes a contact sheet.

Difficulty of the defaults, measured once on 10,000 training and 2,000 test faces (other people, other pictures):
logistic regression on 32x32 pixels reaches 0.47 (grey) and 0.49 (RGB) at 64 pixels, 0.48 (grey) at 48; a plain
convolutional network of four stages (16 to 112 channels, 8 epochs, last epoch) 0.972 at 64 pixels and 0.952 at 48.
"""

from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.data.facs.ground_truth import FacsLabels, FacsSample

__all__ = ["FacsGenerator", "FacsLabels", "FacsSample"]
