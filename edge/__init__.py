"""The runtime that runs on the line."""

import os

# ONNX Runtime from 1.29 on reports every process to its maker and keeps an identifier of the device in the home folder.
# It reads this once, when it is loaded: so it stands before anything that may load it. Whoever wants reports sets 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
