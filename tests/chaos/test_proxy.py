"""Each toxic of the proxy does what it says, and lets everything through again when it is over."""

from __future__ import annotations

import socket
import threading

import pytest

from chaos.proxy import HEALTHY, Proxy, Toxics


@pytest.fixture
def echo():
    """A server that says back what it hears; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture
def proxy(echo):
    proxy = Proxy(lambda: ("127.0.0.1", echo))
    yield proxy
    proxy.close()


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        yield client


def hears(client, count):
    data = b""
    while len(data) < count and (piece := client.recv(65536)):
        data += piece
    return data


def said_back(client, what=b"hello"):
    client.sendall(what)
    return hears(client, len(what)) == what


def is_reset(proxy):
    """Whether a new connection ends with RST, be it while it is made or after it."""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
            client.recv(1)
    except ConnectionResetError:
        return True
    return False


def test_a_healthy_link_passes_everything(client):
    assert said_back(client, bytes(range(256)) * 4096)


def test_a_slow_or_narrow_link_waits_as_it_should(echo):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    proxy = Proxy(lambda: ("127.0.0.1", echo), sleep=sleep)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        assert said_back(client)
        assert slept == []
        proxy.poison(Toxics(latency_s=0.2, jitter_s=0.1))
        assert said_back(client)
        assert len(slept) >= 2
        assert all(0.1 <= seconds <= 0.3 for seconds in slept)
        slept.clear()
        proxy.poison(Toxics(bytes_per_s=50))
        assert said_back(client, b"x" * 10)
        assert sum(slept) == pytest.approx(2 * 10 / 50)
    proxy.close()


def test_a_sliced_link_keeps_the_order(proxy, client):
    proxy.poison(Toxics(slice_bytes=7))
    assert said_back(client, bytes(range(256)) * 10)


@pytest.mark.parametrize("cut", [("up",), ("down",), ("up", "down")])
def test_a_cut_holds_back_and_loses_nothing(proxy, client, cut):
    assert said_back(client)
    proxy.poison(Toxics(cut=cut))
    client.sendall(b"held")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(1)
    proxy.poison(HEALTHY)
    client.settimeout(20)
    assert hears(client, 4) == b"held"


def test_a_reset_ends_connections_and_refuses_new_ones(proxy, client):
    assert said_back(client)
    proxy.poison(Toxics(reset=True))
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert is_reset(proxy)
    proxy.poison(HEALTHY)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as another:
        assert said_back(another)


def test_a_half_closed_link_ends_the_way_down(proxy, client):
    assert said_back(client)
    proxy.poison(Toxics(half_close=True))
    assert client.recv(1) == b""
    before = proxy.passed
    client.sendall(b"this way is open")
    while proxy.passed == before:  # the test's timeout ends it if it is not
        pass
    assert client.recv(1) == b""


def test_a_target_that_is_away_is_a_reset(echo):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    proxy = Proxy(lambda: ("127.0.0.1", port))
    assert is_reset(proxy)
    proxy.close()
