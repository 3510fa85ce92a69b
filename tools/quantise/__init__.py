"""From a float ONNX and pictures to INT8: plan, calibration, report. ``edge engines`` starts it."""
