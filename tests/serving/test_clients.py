"""Clients that go away, are slow, or say nothing; keys, origins; and the end of the server."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from server_process import running, wait_for

USER = [{"role": "user", "content": "What is the capital of France?"}]
LONG = {"messages": USER, "max_tokens": 900, "temperature": 1.5, "stream": True}


def endless(pocket):
    """A body whose answer goes on for 900 tokens."""
    return json.dumps(LONG | {"logit_bias": {str(i): -100 for i in pocket.eos_ids}}).encode()


def post(url, body):
    """A raw connection that has sent a request, and holds little of an answer that it does not read."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect((host, int(port)))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    connection.sendall(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def resident_bytes(pid):
    """0 where the system does not tell in Linux's way."""
    path = Path(f"/proc/{pid}/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def n_open(pid):
    """Files and sockets of a process."""
    path = Path(f"/proc/{pid}/fd")
    return len(list(path.iterdir())) if path.exists() else 0


def health(url):
    return httpx.get(f"{url}/health", timeout=60).json()


def answer(url):
    done = httpx.post(f"{url}/v1/chat/completions", json={"messages": USER}, timeout=60).raise_for_status()
    return done.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("streams", [True, False])
def test_clients_that_are_killed_in_the_middle_leak_nothing(onnx_server, pocket, streams):
    pid = onnx_server.process.pid
    body = endless(pocket) if streams else endless(pocket).replace(b'"stream": true', b'"stream": false')

    def kill(n):
        for _ in range(n):
            connection = post(onnx_server.url, body)
            if streams:
                assert connection.recv(10).startswith(b"HTTP/1.1 2")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
            connection.close()

    kill(20)
    wait_for(lambda: health(onnx_server.url)["slots_busy"] == 0)
    before, n_files = resident_bytes(pid), n_open(pid)
    kill(100)
    wait_for(
        lambda: health(onnx_server.url) | {"slots": 2} == {"status": "ok", "slots": 2, "slots_busy": 0, "waiting": 0}
    )
    wait_for(lambda: n_open(pid) <= n_files + 2)
    assert resident_bytes(pid) < before + (8 << 20)
    assert answer(onnx_server.url) == "The capital of France is Paris."


@pytest.fixture
def many_files():
    """Most systems allow 1024 until they are asked."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip(f"this system allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000 if soft != resource.RLIM_INFINITY and soft < 2000 else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_slow_readers_and_silent_connections_keep_nobody_from_an_answer(pocket):
    """Readers that take nothing hold no slot: their answers, 100 kB each, wait for them, and a step later another's is
    computed."""
    with running("--backend", "onnx", "--slots", 2, "--queue", 300) as server:
        address = server.url.removeprefix("http://").split(":")
        silent = [socket.create_connection((address[0], int(address[1])), timeout=60) for _ in range(1000)]
        assert answer(server.url) == "The capital of France is Paris."
        before = resident_bytes(server.process.pid)
        large = json.loads(endless(pocket)) | {"max_tokens": 50, "logprobs": True, "top_logprobs": 20}
        slow = [post(server.url, json.dumps(large).encode()) for _ in range(200)]
        for connection in slow:
            connection.recv(1)
        assert answer(server.url) == "The capital of France is Paris."
        wait_for(lambda: health(server.url)["slots_busy"] == 0)
        assert resident_bytes(server.process.pid) < before + (64 << 20)
        for connection in slow:
            connection.recv(1)
        for connection in (*slow, *silent):
            connection.close()
        assert answer(server.url) == "The capital of France is Paris."


def test_a_connection_that_says_nothing_is_closed(monkeypatch):
    code = (
        "import sys; from engram_local.serving import server; server.PATIENCE_S = 0.2\n"
        "import engram_local.cli; sys.argv = ['x', 'serve', '--port', sys.argv[1]]; engram_local.cli.main()"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", code, str(port)], stderr=subprocess.PIPE, text=True)
    try:
        while " at http" not in process.stderr.readline():
            assert process.poll() is None
        for said in (b"", b"GET /health HT"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.sendall(said)
                assert connection.recv(100) == b""
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "engram-local: interrupted\n", said


def test_sigterm_lets_running_answers_end(pocket):
    with running("--backend", "onnx") as server:
        connection = post(server.url, endless(pocket))
        read = connection.recv(10)
        server.process.send_signal(signal.SIGTERM)
        while part := connection.recv(1 << 16):
            read += part
        connection.close()
        assert server.process.wait(60) == 0
    assert b'"finish_reason":"length"' in read and b"data: [DONE]" in read


def test_a_full_queue_is_429_with_the_time_to_wait(pocket):
    with running("--backend", "onnx", "--slots", 1, "--queue", 1) as server:
        connections = [post(server.url, endless(pocket)) for _ in range(40)]
        heads = [x.recv(400) for x in connections]
        for connection in connections:
            connection.close()
    refused = [x.lower() for x in heads if x.startswith(b"HTTP/1.1 429")]
    assert refused and all(b"\r\nretry-after: " in x for x in refused)
    assert sum(x.startswith(b"HTTP/1.1 200") for x in heads) + len(refused) == 40


def test_keys_and_origins():
    key, origin = "a key", "https://page.example"
    with running("--backend", "onnx", "--api-key", key, "--cors", origin, "--no-page") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": key[:-1]}):
            response = httpx.get(f"{server.url}/v1/models", headers=headers)
            assert response.status_code == 401 and response.json()["error"]["type"] == "authentication_error"
        for path in ("/metrics", "/tokenize", "/v1/chat/completions", "/openapi.json"):
            assert httpx.post(f"{server.url}{path}").status_code == 401
        assert httpx.get(f"{server.url}/health").status_code == 200
        asked = {"Authorization": f"Bearer {key}", "Origin": origin, "Host": "any.example"}
        response = httpx.get(f"{server.url}/v1/models", headers=asked)
        assert response.status_code == 200 and response.headers["access-control-allow-origin"] == origin
        other = httpx.get(f"{server.url}/v1/models", headers=asked | {"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers
        asks = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        assert httpx.options(f"{server.url}/v1/chat/completions", headers=asks).status_code == 200
        assert httpx.get(f"{server.url}/").status_code in (401, 404)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0 lets other machines in; add --api-key KEY, or --without-key"),
        (("--host", "192.0.2.1", "--without-key"), "192.0.2.1:8080: cannot listen there"),
        (("--api-key", ""), "--api-key is empty"),
    ],
)
def test_what_is_refused_before_it_serves(arguments, said):
    command = [sys.executable, "-m", "engram_local.cli", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and said in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(onnx_server):
    port = onnx_server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "engram_local.cli", "serve", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"127.0.0.1:{port}: cannot listen there: Address already in use" in done.stderr
