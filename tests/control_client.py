# SPDX-License-Identifier: BSD-2-Clause
"""Speaks the control socket's lines of JSON, exactly as given."""

import json
import socket

from daemon import PATIENCE


class ControlClient:
    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(daemon.control)
        self.file = self.socket.makefile("rb")

    def send(self, line):
        self.socket.sendall(line if isinstance(line, bytes) else line.encode())

    def receive(self):
        """The next object; None at the end."""
        line = self.file.readline()
        return json.loads(line) if line else None

    def call(self, method, **params):
        self.send(json.dumps({"id": 1, "method": method, "params": params}) + "\n")
        return self.receive()

    def result(self, method, **params):
        answer = self.call(method, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method, **params):
        answer = self.call(method, **params)
        assert "result" not in answer, answer
        return answer["error"]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.file.close()
        self.socket.close()
