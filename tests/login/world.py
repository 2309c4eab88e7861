"""What the tests of logging in run in: the demo (gateway, database, local issuer), an independent provider, and places for logins."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HERE = pathlib.Path(__file__).resolve().parent
START_S = 120
COMMAND_S = 60

# The provider makes a token's audience of the resource that is asked for (RFC 8707); without one it is for somebody else.
RESOURCE = "urn:gateway:ES256"
PEOPLE = {"erin": {"groups": ["analysts"]}, "frank": {"groups": ["analysts"]}}
CORP = """
[[issuer]]
label = "corp"
url = "http://127.0.0.1:{port}"
audiences = ["{resource}"]
resource = "{resource}"
algorithms = ["ES256"]
types = ["at+jwt"]
kind = "human"
groups_claim = "groups"
groups_prefix = ""
client_id = "countersign-cli"
scopes = ["openid", "profile", "offline_access"]
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, check, seconds=START_S, pause=0.05):
    """Waits for something to be true; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds} s")


class Ran:
    """What a command left."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()

    def __str__(self):
        return f"exit {self.code}\n--- out\n{self.out[-3000:]}\n--- err\n{self.err[-3000:]}"

    def exits(self, code):
        assert self.code == code, f"not exit {code}: {self}"
        return self

    def says(self, *parts):
        for part in parts:
            assert part in self.out, f"no {part!r} in what it says: {self}"
        return self

    def complains(self, *parts):
        for part in parts:
            assert part in self.err, f"no {part!r} in what it complains of: {self}"
        return self

    def fits(self):
        for line in self.out.splitlines():
            assert len(line) <= 80, f"{len(line)} columns: {line}"
        return self


class Person:
    """A home folder: whose login it is."""

    def __init__(self, world, name):
        self.world, self.home = world, world.dir / f"home-{name}"
        self.home.mkdir()

    @property
    def folder(self):
        return next((self.home / "countersign").glob("localhost_*"))

    def environment(self, more=None):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "COUNTERSIGN", "ACTIONS_", "XDG"))}
        own = {"XDG_CONFIG_HOME": str(self.home), "HOME": str(self.home), "COLUMNS": "80", "BROWSER": "", "DISPLAY": ""}
        return {**keep, **own, **(more or {})}

    def start(self, *arguments, env=None, **kwargs):
        command = [self.world.binary, *map(str, arguments)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=self.environment(env), **{**streams, **kwargs})

    def run(self, *arguments, env=None, stdin=b""):
        command = [self.world.binary, *map(str, arguments)]
        return Ran(subprocess.run(command, env=self.environment(env), input=stdin, capture_output=True, timeout=COMMAND_S, check=False))

    def as_browser(self, name, answer="allow"):
        """The variables with which browser.py plays this person."""
        password = self.world.passwords.get(name, "any")
        return {
            "BROWSER": f"python3 {HERE / 'browser.py'} %s",
            "LOGIN_NAME": name,
            "LOGIN_PASSWORD": password,
            "LOGIN_ANSWER": answer,
        }

    def login(self, name, *options, answer="allow", issuer="local"):
        where = ["--gateway", self.world.url, "--ca", self.world.ca, "--issuer", issuer]
        return self.run("login", *where, *options, env=self.as_browser(name, answer))

    def login_by_device(self, name, answer="allow", issuer="local"):
        process = self.start("login", "--gateway", self.world.url, "--ca", self.world.ca, "--issuer", issuer, "--device")
        said = read_until(process.stderr, r"type the code\s+(\S+)\s")
        page = re.search(r"^\s+(http\S+)$", said, re.M).group(1)
        code = re.search(r"type the code\s+(\S+)", said).group(1)
        browser = [str(HERE / "browser.py"), page, code]
        subprocess.run(["python3", *browser], env=self.environment(self.as_browser(name, answer)), check=False, timeout=COMMAND_S)
        out, err = process.communicate(timeout=COMMAND_S)
        return Ran(subprocess.CompletedProcess([], process.returncode, out, said.encode() + err))

    def facts(self):
        return json.loads((self.folder / "login.json").read_text())

    def change_facts(self, **changes):
        path = self.folder / "login.json"
        path.write_text(json.dumps({**self.facts(), **changes}))

    def thumbprint(self):
        """The key's thumbprint by openssl and RFC 7638, not by the program under test."""
        import base64
        import hashlib

        der = subprocess.run(["openssl", "pkey", "-in", self.folder / "key.pem", "-pubout", "-outform", "DER"], capture_output=True, check=True)
        point = der.stdout[-64:]
        text = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()
        jwk = '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' % (text(point[:32]), text(point[32:]))
        return text(hashlib.sha256(jwk.encode()).digest())


def read_until(stream, pattern, seconds=COMMAND_S):
    """What comes until the pattern is there."""
    said, end = "", time.monotonic() + seconds
    while not re.search(pattern, said):
        left = end - time.monotonic()
        assert left > 0 and select.select([stream], [], [], left)[0], f"no {pattern!r} in: {said}"
        part = os.read(stream.fileno(), 4096)
        assert part, f"it ended without {pattern!r}: {said}"
        said += part.decode()
    return said


class CiService:
    """What a runner of GitHub Actions offers its job: tokens for the audience that is asked for, of the demo's CI issuer."""

    def __init__(self, world):
        service = self
        self.secret, self.tokens = "runner-secret", []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                audience = parse_qs(urlsplit(self.path).query).get("audience", [""])[0]
                if self.headers["Authorization"] != f"Bearer {service.secret}":
                    self.send_response(401)
                    self.end_headers()
                    return
                token = world.token("ci-deploy", audience)
                service.tokens.append((audience, token))
                body = json.dumps({"count": len(token), "value": token}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def environment(self):
        url = f"http://127.0.0.1:{self.server.server_port}/token?api-version=2.0"
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.secret}


class World:
    """Everything that runs."""

    def __init__(self, binary, provider):
        self.binary, self.provider_script = binary, provider
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="countersign-login-"))
        # The database's server runs as a user of its own, who must be able to get there.
        self.dir.chmod(0o711)
        self.data = self.dir / "demo"
        self.processes, self.passwords = [], {}

    def start(self):
        port = free_port()
        folder = self.dir / "provider"
        folder.mkdir(mode=0o700)
        (folder / "people.json").write_text(json.dumps(PEOPLE))
        self.provider = self.spawn(["node", self.provider_script, str(port), "1", str(folder)], "provider.log")
        self.wait("the provider", self.provider, "provider.log", lambda log: "ready" in log)
        self.gateway = self.serve()
        config = self.data / "countersign.toml"
        text = config.read_text()
        api = re.search(r'\[api\]\s+address = "127\.0\.0\.1:(\d+)"', text).group(1)
        self.port = int(re.search(r'\[\[listener\]\][^\[]*?address = "127\.0\.0\.1:(\d+)"', text).group(1))
        self.url, self.ca = f"https://localhost:{api}", self.data / "gateway-ca.pem"
        out = (self.dir / "demo.out").read_text()
        self.passwords = dict(re.findall(r"^  (\w+): ([\w-]+)$", out, re.M))
        assert self.passwords, out
        self.ci = CiService(self)
        # The demo wrote its configuration when it started; what logins are told follows a reload.
        assert self.labels() == ["local"], self.labels()
        config.write_text(text + CORP.format(port=port, resource=RESOURCE))
        self.gateway.send_signal(signal.SIGHUP)
        until("the reload", lambda: self.labels() == ["local", "corp"], seconds=30)

    def labels(self):
        """The issuers that the gateway names to those who want to log in."""
        context = ssl.create_default_context(cafile=self.ca)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with opener.open(f"{self.url}/v1/login", timeout=COMMAND_S) as answer:
            return [issuer["label"] for issuer in json.load(answer)["issuers"]]

    def spawn(self, command, log, out=None):
        for name in {log, out or log}:
            (self.dir / name).write_text("")
        with open(self.dir / log, "ab") as err, open(self.dir / (out or log), "ab") as std:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=std, stderr=err)
        self.processes.append(process)
        return process

    def wait(self, what, process, log, ready):
        """Until it has said that it is ready."""

        def check():
            said = (self.dir / log).read_text()
            assert process.poll() is None, f"{what} ended: {said[-3000:]}"
            return ready(said)

        until(what, check)

    def serve(self):
        process = self.spawn([self.binary, "dev", "--data-dir", str(self.data)], "demo.log", "demo.out")

        out = self.dir / "demo.out"
        self.wait("the demo", process, "demo.log", lambda log: "ready after" in log and "Ctrl-C stops" in out.read_text())
        return process

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def token(self, name, audience=None):
        command = [self.binary, "dev", "--data-dir", str(self.data), "token", name]
        command += ["--audience", audience] if audience else []
        return subprocess.run(command, capture_output=True, check=True, timeout=COMMAND_S).stdout.decode().strip()

    def psql(self, password, user, sql="select 1", **options):
        """psql at the gateway itself, with a token or a certificate."""
        more = " ".join(f"{k}={v}" for k, v in options.items())
        where = f"host=localhost port={self.port} dbname=shop user={user} sslmode=verify-full sslrootcert={self.ca} {more}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment.update({"PGPASSWORD": password, "HOME": str(self.dir), "PGCONNECT_TIMEOUT": "20"})
        command = ["psql", "-X", "-A", "-t", "-c", sql, where]
        return Ran(subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=False))

    def close(self):
        for process in reversed(self.processes):
            self.stop(process)
        shutil.rmtree(self.dir, ignore_errors=True)
