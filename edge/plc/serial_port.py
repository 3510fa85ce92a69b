"""What serial devices have in common: their adapter may be pulled out at any time."""

import termios

LOST = (OSError, termios.error)
"""What pyserial raises then: its own exception is an OSError, that of flushing is not."""
