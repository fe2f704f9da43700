"""Servers in processes of their own, and clients that other people wrote."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from engram_local.model_folder import POCKET, write_manifest

ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


class Server:
    """`engram-local serve` on a free port of loopback."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "engram_local.cli", "serve", "--port", "0", "--threads", "1"]
        command += map(str, arguments)
        self.arguments = arguments
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r" at (http://\S+)", line):
                self.url = found[1]
                return
        raise AssertionError("".join(self.lines))

    def stop(self, signal_number=signal.SIGTERM) -> str:
        """Ends the process; returns what it said on stderr since it was ready."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        _, said = self.process.communicate(timeout=60)
        return said


@contextmanager
def running(*arguments):
    server = Server(*arguments)
    try:
        yield server
    finally:
        said = server.stop()
        assert server.process.returncode == 0, said
        assert "Traceback" not in said, said


@contextmanager
def openai_client(folder, template, *arguments):
    """A client of a server that runs the pocket model, copied to `folder`, with another chat template."""
    import openai

    shutil.copytree(POCKET, folder)
    (folder / "chat_template.jinja").write_text(template)
    write_manifest(folder)
    with (
        running(folder, *arguments) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def wait_for(condition, seconds=30.0):
    """Until `condition()` is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
