"""Workstation side: twin, training, comparison."""

import edge  # noqa: F401  (turns ONNX Runtime's reports home off before a module here loads it)
