"""From ONNX to an engine on this device."""
