"""Imports torchvision's definitions beside any build of torch.

torchvision from a package index may be built for another accelerator than the installed torch; its compiled
operators are then absent and the import stops at their registration. We only use network definitions, so the
names are declared without kernels first.
"""

from functools import cache
from types import ModuleType

import torch

_DETECTION_OPERATORS = ("nms", "qnms")
_declared: list[torch.library.Library] = []
"""A library forgets its declarations when it is collected."""


@cache
def torchvision_models() -> ModuleType:
    """``torchvision.models``. Raises ImportError when torchvision is not installed."""
    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in _DETECTION_OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        import torchvision
    models: ModuleType = torchvision.models
    return models
