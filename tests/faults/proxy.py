"""A Modbus TCP proxy that spoils the network on demand: ``python -m tests.faults.proxy --target PORT``.

Commands come as lines on standard input, one ``ok`` answers each. ``pass`` is a good network again.

| command | does |
| --- | --- |
| mute | requests arrive, answers are lost |
| half_open | nothing arrives on either side, nothing is closed |
| slow MS | half of the delay on the way there, half on the way back |
| wrong_transaction, wrong_unit | answers carry another one |
| exception | requests are refused with exception 6 (busy) and do not arrive |
| refuse ADDRESS | writes to this address are refused with exception 2 and do not arrive |
| unread | reads of registers are refused with exception 2, writes arrive |
| junk | answers are noise |
| empty | the connection ends where an answer was expected |
| split | answers come byte by byte |
| rst | every connection is reset, once; new ones are welcome |
| reset_each | the connection is reset at every eighth request, its answer lost |
| syn | connections are reset, and new ones get no answer at all |
"""

import argparse
import heapq
import os
import random
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)
FIFO_PRIORITY = 70


@dataclass
class Pair:
    """One master and its connection to the PLC."""

    master: socket.socket
    plc: socket.socket
    requests: bytes = b""
    answers: bytes = b""
    count: int = 0
    is_open: bool = True


@dataclass
class Proxy:
    """One thread; what is delayed waits in a heap."""

    target: int
    port: int = 0
    behaviour: str = "pass"
    value: float = 0.0
    pairs: list[Pair] = field(default_factory=list)
    due: list[tuple[float, int, Pair, socket.socket, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Not epoll, which waits whole milliseconds: a delay of 5 ms would be one of 6.5.
        self.selector = selectors.SelectSelector()
        self.fillers: list[socket.socket] = []
        self.order = 0
        self.noise = random.Random(7)
        self.listen(16)
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        os.set_blocking(sys.stdin.fileno(), False)

    def listen(self, backlog: int) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(backlog)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        self.selector.register(self.listener, selectors.EVENT_READ)
        print(f"ready port={self.port}", flush=True)
        while True:
            wait_s = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(wait_s):
                if key.fileobj is sys.stdin:
                    if not self.command():
                        return
                elif key.fileobj is self.listener:
                    self.accept()
                elif key.data.is_open:
                    self.read(key.data, key.fileobj)
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, pair, sock, data = heapq.heappop(self.due)
                self.send(pair, sock, data)

    def command(self) -> bool:
        text = os.read(sys.stdin.fileno(), 4096).decode()
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if self.behaviour == "syn" and name != "syn":
                self.answer_connections()
            self.behaviour, self.value = name, float(value or 0)
            if name in {"rst", "syn"}:
                self.reset_all()
            if name == "rst":
                self.behaviour = "pass"
            if name == "syn":
                self.drop_connections()
            print("ok", flush=True)
        return bool(text)

    def drop_connections(self) -> None:
        """A full queue of connections drops every further SYN, as a PLC without power does."""
        self.selector.unregister(self.listener)
        self.listener.close()
        self.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def answer_connections(self) -> None:
        for filler in self.fillers:
            filler.close()
        self.fillers.clear()
        self.listener.close()
        self.listen(16)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def accept(self) -> None:
        master, _ = self.listener.accept()
        try:
            plc = socket.create_connection(("127.0.0.1", self.target), timeout=1)
        except OSError:
            master.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            master.close()
            return
        pair = Pair(master, plc)
        for sock in (master, plc):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(sock, selectors.EVENT_READ, pair)
        self.pairs.append(pair)

    def close(self, pair: Pair, *, reset: bool = False) -> None:
        if not pair.is_open:
            return
        pair.is_open = False
        self.pairs.remove(pair)
        for sock in (pair.master, pair.plc):
            self.selector.unregister(sock)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()

    def reset_all(self) -> None:
        for pair in list(self.pairs):
            self.close(pair, reset=True)

    def read(self, pair: Pair, sock: socket.socket) -> None:
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self.behaviour == "half_open" and data:
            return
        if not data:
            self.close(pair)
        elif sock is pair.master:
            pair.requests += data
            while pair.is_open and (frame := split(pair.requests)):
                pair.requests = pair.requests[len(frame) :]
                self.request(pair, frame)
        else:
            pair.answers += data
            while pair.is_open and (frame := split(pair.answers)):
                pair.answers = pair.answers[len(frame) :]
                self.answer(pair, frame)

    def request(self, pair: Pair, frame: bytes) -> None:
        pair.count += 1
        function, address = struct.unpack_from(">BH", frame, 7)
        if self.behaviour == "exception":
            self.send(pair, pair.master, refusal(frame, 6))
        elif (self.behaviour == "unread" and function == 3) or (
            self.behaviour == "refuse" and function == 16 and address == self.value
        ):
            self.send(pair, pair.master, refusal(frame, 2))
        elif self.behaviour == "slow":
            self.later(pair, pair.plc, frame)
        else:
            self.send(pair, pair.plc, frame)

    def answer(self, pair: Pair, frame: bytes) -> None:
        if self.behaviour == "mute":
            return
        if self.behaviour == "reset_each" and pair.count % 8 == 0:
            self.close(pair, reset=True)
            return
        if self.behaviour == "empty":
            self.close(pair)
            return
        if self.behaviour == "slow":
            self.later(pair, pair.master, frame)
            return
        if self.behaviour == "wrong_transaction":
            frame = bytes((frame[0] ^ 0x55,)) + frame[1:]
        if self.behaviour == "wrong_unit":
            frame = frame[:6] + bytes((frame[6] ^ 1,)) + frame[7:]
        if self.behaviour == "junk":
            frame = self.noise.randbytes(self.noise.randint(1, 40))
        if self.behaviour == "split":
            for byte in frame:
                self.send(pair, pair.master, bytes((byte,)))
            return
        self.send(pair, pair.master, frame)

    def later(self, pair: Pair, sock: socket.socket, data: bytes) -> None:
        self.order += 1
        heapq.heappush(self.due, (time.monotonic() + self.value / 2000, self.order, pair, sock, data))

    def send(self, pair: Pair, sock: socket.socket, data: bytes) -> None:
        if pair.is_open:
            with suppress(OSError):
                sock.send(data)


def split(data: bytes) -> bytes:
    """The first whole frame, or nothing yet."""
    if len(data) < 8:
        return b""
    size = 6 + struct.unpack_from(">H", data, 4)[0]
    return data[:size] if len(data) >= size else b""


def refusal(frame: bytes, code: int) -> bytes:
    return frame[:4] + struct.pack(">HBBB", 3, frame[6], frame[7] | 0x80, code)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=int, required=True)
    # As the PLC of tests/peers: the network does not share its processor with the line; where permitted.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    Proxy(parser.parse_args().target).run()


if __name__ == "__main__":
    main()
