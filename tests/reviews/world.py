"""The demo with a policy that asks people, and people who answer. It drives the same pieces as tests/login does."""
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


login = load(HERE.parent / "login/world.py", "login_world")
until, Ran = login.until, login.Ran

POLICY = """
// Of tests/reviews.
@id("order-changes-need-two")
@review("reviewers:2; expires=10m")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.orders") };

@id("short-reviews")
@review("reviewers:1; expires=10s")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.staff") };

@id("reviews-in-transactions")
@review("reviewers:1, leads:1; in-transaction=allow")
forbid (principal in Group::"dbas", action == Action::"write", resource == Target::"shop")
when { context.relations_all.contains("public.products") };

@id("on-call-works")
@grant("reviewers:2; for=1h")
permit (principal in Group::"oncall", action in [Action::"connect", Action::"read", Action::"write", Action::"execute"], resource == Target::"shop");

@id("on-call-breaks-the-glass")
@grant("leads; for=10m; uses=3; at-once=allow")
permit (principal in Group::"oncall", action in [Action::"connect", Action::"read", Action::"write"], resource == Target::"shop");
"""

ACCOUNTS = {"rita": ["reviewers"], "rolf": ["reviewers", "leads", "dbas"], "lena": ["leads"], "mona": ["marketing"],
            "olga": ["oncall"], "omar": ["oncall"]}


class World(login.World):
    """The demo, changed."""

    def __init__(self, binary):
        super().__init__(binary, None)

    def start(self):
        # Once, so that the demo writes its files; then again with rules and people of our own.
        self.stop(self.serve())
        policy = self.data / "policy.cedar"
        policy.write_text(policy.read_text() + POLICY)
        self.config = self.data / "countersign.toml"
        # Who is on call works under the account of those who may change something: what they may, policy says.
        text = self.config.read_text()
        assert text.count('groups = ["dbas"]') == 1, text
        self.config.write_text(text.replace('groups = ["dbas"]', 'groups = ["dbas", "oncall"]'))
        self.gateway = self.serve()
        self.find_ports()
        for name, groups in ACCOUNTS.items():
            self.operate("accounts", "add", name, *[f"--group={g}" for g in groups]).exits(0)
        self.people = {name: self.person(name) for name in [*ACCOUNTS, "ana", "dora"]}

    def find_ports(self):
        text = self.config.read_text()
        api = re.search(r'\[api\]\s+address = "127\.0\.0\.1:(\d+)"', text).group(1)
        self.port = int(re.search(r'\[\[listener\]\][^\[]*?address = "127\.0\.0\.1:(\d+)"', text).group(1))
        self.url, self.ca = f"https://localhost:{api}", self.data / "gateway-ca.pem"

    def operate(self, *arguments):
        """A command of an operator, on the gateway's machine."""
        command = [self.binary, *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        return Ran(done)

    def person(self, name, suffix=""):
        person = login.Person(self, name + suffix)
        token = self.operate("token", name).exits(0).out.strip()
        where = ["--gateway", self.url, "--ca", self.ca]
        person.run("login", "--workload", *where, "--token-env", "TOKEN", env={"TOKEN": token}).exits(0)
        return person

    def restart(self):
        self.stop(self.gateway)
        before = self.url
        self.gateway = self.serve()
        self.find_ports()
        if self.url != before:
            # Somebody took its port meanwhile: the login is the same people's, at another address.
            self.people = {name: self.person(name, "again") for name in self.people}

    def ask(self, sql):
        """What the database itself says."""
        port = re.search(r"\[\[target\]\][^\[]*?port = (\d+)", self.config.read_text()).group(1)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        return self.direct(port, sql, environment)

    def direct(self, port, sql, environment):
        # By a read of ana's through the gateway: she may see orders, and nothing of hers is held.
        return self.people["ana"].run("exec", "shop", "-c", sql, "--output", "csv").exits(0).out.split("\n")[1].strip()

    def waits(self, who="dora"):
        """The ids of the reviews that wait, latest first."""
        said = self.people[who].run("reviews", "list", "--output", "json").exits(0).out
        return [r["id"] for r in json.loads(said)["reviews"]]


class Heard:
    """A program in the background: `said` grows as it speaks."""

    def __init__(self, process):
        self.process, self.said = process, ""
        self.readers = [threading.Thread(target=self.read, args=(s,), daemon=True) for s in (process.stdout, process.stderr)]
        for reader in self.readers:
            reader.start()

    def read(self, stream):
        while part := os.read(stream.fileno(), 65536):
            self.said += part.decode()

    def hears(self, *parts, seconds=30):
        until(f"it hears {parts}", lambda: all(p in self.said for p in parts) or None, seconds)
        return self

    def ends(self, code, *parts):
        self.process.wait(60)
        for reader in self.readers:
            reader.join(10)
        assert self.process.returncode == code, f"exit {self.process.returncode}: {self.said}"
        for part in parts:
            assert part in self.said, f"no {part!r} in: {self.said}"
        return self


class Held(Heard):
    """A client in the background whose statement waits."""

    def __init__(self, world, person, *command, env=None):
        self.world, self.person = world, person
        before = set(world.waits(person))
        super().__init__(world.people[person].start("connect", "shop", "--", *command, env=env))

        def waiting():
            assert self.process.poll() is None, f"it did not wait: {self.said}"
            return [r for r in world.waits(person) if r not in before]

        self.review = until("the statement waits", waiting, 60)[0]

    def waits(self):
        return self.process.poll() is None


def psql(world, sql, *more, person="dora"):
    return Held(world, person, "psql", "-X", "-v", "VERBOSITY=verbose", "-A", "-t", *[w for s in (sql, *more) for w in ("-c", s)])


def pause(seconds):
    time.sleep(seconds)
