"""From ONNX to an engine on this device."""

import edge  # noqa: F401  (turns ONNX Runtime's reports home off before a module here loads it)
