"""A throwaway gateway with a local issuer and no database: who asks, with which token."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

START_S = 60
REQUEST_S = 30

CONFIG = """
[gateway]
data_dir = "."

[[listener]]
protocol = "postgres"
address = "127.0.0.1:0"

[api]
address = "127.0.0.1:{port}"

[local_issuer]
audience = "countersign"

[policy]
files = ["policy.cedar"]

[vault]
key = {{ file = "vault.key" }}

[[target]]
name = "shop"
protocol = "postgres"
host = "127.0.0.1"
labels = {{ env = "prod" }}

[target.tls]
mode = "disable"

[[target.account]]
default = true
user = "nobody"
"""

POLICY = """
@id("responders")
permit (principal in Group::"responders", action in [Action::"read", Action::"admin"], resource == Target::"countersign");

@id("auditors")
permit (principal in Group::"auditors", action == Action::"read", resource == Target::"countersign");

@id("on-call")
permit (principal in Group::"on-call", action in [Action::"read", Action::"admin"], resource == Target::"countersign")
when { ["locks.list", "locks.add"].contains(context.operation) };

@id("access-for-a-while")
@grant("reviewers:1; for=1h")
permit (principal in Group::"responders", action in [Action::"connect", Action::"read"], resource in Label::"env:prod");

@id("analysts")
permit (principal in Group::"analysts", action, resource in Label::"env:prod");
"""

# Who asks, besides those without a token that is good: their groups and what they are.
ACTORS = {
    "analyst": (["analysts"], "human"),
    "approver": (["reviewers"], "human"),
    "auditor": (["auditors"], "human"),
    "on-call": (["on-call"], "human"),
    "admin": (["responders"], "human"),
    "machine": (["responders"], "machine"),
    "agent": ([], "agent"),
    "locked": (["responders"], "human"),
    "disabled": (["responders"], "human"),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class World:
    def __init__(self, binary):
        self.binary = str(pathlib.Path(binary).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="countersign-api."))
        self.gateway = None

    def operate(self, *arguments):
        command = [self.binary, *arguments, "--config", "countersign.toml"]
        done = subprocess.run(command, cwd=self.dir, capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout.strip()

    def start(self):
        self.url = f"http://127.0.0.1:{free_port()}"
        (self.dir / "policy.cedar").write_text(POLICY)
        (self.dir / "countersign.toml").write_text(CONFIG.format(port=self.url.rsplit(":", 1)[1]))
        subprocess.run([self.binary, "credentials", "init-key", "vault.key"], cwd=self.dir, capture_output=True, check=True)
        self.tokens = {"anonymous": None, "garbage": "eyJhbGciOiJub25lIn0.e30."}
        for name, (groups, kind) in ACTORS.items():
            self.operate("accounts", "add", name, "--kind", kind, *[f"--group={g}" for g in groups])
            self.tokens[name] = self.operate("token", name)
        self.operate("accounts", "disable", "disabled")
        self.lock("locked", "a test")
        log = open(self.dir / "gateway.log", "wb")
        command = [self.binary, "gateway", "--config", "countersign.toml"]
        self.gateway = subprocess.Popen(command, cwd=self.dir, stdout=log, stderr=log)
        end = time.monotonic() + START_S
        while True:
            try:
                if self.ask(None, "GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            assert self.gateway.poll() is None and time.monotonic() < end, (self.dir / "gateway.log").read_text()[-4000:]
            time.sleep(0.1)

    def lock(self, name, reason):
        made = self.operate("locks", "add", "--identity", name, "--reason", reason, "--output", "json")
        return json.loads(made)["locks"][0]["id"]

    def ask(self, actor, method, path, body=None, headers=None, kind="application/json"):
        request = urllib.request.Request(self.url + path, method=method, headers=dict(headers or {}))
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.add_header("Content-Type", kind)
        if actor and self.tokens[actor]:
            request.add_header("Authorization", f"Bearer {self.tokens[actor]}")
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as no:
            return Answer(no.code, no.headers, no.read().decode())

    def stop(self):
        if self.gateway:
            self.gateway.send_signal(signal.SIGTERM)
            try:
                self.gateway.wait(20)
            except subprocess.TimeoutExpired:
                self.gateway.kill()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
