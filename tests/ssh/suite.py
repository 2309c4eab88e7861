#!/usr/bin/env python3
"""SSH end to end: suite.py BINARY [NAME…]. The last line is "N passed, N failed"."""
import base64
import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time
import traceback
from pathlib import Path

import certificates
import screens
import signin
import watching
from world import World, until

CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def exec_gives_the_same(world):
    for command in ["echo ready", "true", "false", "exit 7", "echo out; echo err >&2; exit 3", "cat /etc/hostname", "echo $((1 + 2))",
                    "printf 'a\\0b\\377'", "cd / && pwd", "kill -TERM $$", "sh -c 'kill -KILL $$'", "echo \"quoted 'text'\" | wc -c"]:
        if "kill" in command:
            # Its program is one that administers.
            world.refused(command)
        else:
            world.both(command)


@case
def signals_that_end_a_program_come_through(world):
    direct, through = (world.ssh(t, "python3 -c 'import os; os.kill(os.getpid(), 9)'; exit 5") for t in (False, True))
    assert direct.returncode == through.returncode == 5, (direct, through)
    direct, through = (world.ssh(t, "exec python3 -c 'import os; os.kill(os.getpid(), 15)'") for t in (False, True))
    assert direct.returncode == through.returncode, (direct, through)


@case
def megabytes_go_both_ways(world):
    data = os.urandom(24 << 20)
    assert world.ssh(True, "sha256sum", stdin=data).stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert world.ssh(True, "cat", stdin=data, timeout=120).stdout == data, "an echo of everything, both ways at once"
    assert len(world.ssh(True, "head -c 30000000 /dev/zero").stdout) == 30_000_000


@case
def many_channels_on_one_connection(world):
    socket = world.folder / "mux"
    options = ["-o", f"ControlPath={socket}"]
    port, destination = world.where(True)
    master = subprocess.Popen(["ssh", *world.options(True), *options, "-M", "-N", "-p", str(port), destination], env=world.environment(),
                              stdin=subprocess.DEVNULL)
    try:
        until("the master", socket.exists)
        running = [subprocess.Popen(["ssh", *world.options(True), *options, "-p", str(port), destination, f"sleep 0.2; echo {n}"],
                                    stdout=subprocess.PIPE, env=world.environment()) for n in range(20)]
        assert sorted(int(p.communicate(timeout=60)[0]) for p in running) == list(range(20))
        # Each is an action of its own, also behind one that was allowed.
        done = subprocess.run(["ssh", *world.options(True), *options, "-p", str(port), destination, "shutdown now"], capture_output=True,
                              env=world.environment())
        assert done.returncode == 126 and b"no-shutdown" in done.stderr, done
    finally:
        master.terminate()
        master.wait(10)


def sftp(world, commands, who="ana"):
    """A batch, whose first refusal ends it. It would ask for no password, so that it goes over a connection that is there."""
    batch, socket = world.folder / "batch", world.folder / f"mux-{who}"
    batch.write_text(commands)
    port, destination = world.where(True, who)
    shared = [*world.options(True), "-o", f"ControlPath={socket}"]
    master = subprocess.Popen(["ssh", *shared, "-M", "-N", "-p", str(port), destination], env=world.environment(who), stdin=subprocess.DEVNULL)
    try:
        until("the master", socket.exists)
        return subprocess.run(["sftp", *shared, "-P", str(port), "-o", f"User={who}@web-1", "-b", str(batch), "127.0.0.1"],
                              capture_output=True, env=world.environment(who), timeout=60)
    finally:
        # OpenSSH 9.2 now and then sleeps through a SIGTERM that comes just before it waits; nothing is left to say goodbye to.
        master.kill()
        master.wait(30)
        socket.unlink(missing_ok=True)


@case
def adv_051_each_file_is_under_policy(world):
    done = sftp(world, f"put {world.folder}/account.pub /etc/../etc//countersign-test\n")
    assert done.returncode != 0 and b"Permission denied" in done.stderr, done
    assert not os.path.exists("/etc/countersign-test")
    done = sftp(world, f"-put {world.folder}/account.pub /etc/countersign-test\nput {world.folder}/account.pub {world.folder}/allowed\n")
    assert done.returncode == 0 and (world.folder / "allowed").exists(), ("the transfer goes on behind a refusal", done)


@case
def adv_051_files_are_transferred_the_same(world):
    data, port = world.folder / "data.bin", str(world.port)
    data.write_bytes(os.urandom(5 << 20))
    for legacy in ([], ["-O"]):
        copy, back = world.folder / f"copy{len(legacy)}", world.folder / f"back{len(legacy)}"
        for source, destination in ((str(data), f"scp://ana%40web-1@127.0.0.1:{port}/{copy}"), (f"scp://ana%40web-1@127.0.0.1:{port}/{copy}", str(back))):
            done = subprocess.run(["scp", *world.options(True), *legacy, source, destination], capture_output=True, env=world.environment(), timeout=60)
            assert done.returncode == 0, (legacy, done)
        assert back.read_bytes() == data.read_bytes()
    done = sftp(world, f"mkdir {world.folder}/sftp\nput {data} {world.folder}/sftp/a\nrename {world.folder}/sftp/a {world.folder}/sftp/b\n"
                f"chmod 600 {world.folder}/sftp/b\nls {world.folder}/sftp\nget {world.folder}/sftp/b {world.folder}/sftp-back\n"
                f"rm {world.folder}/sftp/b\nrmdir {world.folder}/sftp\n")
    assert done.returncode == 0, done
    assert (world.folder / "sftp-back").read_bytes() == data.read_bytes()


@case
def rsync_and_git_work(world):
    if not shutil.which("rsync") or not shutil.which("git"):
        raise AssertionError("rsync or git is missing")
    source, mirror = world.folder / "tree", world.folder / "mirror"
    (source / "deep").mkdir(parents=True)
    for n in range(50):
        (source / "deep" / f"f{n}").write_bytes(os.urandom(10_000))
    shell = " ".join(["ssh", *world.options(True), "-p", str(world.port), "-l", "ana@web-1"])
    done = subprocess.run(["rsync", "-a", "-e", shell, f"{source}/", f"127.0.0.1:{mirror}/"], capture_output=True, env=world.environment(), timeout=60)
    assert done.returncode == 0, done
    assert subprocess.run(["diff", "-r", source, mirror]).returncode == 0
    repository = world.folder / "repository"
    git = lambda *a, **k: subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *a], check=True, capture_output=True, **k)
    git("init", "-q", "--bare", str(repository))
    git("init", "-q", str(source))
    git("add", ".", cwd=source)
    git("commit", "-qm", "one", cwd=source)
    environment = world.environment(GIT_SSH_COMMAND=shell, GIT_SSH_VARIANT="ssh")
    git("push", "-q", f"127.0.0.1:{repository}", "HEAD:main", cwd=source, env=environment)
    git("clone", "-q", "-b", "main", f"127.0.0.1:{repository}", str(world.folder / "clone"), env=environment)
    assert (world.folder / "clone" / "deep" / "f1").exists()


@case
def adv_052_forwarding_is_refused(world):
    port, destination = world.where(True)
    run = lambda *a: subprocess.run(["ssh", *world.options(True), "-p", str(port), *a], capture_output=True, env=world.environment(), timeout=60)
    done = run("-W", f"127.0.0.1:{world.sshd_port}", destination)
    assert done.returncode != 0 and b"SSH-2.0" not in done.stdout, done
    # Asked for before the session was even open, and in its record all the same.
    until("the record", lambda: "forwarding of a TCP port is not allowed" in world.run("sessions", "show", session_of(world), "--config", "countersign.toml"))
    done = run("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", destination, "true")
    assert done.returncode != 0, done
    done = run("-w", "any:any", "-o", "ExitOnForwardFailure=yes", destination, "true")
    assert done.returncode != 0, done
    control = subprocess.run(["ssh", *world.options(False), "-p", str(world.sshd_port), "-W", f"127.0.0.1:{world.sshd_port}",
                              f"{world.user}@127.0.0.1"], input=b"", capture_output=True, timeout=60)
    assert b"SSH-2.0" in control.stdout, "without the gateway it works"


@case
def adv_053_agents_and_displays_are_not_forwarded(world):
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(world.folder / "agent")], stdout=subprocess.DEVNULL)
    try:
        until("the agent", (world.folder / "agent").exists)
        environment = world.environment(SSH_AUTH_SOCK=str(world.folder / "agent"))
        port, destination = world.where(True)
        done = subprocess.run(["ssh", *world.options(True), "-A", "-p", str(port), destination, "echo \"[$SSH_AUTH_SOCK]\""],
                              capture_output=True, env=environment, timeout=60)
        assert done.stdout == b"[]\n", done
    finally:
        agent.terminate()


@case
def adv_054_environment_and_unknown_subsystems_do_not_pass(world):
    direct, through = (world.ssh(t, "echo \"[$LC_TEST]\"", options=["-o", "SendEnv=LC_TEST"]) for t in (False, True))
    assert direct.stdout == b"[hello]\n" and through.stdout == b"[]\n", (direct, through)
    world.refused("netconf", args=["-s"])


@case
def adv_055_a_machine_runs_what_is_listed_and_gets_no_terminal(world):
    world.both("echo ready", who="robot")
    world.both("'echo'  ready", who="robot")
    for command in ["echo ready; id", "echo ready now", "sh -c 'echo ready'", "echo $(echo ready)", "id", "bash", "echo ready > x"]:
        world.refused(command, who="robot")
    world.refused("echo ready", who="robot", args=["-tt"])
    world.refused(who="robot")
    # The subsystem itself does nothing, and each of its requests is refused.
    done = sftp(world, f"put {world.folder}/account.pub /tmp/x\n", who="robot")
    assert done.returncode != 0 and b"denied" in (done.stdout + done.stderr).lower(), done


@case
def adv_056_texts_are_read_whole_or_refused(world):
    mark = world.folder / "mark"
    for command in [f"true;shutdown {mark}", "true && shutdown", "echo $(shutdown)", "echo `shutdown`", "true\nshutdown", "sh -c 'shutdown'",
                    "'shut'down", "s\\hutdown", "env shutdown", "echo x | xargs shutdown", "find / -maxdepth 0 -exec shutdown {} ;".replace(";", "\\;"),
                    "eval shutdown", "if true; then shutdown; fi", "cat <<E\n$(shutdown)\nE\n"]:
        assert b"no-shutdown" in world.refused(command).stderr, command
    for command in ["$(echo shutdown)", "X=shutdown; $X", "s?utdown", "sh\u200butdown", "ls;;", "'open", "source x", "PATH=/tmp ls"]:
        assert b"cannot judge" in world.refused(command).stderr, command


@case
def adv_059_a_shell_is_one_recorded_action(world):
    done = world.ssh(True, stdin=b"echo from a shell\nexit 4\n", args=["-T"])
    assert done.returncode == 4 and done.stdout == b"from a shell\n", done
    done = world.ssh(True, stdin=b"tty; exit 6\n", args=["-tt"], timeout=30)
    assert done.returncode == 6 and b"/dev/pts/" in done.stdout, done


class Typing:
    """An interactive ssh in a terminal of its own."""

    def __init__(self, world, *more):
        environment, config = world.home("ana")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            argv = ["ssh", "-F", str(config), "-o", "LogLevel=ERROR", *more, "-tt", "web-1"]
            os.execvpe("ssh", argv, {**environment, "TERM": "xterm", "PS1": "$ "})
        self.size(30, 100)
        self.said = b""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            while part := os.read(self.fd, 65536):
                self.said += part
        except OSError:
            pass

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def types(self, text, answer):
        before = len(self.said)
        os.write(self.fd, text)
        until(f"{answer} after {text}", lambda: answer in self.said[before:])

    def ends(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def session_of(world):
    """The latest session of ana's on web-1."""
    listed = json.loads(world.run("sessions", "list", "--config", "countersign.toml", "--identity", "ana", "--target", "web-1", "--limit", "1",
                                  "--output", "json"))
    return listed["sessions"][0]["id"]


@case
def adv_057_keys_change_no_verdict_and_are_recorded(world):
    socket = ["-o", f"ControlPath={world.folder}/typing-mux"]
    shell = Typing(world, *socket, "-o", "ControlMaster=yes")
    shell.types(b"echo begin-$((1+1))\n", b"begin-2")
    # A line that is taken back, one from the history, one that is completed, one that is pasted, and one under another size.
    shell.types(b"echo never-seen\x03", b"^C")
    shell.types(b"\x1b[A\n", b"begin-2")
    shell.types(b"cat /etc/host\tname\n", Path("/etc/hostname").read_bytes().strip())
    shell.types(b"\x1b[200~echo paste-$((2+2))\x1b[201~\n", b"paste-4")
    shell.size(41, 133)
    shell.types(b"stty size\n", b"41 133")
    # Whatever was typed there: what is asked for beside it is judged as it stands.
    for text, rule in [("shutdown", b"no-shutdown"), ("true;shutdown", b"no-shutdown"), ("shut\x03down", b"cannot judge"), ("\x1b[Ashutdown", b"cannot judge")]:
        done = world.by_login("ana", text, options=socket)
        assert done.returncode == 126 and rule in done.stderr, (text, done)
    os.write(shell.fd, b"exit 5\n")
    assert shell.ends() == 5, shell.said[-500:]
    until("the session's end", lambda: "client" in world.run("sessions", "show", session_of(world), "--config", "countersign.toml"))
    cast = [json.loads(line) for line in world.run("sessions", "export", "--config", "countersign.toml", "--session", session_of(world), "--format",
                                                   "asciicast", "--action", "2").splitlines()]
    header, events = cast[0], cast[1:]
    assert header["version"] == 3 and header["term"] == {"cols": 100, "rows": 30}, header
    of = lambda code: "".join(e[2] for e in events if e[1] == code)
    assert "\x03" in of("i") and "never-seen" in of("i") and "begin-2" in of("o") and of("r") == "133x41" and of("x") == "5", events[:20]


@case
def adv_058_escape_sequences_are_inert_for_whoever_looks_later(world):
    hostile = b"\x1b]52;c;cm0gLXJmIC8=\x07\x1b[8mhidden\x1b[0m\x1b[2J\x9b31m</script>\r\xe2\x80\xae\n"
    (world.folder / "hostile").write_bytes(hostile)
    done = world.both(f"cat {world.folder}/hostile")
    assert done.stdout == hostile, "who runs it gets what it says"
    until("its end", lambda: "done" in world.run("sessions", "show", session_of(world), "--config", "countersign.toml"))
    session = session_of(world)
    for verb in (["show"], ["replay", "--speed", "0"]):
        shown = world.run("sessions", *verb, session, "--config", "countersign.toml")
        assert all(c == "\n" or c.isprintable() for c in shown), (verb, shown)
    assert "hidden" in shown and "]52;" in shown, shown
    for form in ("jsonl", "csv", "asciicast"):
        text = world.run("sessions", "export", "--config", "countersign.toml", "--session", session, "--format", form)
        assert all(c in "\n\r" or c.isprintable() for c in text), form
    assert any("\x1b]52;c;" in json.loads(line)[2] for line in text.splitlines()[1:]), text
    kept = [json.loads(l) for l in world.run("sessions", "export", "--config", "countersign.toml", "--session", session).splitlines()]
    assert any(base64.b64decode(r["bytes_base64"]) == b"o" + hostile for r in kept if r["type"] == "output"), "the bytes themselves are kept"


@case
def adv_059_each_channel_is_authorised_and_recorded(world):
    socket = ["-o", f"ControlPath={world.folder}/each-mux"]
    environment, config = world.home("ana")
    master = subprocess.Popen(["ssh", "-F", config, *socket, "-o", "RekeyLimit=1M", "-M", "-N", "web-1"], env=environment, stdin=subprocess.DEVNULL)
    try:
        until("the master", (world.folder / "each-mux").exists)
        shell = world.by_login("ana", options=[*socket, "-T"], stdin=b"echo first\n")
        assert shell.stdout == b"first\n", shell
        # Many rekeys in between, both ways.
        data = os.urandom(12 << 20)
        assert world.by_login("ana", "cat", options=socket, stdin=data).stdout == data
        for text in ("shutdown", "true && shutdown"):
            done = world.by_login("ana", text, options=socket)
            assert done.returncode == 126 and b"no-shutdown" in done.stderr, done
        done = world.by_login("ana", "netconf", options=[*socket, "-s"])
        assert done.returncode != 0 and b"no-unknown-subsystems" in done.stderr, done
        assert world.by_login("ana", "echo last", options=socket).stdout == b"last\n"
    finally:
        master.terminate()
        master.wait(20)
    shown = world.run("sessions", "show", session_of(world), "--config", "countersign.toml")
    for part in ("shutdown", "true && shutdown", "echo last", "no-shutdown", "subsystem", "shell"):
        assert part in shown, (part, shown)


@case
def adv_060_key_exchange_is_strict_and_new(world):
    port, destination = world.where(True)
    done = subprocess.run(["ssh", *world.options(True), "-vvv", "-p", str(port), destination, "true"], capture_output=True,
                          env=world.environment(), timeout=60)
    assert done.returncode == 0 and b"will use strict KEX ordering" in done.stderr, done.stderr[-3000:]
    offered = next(l for l in done.stderr.decode().split("peer server KEXINIT proposal")[1].splitlines() if "KEX algorithms" in l)
    assert offered.split("KEX algorithms: ")[1].startswith("mlkem768x25519-sha256,"), offered


@case
def adv_060_a_changed_host_key_is_refused(world):
    done = world.refused("echo ready", target="swapped")
    assert b"does not have the host key" in done.stderr, done


@case
def adv_060_weak_algorithms_are_not_spoken(world):
    port, destination = world.where(True)
    for option in ["KexAlgorithms=diffie-hellman-group14-sha1", "KexAlgorithms=diffie-hellman-group14-sha256", "Ciphers=aes128-cbc", "Ciphers=chacha20-poly1305@openssh.com",
                   "MACs=hmac-sha1",
                   "HostKeyAlgorithms=ssh-rsa"]:
        ciphers = ["-o", "Ciphers=aes256-ctr"] if option.startswith("MACs") else []
        before = len((world.folder / "gateway.log").read_bytes())
        # The first value of an option counts, and OpenSSH tells of a failed negotiation at INFO only.
        done = subprocess.run(["ssh", "-o", "LogLevel=INFO", *world.options(True), *ciphers, "-o", option, "-p", str(port), destination, "true"],
                              capture_output=True, env=world.environment(), timeout=60)
        assert done.returncode == 255 and b"ermission denied" not in done.stderr, (option, done)
        # Whichever side finds it out first hangs up, and only that one can name the cause.
        if b"no matching" not in done.stderr:
            until(f"a refusal of {option}; the client said {done.stderr}",
                  lambda: b"No common" in (world.folder / "gateway.log").read_bytes()[before:])


@case
def a_login_s_certificate_needs_no_password_and_no_question(world):
    done = world.by_login("ana", "echo ready; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"ready\n", b""), done
    _, config = world.home("ana")
    for tool in (["scp", "-F", config, "web-1:/etc/hostname", world.folder / "copied"], ["sftp", "-F", config, "-b", "/dev/null", "web-1"]):
        subprocess.run(tool, check=True, capture_output=True, env=world.home("ana")[0], timeout=60)
    assert (world.folder / "copied").read_text() == Path("/etc/hostname").read_text()
    # The gateway proves itself by its authority: another one's is refused, and nobody is asked.
    other = world.folder / "other-authority"
    other.write_text(f"@cert-authority [localhost]:{world.port} {world.other_host}\n")
    done = world.by_login("ana", "true", options=["-o", f"UserKnownHostsFile={other}"])
    assert done.returncode == 255 and b"Host key verification failed" in done.stderr, done
    for line in config.read_text().splitlines():
        assert "accept-new" not in line and "StrictHostKeyChecking no" not in line


@case
def paramiko_works(world):
    import paramiko
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    kept = next((Path(world.home("ana")[1]).parent / "countersign").glob("localhost_*"))
    # Of the forms of a private key it reads OpenSSH's and OpenSSL's old one, and the login's is PKCS #8.
    private = load_pem_private_key((kept / "key.pem").read_bytes(), None)
    key = paramiko.ECDSAKey(vals=(private, private.public_key()))
    key.load_certificate(str(kept / "ssh-certificate.pub"))
    for credentials in ({"pkey": key}, {"password": world.token("ana")}):
        client = paramiko.SSHClient()
        # It knows no authorities of hosts.
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect("127.0.0.1", world.port, "ana@web-1", look_for_keys=False, allow_agent=False, **credentials)
        _, out, err = client.exec_command("cat; echo err >&2; exit 7")
        out.channel.sendall(b"typed")
        out.channel.shutdown_write()
        assert (out.read(), err.read(), out.channel.recv_exit_status()) == (b"typed", b"err\n", 7)
        _, out, err = client.exec_command("shutdown")
        assert out.channel.recv_exit_status() == 126 and b"no-shutdown" in err.read()
        files = client.open_sftp()
        data = os.urandom(300_000)
        with files.open(f"{world.folder}/by-paramiko", "wb") as f:
            f.write(data)
        assert (world.folder / "by-paramiko").read_bytes() == data
        files.remove(f"{world.folder}/by-paramiko")
        shell = client.invoke_shell(width=91, height=33)
        shell.sendall(b"stty size; exit\n")
        said = b""
        while part := shell.recv(4096):
            said += part
        assert b"33 91" in said, said
        client.close()


@case
def ansible_works(world):
    environment, config = world.home("ana")
    ansible = Path(sys.executable).parent / "ansible"
    more = {"ANSIBLE_SSH_ARGS": f"-F {config}", "ANSIBLE_HOST_KEY_CHECKING": "True", "ANSIBLE_LOCAL_TEMP": str(world.folder / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(world.folder / "ansible-there"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(world.folder / "ansible-home")}
    source = world.folder / "by-ansible"
    source.write_text("carried")
    for module, arguments in [("ping", ""), ("copy", f"src={source} dest={world.folder}/by-ansible-there")]:
        done = subprocess.run([ansible, "web-1", "-i", "web-1,", "-m", module, "-a", arguments, "-e", "ansible_python_interpreter=/usr/bin/python3"],
                              stdin=subprocess.DEVNULL, capture_output=True, env={**environment, **more}, timeout=120)
        assert done.returncode == 0, (module, done.stdout[-2000:], done.stderr[-2000:])
    assert (world.folder / "by-ansible-there").read_text() == "carried"


@case
def adv_060_certificates_of_others_are_refused(world):
    _, config = world.home("ana")
    kept = next((world.folder / "home-ana" / "countersign").glob("localhost_*"))
    # ana's own key, certified by somebody else, with everything else as it should be.
    thief = world.folder / "thief"
    shutil.copytree(kept, thief)
    authority = world.keygen("thief-authority") and world.folder / "thief-authority"
    public = thief / "x.pub"
    shutil.copy(thief / "key.pem.pub", public)
    login = subprocess.run(["ssh-keygen", "-L", "-f", kept / "ssh-certificate.pub"], capture_output=True, text=True, check=True).stdout
    assert "by login" in login and "user certificate" in login, login
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "ana by login", "-n", "ana", "-V", "+1h", public], check=True)
    certified = ["-o", f"CertificateFile={thief}/x-cert.pub", "-o", f"IdentityFile={kept}/key.pem"]
    # What was given last counts first, so that the configuration's own certificate must go.
    plain = world.folder / "plain_config"
    plain.write_text("".join(l for l in config.read_text().splitlines(True) if "CertificateFile" not in l))
    environment = world.home("ana")[0]
    run = lambda *more: subprocess.run(["ssh", "-F", plain, "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", *more, "web-1", "echo ready"],
                                       capture_output=True, env=environment, timeout=60)
    assert run("-o", f"CertificateFile={kept}/ssh-certificate.pub").stdout == b"ready\n", "the control"
    for what in (certified, []):
        done = run(*what)
        assert done.returncode == 255 and b"ermission denied" in done.stderr, (what, done)
    # A certificate is good under its own name alone.
    done = world.by_login("ana", "true", options=["-o", "User=robot@web-1"])
    assert done.returncode == 255 and b"ermission denied" in done.stderr, done


def at_target(mark):
    """The processes whose command line holds this, as the target's own machine has them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and b"ssh" not in words[0]:
            found.append(folder.name)
    return found


class Reading(threading.Thread):
    """Reads all that comes, and remembers when the last of it came."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.bytes, self.last, self.said = stream, 0, 0.0, b""
        self.start()

    def run(self):
        while part := os.read(self.stream.fileno(), 1 << 16):
            self.bytes, self.last = self.bytes + len(part), time.monotonic()
            self.said = (self.said + part)[-4096:]


@case
def adv_006_a_lock_ends_what_runs_and_its_process(world):
    # An odd size, so that it is found again among the machine's processes.
    mark = "bs=65537"
    environment, config = world.home("ana")
    streaming = ["ssh", "-F", config, "-o", "BatchMode=yes", "web-1", f"dd if=/dev/zero {mark} status=none"]
    sleeping = ["ssh", "-F", config, "-o", "BatchMode=yes", "web-1", "cat", "-", mark]
    running = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) for c in (streaming, sleeping)]
    out, err = Reading(running[0].stdout), Reading(running[0].stderr)
    until("the bytes", lambda: out.bytes > 10_000_000)
    until("both at the target", lambda: len(at_target(mark)) >= 2)
    before = time.monotonic()
    lock = json.loads(world.run("locks", "add", "--identity", "ana", "--reason", "the drill", "--yes", "--config", "countersign.toml", "--output", "json"))["locks"][0]
    for process in running:
        process.wait(20)
    out.join(10), err.join(10)
    print(f"    the last byte came {out.last - before:.2f} s after the lock was asked for")
    assert out.last - before < 3, "a second, and what starting a program on a busy machine takes"
    assert b"locked out" in err.said and lock["id"].encode() in err.said, err.said
    assert running[0].returncode in (137, 255), running[0].returncode
    until("nothing at the target", lambda: not at_target(mark), 5)
    done = world.by_login("ana", "true")
    assert done.returncode != 0, "nobody comes in through a lock"
    world.run("locks", "remove", lock["id"], "--reason", "over", "--config", "countersign.toml")
    until("ana is let in again", lambda: world.by_login("ana", "true").returncode == 0)


def held(world, text, *more):
    """An exec that waits, and its review."""
    environment, config = world.home("ana")
    process = subprocess.Popen(["ssh", "-F", config, "-o", "BatchMode=yes", *more, "web-1", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment)
    err = Reading(process.stderr)
    until("it waits", lambda: b"waits for review" in err.said or process.poll() is not None)
    assert process.poll() is None, err.said
    return process, err, re.search(rb"review (01[0-9A-Z]+)", err.said).group(1).decode()


@case
def a_held_command_runs_when_somebody_approves_it(world):
    process, err, review = held(world, "printf restarted")
    shown = world.client("rita", "reviews", "show", review)
    assert "printf restarted" in shown and "ana" in shown, shown
    # Other sessions go on, and what waits does not run meanwhile.
    assert world.by_login("ana", "echo ready").stdout == b"ready\n"
    assert process.poll() is None
    world.client("rita", "reviews", "approve", review, "--comment", "go")
    assert process.wait(30) == 0, err.said
    assert process.stdout.read() == b"restarted"
    assert "used" in world.client("rita", "reviews", "show", review)


@case
def a_held_command_that_is_denied_says_why(world):
    process, err, review = held(world, "printf restarted-no")
    world.client("rita", "reviews", "deny", review, "--comment", "not on a Friday")
    assert process.wait(30) == 126, err.said
    err.join(10)
    assert b"not on a Friday" in err.said and process.stdout.read() == b"", err.said


@case
def a_held_command_is_taken_back_with_its_client(world):
    process, _, review = held(world, "printf restarted-gone")
    process.terminate()
    process.wait(20)
    until("it is withdrawn", lambda: "withdrawn" in world.client("rita", "reviews", "show", review))
    done = subprocess.run([world.binary, "reviews", "approve", review], capture_output=True, env=world.home("rita")[0], timeout=60)
    assert done.returncode != 0


@case
def other_channels_go_on_while_one_waits(world):
    socket = ["-o", f"ControlPath={world.folder}/held-mux"]
    environment, config = world.home("ana")
    master = subprocess.Popen(["ssh", "-F", config, *socket, "-M", "-N", "web-1"], env=environment, stdin=subprocess.DEVNULL)
    try:
        until("the master", (world.folder / "held-mux").exists)
        process, err, review = held(world, "printf restarted-mux", *socket)
        assert world.by_login("ana", "echo beside", options=socket).stdout == b"beside\n"
        world.client("rita", "reviews", "approve", review)
        assert process.wait(30) == 0 and process.stdout.read() == b"restarted-mux", err.said
    finally:
        master.terminate()
        master.wait(20)


@case
def what_a_login_opened_ends_with_it(world):
    environment, config = world.home("leaver")
    running = subprocess.Popen(["ssh", "-F", config, "-o", "BatchMode=yes", "web-1", "echo ready; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment)
    assert running.stdout.readline() == b"ready\n"
    # Its input stays open: `cat` ends by nothing but the gateway.
    kept = next((world.folder / "home-leaver" / "countersign").glob("localhost_*"))
    stolen = world.folder / "stolen"
    shutil.copytree(kept, stolen)
    world.client("leaver", "logout")
    assert running.wait(30) != 0
    err = running.stderr.read()
    assert b"login has ended" in err, err
    port, destination = world.where(True, "leaver")
    done = subprocess.run(["ssh", *world.options(True), "-o", "PubkeyAuthentication=yes", "-o", "BatchMode=yes", "-i", stolen / "key.pem", "-o",
                           f"CertificateFile={stolen}/ssh-certificate.pub", "-p", str(port), destination, "true"], capture_output=True, timeout=60)
    assert done.returncode == 255 and b"ermission denied" in done.stderr, done


@case
def who_is_not_known_gets_no_further(world):
    for more in ({"token": "nonsense"}, {"token": world.token("robot")}):
        done = world.ssh(True, "true", **more)
        assert done.returncode == 255 and b"ermission denied" in done.stderr, done
    world.refused("true", target="no-such-target")
    done = world.refused("true", target="locked-out")
    assert b"does not accept the gateway's account" in done.stderr, done


@case
def a_drain_lets_what_runs_end_and_then_cuts_it(world):
    port, destination = world.where(True)
    mark = world.folder / "still-here"
    script = world.folder / "long.py"
    # It writes, as `dd` does: servers that take no signals end it by that.
    script.write_text(f"import time\nwhile True:\n    open({str(mark)!r}, 'w').write(str(time.time()))\n    print('.', flush=True)\n    time.sleep(0.1)\n")
    running = subprocess.Popen(["ssh", *world.options(True), "-p", str(port), destination, f"python3 {script}"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=world.environment())
    until("the program", mark.exists)
    began = time.monotonic()
    world.gateway_process.terminate()
    out, err = running.communicate(timeout=30)
    assert running.returncode in (137, 255), (running.returncode, out, err)
    assert b"shutting down" in err, err
    assert time.monotonic() - began < 12
    world.gateway_process.wait(20)
    time.sleep(1)
    last = mark.read_text()
    time.sleep(0.5)
    assert mark.read_text() == last, "the program goes on at the target"
    world.start()


@case
def everything_is_recorded(world):
    listed = world.recorded()
    for word in ("ana", "robot", "web-1"):
        assert word in listed, word


def main():
    binary, names = sys.argv[1], sys.argv[2:]
    # Ahead of those that end the gateway.
    CASES[0:0] = [*certificates.CASES, *signin.CASES, *watching.CASES, *screens.CASES]
    world = World(binary)
    passed = failed = 0
    what = []
    try:
        for function in CASES:
            if names and function.__name__ not in names:
                continue
            began = time.monotonic()
            try:
                function(world)
                passed += 1
                print(f"ok: {function.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:
                failed += 1
                what.append(f"FAILED: {function.__name__}\n{traceback.format_exc()[-3000:]}")
                print(what[-1], flush=True)
        if failed:
            # Once more at the end, where somebody who sees no more than that looks.
            print((world.folder / "gateway.log").read_text()[-6000:], *(w.replace("FAILED: ", "") for w in what), sep="\n")
    finally:
        world.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
