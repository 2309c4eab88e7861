#!/usr/bin/env python3
"""SSH end to end: suite.py BINARY [NAME…]. The last line is "N passed, N failed"."""
import hashlib
import os
import shutil
import subprocess
import sys
import time
import traceback

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
        master.terminate()
        master.wait(10)


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
    done = run("-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", destination, "true")
    assert done.returncode != 0, done
    done = run("-w", "any:any", "-o", "ExitOnForwardFailure=yes", destination, "true")
    assert done.returncode != 0, done
    control = subprocess.run(["ssh", *world.options(False), "-p", str(world.sshd_port), "-W", f"127.0.0.1:{world.sshd_port}",
                              f"{world.user}@127.0.0.1"], input=b"", capture_output=True, timeout=60)
    assert b"SSH-2.0" in control.stdout, "without the gateway it works"


@case
def adv_053_agents_and_displays_are_not_forwarded(world):
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(world.folder / "agent")])
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


@case
def adv_060_a_changed_host_key_is_refused(world):
    done = world.refused("echo ready", target="swapped")
    assert b"does not have the host key" in done.stderr, done


@case
def adv_060_weak_algorithms_are_not_spoken(world):
    port, destination = world.where(True)
    for option in ["KexAlgorithms=diffie-hellman-group14-sha1", "KexAlgorithms=diffie-hellman-group14-sha256", "Ciphers=aes128-cbc", "MACs=hmac-sha1",
                   "HostKeyAlgorithms=ssh-rsa"]:
        ciphers = ["-o", "Ciphers=aes256-ctr"] if option.startswith("MACs") else []
        done = subprocess.run(["ssh", *world.options(True), *ciphers, "-o", option, "-p", str(port), destination, "true"], capture_output=True,
                              env=world.environment(), timeout=60)
        assert done.returncode == 255 and b"ermission denied" not in done.stderr, (option, done)
        assert "No common" in (world.folder / "gateway.log").read_text().splitlines()[-1] or b"no matching" in done.stderr, (option, done)


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
    world = World(binary)
    passed = failed = 0
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
                print(f"FAILED: {function.__name__}\n{traceback.format_exc()[-3000:]}", flush=True)
        if failed:
            print((world.folder / "gateway.log").read_text()[-6000:])
    finally:
        world.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
