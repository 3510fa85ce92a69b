"""What the twin camera device and its back-end say to each other over a Unix stream socket.

Every message is one ``HEADER`` (little endian, 56 bytes); a FRAME is followed by ``length`` bytes of pixels.
``length`` below width × height × channels is a frame with missing packets.

========  =========  ==================================================================================
kind      direction  fields used
========  =========  ==================================================================================
HELLO     to device  trigger_id: the last trigger that the line has seen; later ones are sent again
TRIGGER   to host    trigger_id, encoder_count, stamp_ns (when the part sensor fired)
FRAME     to host    frame_id, trigger_id, encoder_count, stamp_ns (end of exposure), width, height, format
END       to host    none: no more parts
========  =========  ==================================================================================
"""

import struct
from typing import NamedTuple

HELLO, TRIGGER, FRAME, END = 1, 2, 3, 4

HEADER = struct.Struct("<4I4q2I")


class Message(NamedTuple):
    """One header, in wire order. Times are CLOCK_MONOTONIC ns, which processes of one machine share."""

    kind: int
    width: int = 0
    height: int = 0
    length: int = 0
    frame_id: int = 0
    trigger_id: int = 0
    encoder_count: int = 0
    stamp_ns: int = 0
    pixel_format: int = 0
    reserved: int = 0

    def pack(self) -> bytes:
        """The 56 bytes of the header."""
        return HEADER.pack(*self)

    @classmethod
    def unpack(cls, data: bytes | bytearray) -> "Message":
        """Reads 56 bytes."""
        return cls(*HEADER.unpack(data))
