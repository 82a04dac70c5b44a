"""The head that predicts valence and arousal in addition to the emotions.

Valence measures how pleasant a facial expression is, arousal how excited; both are within [-1, 1] as in AffectNet
(Mollahosseini, Hasani, Mahoor, IEEE Transactions on Affective Computing 2017, arXiv 1708.03985). A linear layer on the
shared feature, next to the emotion head, is the usual multi-task design (Kollias, Sharmanska, Zafeiriou, Face Behavior
a la carte, arXiv 1910.11111; Toisoul et al., Nature Machine Intelligence 2021, doi 10.1038/s42256-020-00280-0). The
hyperbolic tangent is this project's choice. It keeps predictions within the range of the labels and has a non-zero
gradient everywhere; others leave the layer linear or clip its output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Name of the network output, the batch entry and the module in the network.
VALENCE_AROUSAL = "valence_arousal"

#: Network outputs that a prediction keeps, if present.
PREDICTED = ("logits", "feature", VALENCE_AROUSAL)


class ValenceArousalHead(nn.Module):
    """Predict valence and arousal from the feature: ``tanh(W x + b)``, at least float32.

    Args:
        in_features: width D of the feature.

    Example:
        >>> ValenceArousalHead(8)(torch.zeros(3, 8)).shape
        torch.Size([3, 2])
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, 2)

    def forward(self, feature: Tensor) -> Tensor:
        """Map features (B,D) to valence and arousal (B,2) within [-1, 1]."""
        raw: Tensor = self.fc(feature)
        return raw.to(torch.promote_types(raw.dtype, torch.float32)).tanh()
