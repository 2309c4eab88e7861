"""The scene: a real server, a real provider, a gateway that trusts it, a person's browser, and people's own folders for their logins."""

import base64
import hashlib
import json
import os
import pathlib
import queue
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import drivers
import harness

HERE = pathlib.Path(__file__).resolve().parent
# How long a person or a command may take.
SECONDS_MAX = 60
# How soon a session whose login ended must be gone; the gateway says "a few seconds".
END_SECONDS_MAX = 30
# The gateway's own limits for the provider's keys, in seconds.
KEYS_REFRESH_S, KEYS_AGE_S = 10, 30
# How long a login lives at the gateway where it is short, the least that can be configured.
SHORT_LOGIN_S = 60
LABEL, AUDIENCE = "corp", "urn:countersign:ES256"
TARGET = "shop"

POLICY = """
@id("everybody-connects")
permit (principal, action == Action::"connect", resource);

@id("analysts-read")
permit (principal in Group::"corp:analysts", action == Action::"read", resource);

@id("deployers-read")
permit (principal in Group::"deployers", action == Action::"read", resource);

@id("salaries-stay")
forbid (principal, action, resource) when { context.relations.contains("public.staff") };
"""

SETTINGS = f"""
[identity]
url = "https://localhost:{{api_port}}"
{{identity}}

[[issuer]]
label = "{LABEL}"
url = "http://127.0.0.1:{{provider_port}}"
audiences = ["{AUDIENCE}"]
algorithms = ["ES256"]
types = ["at+jwt"]
name_claim = "preferred_username"
groups_claim = "groups"
kind_claim = "kind"
unmapped = "accept"
client_id = "countersign-cli"
scopes = ["openid", "profile", "offline_access"]
keys_refresh_s = {KEYS_REFRESH_S}
max_keys_age_s = {KEYS_AGE_S}
{{issuer}}

[[issuer.mapping]]
when = {{{{ repository_id = "482911734", job_workflow_ref = "acme/shop/.github/workflows/deploy.yml@refs/heads/main" }}}}
name = "ci-deploy"
groups = ["deployers"]
"""


def b64(data):
    """As tokens write bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Lines:
    """The lines that a process prints, as they come."""

    def __init__(self, stream):
        self.queue = queue.Queue()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            self.queue.put(line)
        self.queue.put(None)

    def next(self):
        """The next one; None when there are no more."""
        try:
            return self.queue.get(timeout=SECONDS_MAX)
        except queue.Empty:
            raise AssertionError(f"nothing was said for {SECONDS_MAX} s") from None


class Provider:
    """npm oidc-provider; its keys live in a folder, so that it can be stopped and started."""

    def __init__(self, box):
        self.box, self.port = box, harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = box.folder("provider")
        self.folder.chmod(0o700)
        self.script = harness.CACHE / "oidc/provider.mjs"
        self.process = None

    def people(self, **groups):
        """Who there is, and in which groups."""
        (self.folder / "people.json").write_text(json.dumps({name: {"groups": g} for name, g in groups.items()}))

    def start(self, generations):
        """Starts it with these sets of keys; the first signs."""
        self.process = self.box.start(["node", self.script, self.port, generations, self.folder], self.box.path / "provider.log")
        harness.wait_for("the provider", lambda: harness.listening(self.port), process=self.process)

    def stop(self):
        """It is down."""
        self.box.stop(self.process)

    def token(self, client="ci", resource=AUDIENCE):
        """A token of a machine, by the client credentials grant."""
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "resource": resource}).encode()
        basic = base64.b64encode(f"{client}:only-for-tests".encode()).decode()
        request = urllib.request.Request(f"{self.url}/token", form, {"Authorization": f"Basic {basic}"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS_MAX) as answer:
            return json.load(answer)["access_token"]


class Browser:
    """A person at chromium."""

    def __init__(self, box):
        self.log = open(box.path / "browser.log", "wb")
        self.process = subprocess.Popen(["node", str(harness.CACHE / "browser/browser.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, start_new_session=True)
        box.processes.append(self.process)
        self.lines = Lines(self.process.stdout)
        ready = self.lines.next()
        assert ready, f"the browser did not start: {pathlib.Path(self.log.name).read_text()[-2000:]}"

    def sign_in(self, page, login, code=None):
        """Opens the page, signs in there as this person, and says what was seen at last."""
        self.process.stdin.write(json.dumps({"page": page, "login": login, "code": code}) + "\n")
        self.process.stdin.flush()
        seen = json.loads(self.lines.next() or '{"error": "the browser ended"}')
        assert "error" not in seen, seen
        return seen


class Scene:
    """Everything the tests stand on."""

    def __init__(self, box, binary):
        self.box = box
        self.server = harness.Postgres(box, log_statements=False).create()
        self.server.load_fixture(TARGET)
        self.provider = Provider(box)
        self.provider.people(ana=["analysts"], bo=["analysts", "deployers"], cy=["analysts"], eve=["analysts"])
        self.provider.start("1")
        self.browser = Browser(box)
        self.gateway = self.make_gateway(binary, "gateway")
        # Logins are short there, and a token is good once.
        self.short = self.make_gateway(binary, "short", f"login_lifetime_s = {SHORT_LOGIN_S}", "single_use = true")
        self.counter = 0

    def make_gateway(self, binary, name, identity="", issuer=""):
        """A gateway that trusts the provider. Its own issuer is there as well, as in most gateways."""
        scene = self

        class Trusting(harness.Gateway):
            def write_configuration(self, dbname, policy, settings, record, telemetry=""):
                settings = settings.format(api_port=self.api_port, provider_port=scene.provider.port, identity=identity, issuer=issuer)
                super().write_configuration(dbname, policy, settings, record, telemetry)
                # People reach the API by its name, over TLS.
                plain = f'[api]\naddress = "127.0.0.1:{self.api_port}"\n'
                text = self.config.read_text()
                assert plain in text
                self.config.write_text(text.replace(plain, plain + 'tls = "generated"\n'))
        return Trusting(self.box, self.server, binary, name, policy=POLICY, settings=SETTINGS)

    @property
    def api(self):
        """The gateway's URL, as people type it."""
        return self.at(self.gateway)[1]

    # -- the command line --------------------------------------------------------------------------------------------

    def environment(self, who, **more):
        """Of a person or machine: a home of its own, and no browser to open."""
        home = self.box.folder(f"home-{who}")
        return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "LC_ALL": "C.UTF-8", **more}

    def cli(self, who, *words, check=True, **more):
        """Runs a command as somebody: the finished process."""
        done = subprocess.run([str(self.gateway.binary), *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment(who, **more), text=True, timeout=SECONDS_MAX)
        if check:
            assert done.returncode == 0, f"countersign {words[0]} ended with {done.returncode}: {done.stderr[-2000:]}"
        return done

    def at(self, gateway=None):
        """How a gateway is named."""
        gateway = gateway or self.gateway
        return "--gateway", f"https://localhost:{gateway.api_port}", "--ca", gateway.authority()

    def log_in(self, who, *options, gateway=None):
        """A person logs in with a browser: what the command said as JSON, what the person saw at last, and the page that was to be opened."""
        process = subprocess.Popen(
            [str(self.gateway.binary), "login", *map(str, self.at(gateway)), "--issuer", LABEL, "--output", "json", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(who), text=True)
        lines, said = Lines(process.stderr), ""
        pattern = r"\n  (http\S+)\n(?:\nand type the code\n\n  (\S+)\n)" + ("" if "--device" in options else "?")
        try:
            while not (found := re.search(pattern, said)):
                line = lines.next()
                assert line, f"login ended with {process.wait()}: {said}"
                said += line
            page, code = found.groups()
            seen = self.browser.sign_in(page, who, code)
            status, out = process.wait(SECONDS_MAX), process.stdout.read()
        finally:
            process.kill()
        if status != 0:
            said += "".join(iter(lines.next, None))
            raise AssertionError(f"login ended with {status}: {said}\nthe browser saw {seen}")
        return json.loads(out), seen, page

    def log_in_workload(self, who, token, check=True):
        """A machine logs in with its token."""
        return self.cli(who, "login", *self.at(), "--workload", "--token-env", "JOB_TOKEN", "--output", "json", check=check, JOB_TOKEN=token)

    def whoami(self, who):
        """What the gateway sees."""
        return json.loads(self.cli(who, "whoami", "--output", "json").stdout)

    def kept(self, who):
        """The folder of somebody's login."""
        found = list((self.box.path / f"home-{who}/config/countersign").glob("*/login.json"))
        assert len(found) == 1, found
        return found[0].parent

    def thumbprint(self, who):
        """Of the key that is kept, by RFC 7638 and OpenSSL alone."""
        der = harness.run_quiet(["openssl", "pkey", "-in", self.kept(who) / "key.pem", "-pubout", "-outform", "DER"], "openssl")
        jwk = f'{{"crv":"P-256","kty":"EC","x":"{b64(der[-64:-32])}","y":"{b64(der[-32:])}"}}'
        return b64(hashlib.sha256(jwk.encode()).digest())

    # -- database clients --------------------------------------------------------------------------------------------

    def way(self, user, gateway=None, **more):
        """The PG* variables of a client that comes over verified TLS."""
        gateway = gateway or self.gateway
        return {"PGHOST": "localhost", "PGPORT": str(gateway.strict_port), "PGUSER": user, "PGDATABASE": TARGET, "PGSSLMODE": "verify-full",
                "PGSSLROOTCERT": str(gateway.authority()), "PGCONNECT_TIMEOUT": "30", **more}

    def statement(self):
        """A read that can be found in the record again."""
        self.counter += 1
        mark = f"mark_{self.counter:04}"
        return mark, f"select '{mark}' as mark, name from customers where id = 1"

    def psql(self, variables, sql):
        """Runs psql with these PG* variables: status, output, errors."""
        done = subprocess.run(["psql", "-XqAt", "-c", sql], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment("nobody", **variables), text=True, timeout=SECONDS_MAX)
        return done.returncode, done.stdout.strip(), done.stderr

    def refused(self, token, user="ci", gateway=None):
        """The token as a password is refused: what the client reads."""
        status, out, problems = self.psql(self.way(user, gateway, PGPASSWORD=token), "select 1")
        assert status == 2 and not out, f"it was let in: {status} {out} {problems}"
        return problems

    def accepted(self, token, user="ci", gateway=None):
        """The token as a password is accepted."""
        status, out, problems = self.psql(self.way(user, gateway, PGPASSWORD=token), "select 1")
        return (status, out) == (0, "1") or problems

    # -- what the gateway wrote --------------------------------------------------------------------------------------

    def session_of(self, mark):
        """How the session is listed that ran the statement with this mark."""
        wanted = next((s["session"] for s in self.gateway.statements() if mark in s["text"]), None)
        assert wanted, f"{mark} is not in the record"
        listed = json.loads(self.gateway.command("sessions", "list", "--limit", "10000", "--output", "json"))["sessions"]
        return next(s for s in listed if s["id"] == wanted)

    def header_of(self, mark):
        """What the record says at the beginning of that session."""
        shown = json.loads(self.gateway.command("sessions", "show", self.session_of(mark)["id"], "--output", "json"))
        return next(item["header"] for item in shown["timeline"] if item["type"] == "opened")


def logged(gateway, message):
    """The lines of a gateway's log with this message."""
    lines = (json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line["message"] == message]


class Session:
    """A session that stays open: psql, fed line by line."""

    def __init__(self, scene, command, variables):
        self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=variables, text=True, bufsize=1)
        self.last = ""
        scene.box.processes.append(self.process)
        self.lines = Lines(self.process.stdout)

    def ask(self, sql):
        """Runs a statement: what psql printed, or None when the session is gone."""
        try:
            self.process.stdin.write(f"{sql};\n\\echo ready\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        said = ""
        while not said.endswith("ready\n"):
            line = self.lines.next()
            if line is None:
                self.last = said
                return None
            said += line
        return said.removesuffix("ready\n").strip()

    def ends(self, after=0, sql="select 1"):
        """Asks until the session is gone, which must be soon, or soon after so many seconds: what was said at last."""
        deadline = time.monotonic() + after + END_SECONDS_MAX
        while True:
            said = self.ask(sql)
            if said is None or "connection to server was lost" in said:
                return said or self.last
            assert time.monotonic() < deadline, f"the session still lives: {said}"
            time.sleep(0.2)

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()


def clients():
    """Each database driver: its name, and the command before the two statements."""
    return {
        "psql": ["python3", "-B", HERE / "clients/psql_client.py"],
        "asyncpg": [drivers.python(), "-B", HERE / "clients/asyncpg_client.py"],
        "pgjdbc": drivers.java(HERE / "clients/Client.java", "java-idp"),
    }
