"""Camera kind ``twin``: the back-end of the simulated camera device; see twin_wire for the protocol."""

import logging
import socket
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge._core import FrameStatus, PixelFormat
from edge.camera.base import CHANNELS, Camera, EndOfStream, Frame, Outcome, Target, Trigger, oversize_text
from edge.camera.settings import TwinSettings
from edge.camera.twin_wire import END, FRAME, HEADER, HELLO, TRIGGER, Message
from edge.errors import CameraError

log = logging.getLogger(__name__)

STALL_S = 1.0
"""Longest pause in the middle of a message before the device counts as gone."""


class TwinCamera(Camera):
    """Receives triggers and frames; pixels go from the socket straight into the ring slot."""

    own_stamps = True

    def __init__(self, settings: TwinSettings) -> None:
        if settings.socket is None:
            raise CameraError(
                "camera kind 'twin' has no socket; the runtime fills it in: start it by 'edge demo'"
            )
        self._path = settings.socket
        self._socket: socket.socket | None = None
        self._header = bytearray(HEADER.size)
        self._told_oversize = False

    @staticmethod
    def check(settings: TwinSettings) -> None:
        """Nothing to look for: the runtime starts the device itself."""

    def open(self, shown: int) -> None:
        """Connects and tells the device which triggers the line has seen."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(STALL_S)
        try:
            connection.connect(str(self._path))
            connection.sendall(Message(HELLO, trigger_id=shown).pack())
        except OSError as error:
            connection.close()
            raise CameraError(
                f"{self._path}: the twin camera does not answer: {error.strerror or error}"
            ) from error
        self._socket = connection

    def grab(self, target: Target, timeout_ms: int) -> Outcome:
        """The next message; a frame is received as a whole."""
        message = self._next_message(timeout_ms)
        if message is None:
            return None
        if message.kind == TRIGGER:
            return Trigger(message.trigger_id, message.encoder_count, message.stamp_ns)
        if message.kind == FRAME:
            return self._frame(message, target())
        if message.kind == END:
            return EndOfStream()
        raise CameraError(
            f"{self._path}: message of unknown kind {message.kind}; expected a twin camera device"
        )

    def close(self) -> None:
        """Hangs up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _next_message(self, timeout_ms: int) -> Message | None:
        connection = self._connected()
        connection.settimeout(timeout_ms / 1e3)
        view = memoryview(self._header)
        try:
            count = connection.recv_into(view)
        except TimeoutError:
            return None
        except OSError as error:
            raise CameraError(f"{self._path}: the twin camera has gone: {error.strerror}") from error
        connection.settimeout(STALL_S)
        self._receive(view, count)
        return Message.unpack(self._header)

    def _receive(self, view: memoryview, count: int | None = None) -> None:
        """Fills the view; ``count`` bytes of it have come already; 0 means that the device hung up."""
        connection = self._connected()
        done = count if count is not None else 0
        try:
            while count != 0 and done < len(view):
                count = connection.recv_into(view[done:])
                done += count
        except OSError as error:
            raise CameraError(f"{self._path}: the twin camera stopped in mid-message: {error}") from error
        if done < len(view):
            raise CameraError(f"{self._path}: the twin camera has hung up")

    def _frame(self, message: Message, pixels: NDArray[np.uint8]) -> Frame:
        try:
            pixel_format = PixelFormat(message.pixel_format)
        except ValueError:
            raise CameraError(
                f"{self._path}: frame {message.frame_id} of unknown pixel format {message.pixel_format}"
            ) from None
        stride = message.width * CHANNELS[pixel_format]
        needed = stride * message.height
        frame = Frame(
            message.width,
            message.height,
            stride,
            pixel_format,
            FrameStatus.OK if message.length == needed else FrameStatus.INCOMPLETE,
            message.frame_id,
            message.trigger_id,
            message.encoder_count,
            message.stamp_ns,
        )
        if max(message.length, needed) > pixels.size:
            self._discard(message.length)
            self._tell_oversize(frame, pixels.size)
            return replace(frame, stride=0, status=FrameStatus.OVERSIZE)
        self._receive(pixels.data[: message.length])
        return frame

    def _tell_oversize(self, frame: Frame, slot_bytes: int) -> None:
        if not self._told_oversize:
            self._told_oversize = True
            log.warning("%s", oversize_text(f"{self._path}, every frame", frame, slot_bytes))

    def _discard(self, length: int) -> None:
        bin_ = memoryview(bytearray(65536))
        while length:
            part = bin_[: min(length, len(bin_))]
            self._receive(part)
            length -= len(part)

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise CameraError(f"{self._path}: not open")
        return self._socket
