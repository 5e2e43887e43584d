"""One thread accepts all connections, and hands each to the worker process that has fewest of them open.

Where worker processes share a listening socket, whichever wakes first accepts all that wait, and SO_REUSEPORT spreads
by a hash of the addresses: of eight connections, two workers have four each only by luck. An accepted connection is
passed over a Unix socket instead; the worker answers a byte for each that it has taken, and for each that it has
closed. Until it is taken a connection is kept here too, so that a worker that is killed loses none that it had not yet
seen: another one gets it.
"""

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress

CAN_PASS = hasattr(socket, "send_fds")
"""Whether this system can pass a connection to another process; Windows cannot."""

READY, TAKEN, CLOSED = b"r", b"t", b"c"
"""What a worker says of itself, or of a connection."""

MAX_UNTAKEN = 64
"""Connections that a worker has not yet taken; further ones wait for another worker, or to be accepted."""

STUCK_SECONDS = 1.0
"""A worker that has not taken a connection for so long gets no further one while another worker takes them."""

ERROR_PAUSE_S = 0.1
"""Pause when no connection can be accepted, as when the machine has no file descriptor left."""


class Channel:
    """The way to one worker process."""

    def __init__(self, pair: socket.socket) -> None:
        """pair: this process's end of the Unix socket."""
        self.socket = pair
        self.ready = False
        self.open = 0
        """Connections that it has, or is to take."""
        self.untaken: deque[socket.socket] = deque()
        """Connections that it is to take, in order."""
        self.last_turn = 0
        self._heard_s = 0.0

    def hand_over(self, connection: socket.socket, turn: int) -> None:
        """Pass a connection, and keep it until it is taken. Raises OSError when the worker is gone or takes none."""
        if not self.untaken:
            self._heard_s = time.monotonic()
        socket.send_fds(self.socket, [TAKEN], [connection.fileno()])
        self.untaken.append(connection)
        self.open, self.last_turn = self.open + 1, turn

    def hear(self) -> bool:
        """Take note of what the worker says; False when it is gone."""
        try:
            said = self.socket.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._heard_s = time.monotonic()
        self.ready = self.ready or READY in said
        for _ in range(said.count(TAKEN)):
            self.untaken.popleft().close()
        self.open -= said.count(CLOSED)
        return bool(said)

    def rank(self) -> tuple[bool, int, int]:
        """The lower, the sooner it gets a connection."""
        stuck = bool(self.untaken) and time.monotonic() - self._heard_s > STUCK_SECONDS
        return stuck, self.open, self.last_turn


class Acceptor:
    """Accepts the connections of a listening socket in a thread of its own, from the first worker's readiness on."""

    def __init__(self, listener: socket.socket) -> None:
        """listener: is closed by `close`."""
        self._listener = listener
        self._channels: list[Channel] = []
        self._new: deque[Channel] = deque()
        self._waiting: deque[socket.socket] = deque()
        self._turn = 0
        self._stopped = False
        self._wakes, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        for one in (listener, self._wakes, self._woken):
            one.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="acceptor", daemon=True)
        self._thread.start()

    def add_worker(self) -> socket.socket:
        """The worker's end of a new channel, to be given to it and then closed here."""
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        self._new.append(Channel(ours))
        self._wake()
        return theirs

    def close(self) -> None:
        """Accept no more connections; those that were accepted have been handed over."""
        if self._stopped:
            return
        self._stopped = True
        self._wake()
        self._thread.join()
        self._selector.close()
        channels = (*self._channels, *self._new)
        kept = [connection for channel in channels for connection in (channel.socket, *channel.untaken)]
        for one in (self._listener, self._wakes, self._woken, *self._waiting, *kept):
            one.close()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            self._wakes.send(b"w")

    def _run(self) -> None:
        accepting = False
        while not self._stopped:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._woken.recv(4096)
                elif not key.data.hear():
                    self._remove(key.data)
            self._add_new()
            self._hand_over()
            # While nobody takes them, connections wait where the system keeps them.
            wanted = self._least_busy() is not None and not self._waiting
            if wanted != accepting:
                accepting = wanted
                if accepting:
                    self._selector.register(self._listener, selectors.EVENT_READ)
                else:
                    self._selector.unregister(self._listener)

    def _add_new(self) -> None:
        while self._new:
            channel = self._new.popleft()
            self._channels.append(channel)
            self._selector.register(channel.socket, selectors.EVENT_READ, channel)

    def _remove(self, channel: Channel) -> None:
        """Forget a worker that is gone; what it had not taken waits for another one again, the oldest first."""
        self._waiting.extendleft(reversed(channel.untaken))
        self._channels.remove(channel)
        self._selector.unregister(channel.socket)
        channel.socket.close()

    def _accept(self) -> None:
        try:
            self._waiting.append(self._listener.accept()[0])
        except (BlockingIOError, ConnectionError):
            pass  # the client has gone
        except OSError:
            time.sleep(ERROR_PAUSE_S)

    def _hand_over(self) -> None:
        """Pass on what was accepted, as far as there are workers that take it."""
        while self._waiting and (channel := self._least_busy()):
            self._turn += 1
            try:
                channel.hand_over(self._waiting[0], self._turn)
            except OSError:
                channel.hear()  # what it had taken before its end
                self._remove(channel)
                continue
            self._waiting.popleft()

    def _least_busy(self) -> Channel | None:
        """The worker for the next connection; None when none takes any."""
        able = [channel for channel in self._channels if channel.ready and len(channel.untaken) < MAX_UNTAKEN]
        return min(able, key=Channel.rank, default=None)
