"""Connections accepted in one place, and handed to whoever has fewest of them."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial

import pytest

from helpers.asking import wait_for
from mnist_digits.serving import acceptor
from mnist_digits.serving.acceptor import CLOSED, READY, TAKEN, Acceptor

pytestmark = pytest.mark.skipif(not acceptor.CAN_PASS, reason="this system cannot pass connections")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what is entered into it."""
    with ExitStack() as stack:
        yield stack


class StandIn:
    """A worker's end of a channel, by which it takes what it is given."""

    def __init__(self, channel: socket.socket, ready: bool = True) -> None:
        self.channel = channel
        self.connections: list[socket.socket] = []
        if ready:
            channel.send(READY)

    def take(self) -> int:
        """Take what is there; how many connections it has open."""
        with suppress(BlockingIOError):
            while received := socket.recv_fds(self.channel, 1, 1)[1]:
                self.connections.append(socket.socket(fileno=received[0]))
                with suppress(ConnectionError):
                    self.channel.send(TAKEN)
        return len(self.connections)

    def close_one(self, number: int = 0) -> None:
        self.connections.pop(number).close()
        self.channel.send(CLOSED)

    def close(self) -> None:
        self.channel.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        yield listener


@pytest.fixture
def accepting(listener: socket.socket) -> Iterator[Acceptor]:
    with closing(Acceptor(listener)) as accepting:
        yield accepting


@pytest.fixture
def connect(listener: socket.socket, opened: ExitStack) -> Callable[[int], list[socket.socket]]:
    """Opens so many connections."""
    address = listener.getsockname()

    def connect(count: int) -> list[socket.socket]:
        return [opened.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]

    return connect


@pytest.fixture
def work(accepting: Acceptor, opened: ExitStack) -> Callable[[int], list[StandIn]]:
    """Makes so many workers, which are ready."""

    def work(count: int) -> list[StandIn]:
        workers = [opened.enter_context(closing(StandIn(accepting.add_worker()))) for _ in range(count)]
        wait_for(lambda: [channel.ready for channel in accepting._channels] == [True] * count)
        return workers

    return work


def counts(workers: list[StandIn]) -> list[int]:
    return [worker.take() for worker in workers]


def test_connections_are_spread_evenly_in_whatever_order_they_come_and_go(
    accepting: Acceptor, work: Callable[[int], list[StandIn]], connect: Callable[[int], list[socket.socket]]
):
    workers, chance, open_ = work(3), random.Random(0), 0

    def all_know(count: int) -> bool:
        return sum(counts(workers)) == sum(channel.open for channel in accepting._channels) == count

    for _ in range(20):
        open_ += len(connect(chance.randrange(1, 12)))
        wait_for(partial(all_know, open_))
        assert max(counts(workers)) - min(counts(workers)) <= 1
        # Some close, more of one worker's than of another's.
        for _ in range(chance.randrange(2 * open_ // 3)):
            worker = chance.choice([one for one in workers if one.connections])
            worker.close_one(chance.randrange(len(worker.connections)))
            open_ -= 1
        wait_for(partial(all_know, open_))
        # So many come that all can be even again.
        missing = 3 * max(counts(workers)) - open_
        connect(missing)
        open_ += missing
        wait_for(partial(all_know, open_))
        assert len(set(counts(workers))) == 1


def test_a_connection_waits_for_the_first_worker_that_is_ready(
    accepting: Acceptor, opened: ExitStack, connect: Callable[[int], list[socket.socket]]
):
    (client,) = connect(1)
    worker = opened.enter_context(closing(StandIn(accepting.add_worker(), ready=False)))
    time.sleep(0.2)
    assert worker.take() == 0
    worker.channel.send(READY)
    wait_for(lambda: worker.take() == 1)
    client.sendall(b"hello")
    assert worker.connections[0].recv(5) == b"hello"


def test_a_worker_that_is_gone_or_takes_nothing_is_passed_over(
    accepting: Acceptor,
    work: Callable[[int], list[StandIn]],
    connect: Callable[[int], list[socket.socket]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(acceptor, "STUCK_SECONDS", 0.2)
    stuck, gone, good = work(3)
    gone.close()
    wait_for(lambda: len(accepting._channels) == 2)
    connect(2)
    wait_for(lambda: good.take() == 1)
    time.sleep(0.3)
    connect(5)
    wait_for(lambda: good.take() == 6)
    # What it was given is not lost if it wakes up.
    assert stuck.take() == 1


def test_what_a_worker_had_not_taken_when_it_was_killed_goes_to_another(
    work: Callable[[int], list[StandIn]], connect: Callable[[int], list[socket.socket]]
):
    victim, good = work(2)
    clients = connect(6)
    wait_for(lambda: good.take() == 3)
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    # One of its three was taken, and is lost with it.
    victim.connections.append(socket.socket(fileno=socket.recv_fds(victim.channel, 1, 1)[1][0]))
    victim.channel.send(TAKEN)
    victim.close()
    wait_for(lambda: good.take() == 5)
    heard = {connection.recv(1)[0] for connection in good.connections}
    assert len(heard) == 5
    (lost,) = set(range(6)) - heard
    with suppress(ConnectionError):
        assert clients[lost].recv(1) == b""
    # Nothing is kept of a connection that was taken: its client hears of its end.
    good.close_one()
    closed = [client for client in clients if client is not clients[lost]]
    wait_for(lambda: any(is_ended(client) for client in closed))


def is_ended(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_after_closing_no_connection_is_accepted_and_none_is_lost(
    accepting: Acceptor, work: Callable[[int], list[StandIn]], connect: Callable[[int], list[socket.socket]]
):
    (worker,) = work(1)
    clients = connect(5)
    wait_for(lambda: accepting._channels[0].open == 5)
    accepting.close()
    with pytest.raises(ConnectionError):
        connect(1)
    assert worker.take() == 5
    clients[4].sendall(b"hello")
    assert worker.connections[4].recv(5) == b"hello"
