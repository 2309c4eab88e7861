"""Receivers of notices that really listen, and two gateways that send to them. The gateways are those of tests/gateways."""
import base64
import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from standardwebhooks.webhooks import Webhook

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "conformance"))


def load(path, name):
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


gateways = load(ROOT / "gateways/run", "gateways")
harness, wire, until, held = gateways.harness, gateways.wire, gateways.until, gateways.held

gateways.POLICY += """
@id("staff-is-watched")
@alert("high")
permit (principal in Group::"dbas", action == Action::"read", resource == Target::"shop")
when { context.relations_all.contains("public.customers") };

@id("on-call-breaks-the-glass")
@grant("reviewers; for=10m; at-once=allow")
permit (principal in Group::"oncall", action in [Action::"connect", Action::"read"], resource == Target::"shop");
"""
harness.ACCOUNTS |= {"olga": {"groups": ["oncall"], "kind": "human"}}

WEBHOOK_SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
OLD_SECRET = "whsec_" + base64.b64encode(os.urandom(32)).decode()
SLACK_TOKEN = "xoxb-" + base64.b64encode(os.urandom(18)).decode().replace("/", "x").replace("+", "x")
MAIL_PASSWORD = "mail-" + base64.b64encode(os.urandom(18)).decode()
PATH_SECRET = base64.b16encode(os.urandom(12)).decode()


class Hooks:
    """A web server: what each path was sent. A path that is down answers 503."""

    def __init__(self):
        self.sent, self.down, self.port = [], set(), None
        self.slack_ts = 1000
        self.open()

    def open(self):
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                name = self.path.split("?")[0].strip("/").split("/")[0]
                status, answer = hooks.take(name, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port or 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self, name, path, headers, body):
        if name in self.down:
            return 503, b"secret words of the receiver"
        entry = {"name": name, "path": path, "headers": {k.lower(): v for k, v in headers.items()}, "text": body.decode(), "body": json.loads(body)}
        if name == "hook":
            # The reference library: raises when the signature or the time is wrong.
            Webhook(WEBHOOK_SECRET).verify(body, entry["headers"])
            Webhook(OLD_SECRET).verify(body, entry["headers"])
        if name == "slack":
            assert entry["headers"]["authorization"] == f"Bearer {SLACK_TOKEN}", "the bot's token"
            self.slack_ts += 1
            entry["ts"] = entry["body"].get("ts") or f"{self.slack_ts}.5"
            self.sent.append(entry)
            return 200, json.dumps({"ok": True, "channel": "C0DBA", "ts": entry["ts"]}).encode()
        self.sent.append(entry)
        return 200, b""

    def of(self, name, kind=None, about=""):
        return [s for s in self.sent if s["name"] == name and about in s["text"] and kind in (None, s["body"].get("type"))]


class Mailbox:
    """An SMTP server with STARTTLS that takes one login."""

    def __init__(self, folder, certificate, key):
        self.mails = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        mailbox = self

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                mailbox.mails.append((envelope, session.ssl is not None, session.authenticated))
                return "250 taken"

        def authenticator(server, session, envelope, mechanism, data):
            good = (data.login, data.password) == (b"gw", MAIL_PASSWORD.encode())
            return AuthResult(success=good)

        class TlsController(Controller):
            def factory(self):
                return SMTP(self.handler, require_starttls=True, tls_context=context, authenticator=authenticator, auth_required=True)

        self.controller = TlsController(Handler(), hostname="127.0.0.1", port=harness.free_port())
        self.controller.start()
        self.port = self.controller.port


RECEIVERS = """
[[receiver]]
name = "hook"
kind = "webhook"
url = {{ file = "hook.url" }}
secret = {{ env = "HOOK_SECRET" }}
previous_secret = {{ env = "OLD_SECRET" }}
max_per_minute = 600

[[receiver]]
name = "slack"
kind = "slack"
token = {{ env = "SLACK_TOKEN" }}
channel = "C0DBA"
api_url = "http://127.0.0.1:{hooks}/slack"
kinds = ["review.asked", "review.answered", "review.expired", "review.withdrawn", "grant.asked", "grant.break-glass"]
groups = ["reviewers"]
text = "shape"
max_per_minute = 600

[[receiver]]
name = "teams"
kind = "teams"
url = {{ file = "teams.url" }}
kinds = ["review.asked"]
targets = ["sh*"]
max_per_minute = 600

[[receiver]]
name = "mail"
kind = "email"
host = "localhost"
port = {mail}
username = "gw"
password = {{ env = "MAIL_PASSWORD" }}
from = "Countersign <gw@example.org>"
to = ["dba@example.org", "Ops <ops@example.org>"]
ca = "mail.pem"
kinds = ["review.asked", "alert"]
max_per_minute = 600

[[receiver]]
name = "elsewhere"
kind = "teams"
url = {{ file = "teams.url" }}
targets = ["other-*"]
"""


class Member(gateways.Member):
    def write_configuration(self, *arguments):
        super().write_configuration(*arguments)
        fleet = self.fleet
        for name in ("hook", "teams"):
            path = self.folder / f"{name}.url"
            path.write_text(f"http://127.0.0.1:{fleet.hooks.port}/{name}/{PATH_SECRET}\n")
            path.chmod(0o600)
        (self.folder / "mail.pem").write_text(fleet.certificate.read_text())
        with open(self.config, "a", encoding="utf-8") as config:
            config.write(RECEIVERS.format(hooks=fleet.hooks.port, mail=fleet.mailbox.port))
        self.environment |= {"HOOK_SECRET": WEBHOOK_SECRET, "OLD_SECRET": OLD_SECRET, "SLACK_TOKEN": SLACK_TOKEN, "MAIL_PASSWORD": MAIL_PASSWORD}


class Fleet(gateways.Fleet):
    """Two gateways over one store, and their receivers."""

    def __init__(self, binary):
        self.hooks = Hooks()
        real, gateways.Member = gateways.Member, lambda fleet, name, first=None: self.member(name, first)
        try:
            super().__init__(binary)
        finally:
            gateways.Member = real

    def member(self, name, first):
        if first is None:
            self.mailbox = Mailbox(self.box.path, self.certificate, self.key)
        return Member(self, name, first)

    def notices(self, query=""):
        return self.one.call("lars", "GET", f"/v1/notices{query}")[1]

    def logs(self):
        return "".join(g.log.read_text(errors="replace") for g in (self.one, self.two))


@contextlib.contextmanager
def down(hooks, name):
    hooks.down.add(name)
    try:
        yield
    finally:
        hooks.down.discard(name)
