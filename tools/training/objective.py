"""What a classifier is trained for: the right verdict; and, where there are marks, features that tell more."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tools.training.sets import Labelled
from tools.training.zoo import Classifier
from tools.twin.parts import CLASSES, FLAWLESS, NO_PART

_PASSING = (CLASSES[NO_PART], CLASSES[FLAWLESS])
"""Verdicts that let something go on unrejected."""


class Objective(nn.Module):
    """Loss of logits for all classes of ``train``, marks included.

    Each class is told apart from all others, marks too. Among the verdicts alone a part counts by its class once more,
    and a mark is any defect: a part with something on it that nobody named must not pass as good.
    """

    weights: Tensor
    passing: Tensor

    def __init__(self, train: Labelled, weights: Tensor, smoothing: float = 0.0) -> None:
        super().__init__()
        self.verdicts = len(train.verdicts)
        self.marks = train.marks
        self.smoothing = smoothing
        self.register_buffer("weights", weights)
        passing = [index for index, name in enumerate(train.verdicts) if name in _PASSING]
        self.register_buffer("passing", torch.tensor(passing, dtype=torch.int64))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar; ``logits`` N×classes, ``labels`` int64 N."""
        every = functional.cross_entropy(logits, labels, self.weights, label_smoothing=self.smoothing)
        if not self.marks:
            return every
        own = labels < self.verdicts
        among = logits[:, : self.verdicts].log_softmax(1)
        right = functional.nll_loss(among[own], labels[own], self.weights[: self.verdicts], reduction="sum")
        passes = among[~own][:, self.passing].exp().sum(1).clamp(max=1 - 1e-4)
        return every + (right - torch.log1p(-passes).sum()) / len(labels)


def without_marks(net: nn.Module, train: Labelled) -> nn.Module:
    """The network with the rows of its head that are verdicts; as it is where there are no marks."""
    if train.marks:
        assert isinstance(net, Classifier)
        old = net.head.fc
        kept = nn.Linear(old.in_features, len(train.verdicts))
        with torch.no_grad():
            kept.weight.copy_(old.weight[: kept.out_features])
            kept.bias.copy_(old.bias[: kept.out_features])
        net.head.fc = kept
    return net
