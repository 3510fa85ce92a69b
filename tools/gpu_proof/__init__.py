"""One command that shows on a machine with an NVIDIA GPU what cannot be shown without one."""
