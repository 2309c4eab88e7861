"""A throwaway sshd, a gateway before it, and OpenSSH clients of both."""
import base64
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
PASSWORD = "correct horse battery"
# Both ways the same, so that only the gateway makes a difference.
QUIET = ["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-F", "none"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class World:
    def __init__(self, binary):
        self.binary = str(Path(binary).resolve())
        self.folder = Path(tempfile.mkdtemp(prefix="countersign-ssh."))
        self.processes = []
        self.user = getpass.getuser()
        try:
            self.sshd()
            self.gateway()
        except BaseException:
            # Nothing that was started may stay behind.
            self.close()
            raise

    def close(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def keygen(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.folder / name], check=True)
        return (self.folder / f"{name}.pub").read_text().strip()

    def sshd(self):
        host, client, ours = self.keygen("host"), self.keygen("client"), self.keygen("account")
        self.keygen("host-authority")
        self.certify("host", self.folder / "host-cert.pub")
        # What the gateway's authority is comes later, and sshd reads it at each login.
        (self.folder / "user-ca.pub").touch()
        self.other_host = self.keygen("other-host")
        self.host_key = " ".join(host.split()[:2])
        keys = self.folder / "authorized_keys"
        keys.write_text(f"{client}\n{ours}\n")
        keys.chmod(0o600)
        self.sshd_port = free_port()
        config = self.folder / "sshd_config"
        config.write_text(
            f"""ListenAddress 127.0.0.1:{self.sshd_port}
HostKey {self.folder}/host
HostCertificate {self.folder}/host-cert.pub
TrustedUserCAKeys {self.folder}/user-ca.pub
LogLevel VERBOSE
AuthorizedKeysFile {keys}
PidFile {self.folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowUsers {self.user}
PermitUserEnvironment no
AcceptEnv LC_TEST LD_PRELOAD
AllowTcpForwarding yes
AllowAgentForwarding yes
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp
"""
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        self.start_sshd()
        known = f"[127.0.0.1]:{self.sshd_port} {self.host_key}\n"
        (self.folder / "known_direct").write_text(known)

    def start_sshd(self):
        log = open(self.folder / "sshd.log", "ab")
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", self.folder / "sshd_config"]
        self.sshd_process = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(self.sshd_process)
        until("sshd", lambda: self.listens(self.sshd_port))

    def restart_sshd(self):
        self.sshd_process.terminate()
        self.sshd_process.wait(10)
        self.start_sshd()

    def certify(self, key, file, *more):
        """A certificate of the hosts' authority, for the address and for a name."""
        subprocess.run(["ssh-keygen", "-q", "-s", self.folder / "host-authority", "-I", key, "-h", "-n", "127.0.0.1,web-signed",
                        *(more or ("-V", "-1h:+1h")), self.folder / f"{key}.pub"], check=True)
        made = self.folder / f"{key}-cert.pub"
        if made != file:
            made.rename(file)

    def listens(self, port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    # Of all logins but those that wait for a person.
    login_timeout_s = 8

    def gateway(self):
        self.port, self.api = free_port(), free_port()
        other = " ".join(self.other_host.split()[:2])
        authority = " ".join((self.folder / "host-authority.pub").read_text().split()[:2])
        by_key = 'key = { file = "account" }'
        target = lambda name, key, user, by=by_key: f"""
[[target]]
name = "{name}"
protocol = "ssh"
host = "127.0.0.1"
port = {self.sshd_port}
host_keys = ["{key}"]
record = "results"
labels = {{ kind = "server" }}

[[target.account]]
default = true
user = "{user}"
{by}
"""
        (self.folder / "countersign.toml").write_text(
            f"""[gateway]
data_dir = "data"
drain_timeout_s = 2
login_timeout_s = {self.login_timeout_s}

[[listener]]
protocol = "ssh"
address = "127.0.0.1:{self.port}"

[api]
address = "127.0.0.1:{self.api}"
tls = "generated"

[local_issuer]
audience = "countersign"

[policy]
files = ["policy.cedar"]

[vault]
key = {{ file = "vault.key" }}
{target("web-1", self.host_key, self.user)}
{target("swapped", other, self.user)}
{target("locked-out", self.host_key, "nobody")}
{target("signed", f"@cert-authority {authority}", self.user, "certificate = true")}
{target("signed-by-name", f"@cert-authority web-signed {authority}", self.user, "certificate = true")}
{target("signed-other-name", f"@cert-authority web-other {authority}", self.user, "certificate = true")}
{target("signed-other-authority", f"@cert-authority {other}", self.user, "certificate = true")}
{target("signed-nobody", f"@cert-authority {authority}", "nobody", "certificate = true")}
"""
        )
        shutil.copy(HERE / "policy.cedar", self.folder)
        self.run("credentials", "init-key", "vault.key")
        (self.folder / "user-ca.pub").write_text(self.run("credentials", "ssh-ca", "--config", "countersign.toml"))
        self.run("accounts", "add", "ana", "--kind", "machine", "--group", "ops", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "rita", "--kind", "human", "--group", "reviewers", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "pia", "--kind", "human", "--group", "ops", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "guest", "--kind", "machine", "--group", "guests", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "wanda", "--kind", "human", "--group", "guests", "--group", "reviewers", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "leaver", "--kind", "machine", "--group", "ops", "--secret-stdin", text=PASSWORD)
        self.run("accounts", "add", "robot", "--kind", "machine", "--secret-stdin", text=PASSWORD)
        self.start()
        askpass = self.folder / "askpass"
        askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$SSH_TEST_TOKEN"\n')
        askpass.chmod(0o700)
        self.tokens = {}

    def start(self):
        self.log = open(self.folder / "gateway.log", "ab")
        self.gateway_process = subprocess.Popen(
            [self.binary, "gateway", "--config", "countersign.toml"], cwd=self.folder, stdout=self.log, stderr=self.log
        )
        self.processes.append(self.gateway_process)
        until("the gateway", lambda: self.listens(self.port) or self.gateway_process.poll() is not None)
        assert self.gateway_process.poll() is None, (self.folder / "gateway.log").read_text()

    def run(self, *arguments, text=None):
        done = subprocess.run([self.binary, *arguments], cwd=self.folder, input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def token(self, who):
        if who not in self.tokens:
            self.tokens[who] = self.new_token(who)
        return self.tokens[who]

    def new_token(self, who):
        """One that nobody has used."""
        if who in ("rita", "wanda"):
            # A person's, whom the operator vouches for instead of a browser.
            return self.run("token", who, "--config", "countersign.toml").strip()
        basic = base64.b64encode(f"{who}:{PASSWORD}".replace(" ", "%20").encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}/token",
            b"grant_type=client_credentials",
            {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["access_token"]

    def home(self, who):
        """The environment of a machine where `who` has logged in, and OpenSSH's configuration there."""
        home = self.folder / f"home-{who}"
        environment = {**os.environ, "XDG_CONFIG_HOME": str(home), "HOME": str(home)}
        config = home / "ssh_config"
        if not config.exists():
            home.mkdir(mode=0o700)
            # The exchange binds its token to the key: it is of no use as a password any more.
            self.client(who, "login", "--workload", "--token-env", "T", "--gateway", f"https://localhost:{self.api}", "--ca",
                        str(self.folder / "data" / "gateway-ca.pem"), environment={**environment, "T": self.new_token(who)})
            config.write_text(self.client(who, "ssh-config", "web-1", "swapped", environment=environment))
        return environment, config

    def client(self, who, *arguments, environment=None):
        """Runs this program as `who` on their machine."""
        environment = environment or self.home(who)[0]
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def by_login(self, who, *command, options=(), target="web-1", stdin=b"", timeout=60):
        """ssh as it is configured after a login: nothing but the target's name."""
        environment, config = self.home(who)
        argv = ["ssh", "-F", config, "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", *options, target, *command]
        return subprocess.run(argv, input=stdin, capture_output=True, env=environment, timeout=timeout)

    def options(self, through):
        """What ssh, scp and sftp are told, with and without the gateway."""
        if not through:
            return [*QUIET, "-i", str(self.folder / "client"), "-o", f"UserKnownHostsFile={self.folder}/known_direct", "-o", "BatchMode=yes"]
        known = self.folder / "known_gateway"
        return [*QUIET, "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=accept-new", "-o", "PubkeyAuthentication=no",
                "-o", "NumberOfPasswordPrompts=1"]

    def environment(self, who="ana", **more):
        return {**os.environ, "SSH_ASKPASS": str(self.folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force",
                "SSH_TEST_TOKEN": self.token(who), "DISPLAY": "", "LC_TEST": "hello", **more}

    def where(self, through, who="ana", target="web-1"):
        """Port and destination."""
        return (self.port, f"{who}@{target}@127.0.0.1") if through else (self.sshd_port, f"{self.user}@127.0.0.1")

    def ssh(self, through, *command, who="ana", target="web-1", options=(), stdin=b"", token=None, timeout=60, args=()):
        port, destination = self.where(through, who, target)
        argv = ["ssh", *self.options(through), *options, "-p", str(port), *args, destination, *command]
        environment = self.environment(who)
        if token is not None:
            environment["SSH_TEST_TOKEN"] = token
        return subprocess.run(argv, input=stdin, capture_output=True, env=environment, timeout=timeout)

    def both(self, *command, **more):
        """The same through the gateway as without it: exit status, both outputs."""
        direct, through = (self.ssh(t, *command, **more) for t in (False, True))
        assert direct.returncode == through.returncode, (command, direct, through)
        assert direct.stdout == through.stdout, (command, direct.stdout[:300], through.stdout[:300])
        assert direct.stderr == through.stderr, (command, direct.stderr[:300], through.stderr[:300])
        return through

    def refused(self, *command, **more):
        done = self.ssh(True, *command, **more)
        assert done.returncode == 126, (command, done)
        assert b"countersign: " in done.stderr, (command, done)
        return done

    def recorded(self):
        """Every recorded entry, as exported."""
        return self.run("sessions", "list", "--config", "countersign.toml", "--output", "json", "--limit", "1000")
