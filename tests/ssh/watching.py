"""Live sessions under other people's eyes."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from world import until

CASES = []
WAIT_S = 6


def case(function):
    CASES.append(function)
    return function


def latest(world, who, target="web-1"):
    listed = world.run("sessions", "list", "--config", "countersign.toml", "--identity", who, "--target", target, "--limit", "1", "--output", "json")
    return (json.loads(listed)["sessions"] or [{"id": None}])[0]["id"]


class Eyes:
    """`countersign sessions watch`, of somebody who logged in."""

    def __init__(self, world, who, session, *more, terminal=False):
        environment, _ = world.home(who)
        argv = [world.binary, "sessions", "watch", session, *more]
        self.said, self.terminal = b"", terminal
        if terminal:
            self.pid, self.fd = pty.fork()
            if self.pid == 0:
                os.execvpe(world.binary, argv, {**environment, "TERM": "xterm", "COLUMNS": "100"})
        else:
            self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.fd, self.pid = self.process.stdout.fileno(), self.process.pid

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                part = b""
            if not part:
                break
            self.said += part
        return self.said

    def sees(self, what, seconds=30):
        until(f"{what} in {self.said[-300:]}", lambda: what in self.read(), seconds)

    def gone(self):
        os.kill(self.pid, signal.SIGTERM)
        return self.ends()

    def ends(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) if self.terminal else self.process.wait(30)


def running(world, who, command, **more):
    """An ssh of theirs that waits or runs, and its session."""
    before = latest(world, who)
    port, destination = world.where(True, who)
    process = subprocess.Popen(["ssh", *world.options(True), "-p", str(port), destination, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=world.environment(who), **more)
    until("its session", lambda: latest(world, who) != before or process.poll() is not None)
    os.set_blocking(process.stdout.fileno(), False)
    return process, latest(world, who)


def took(process):
    """What came by now."""
    try:
        return os.read(process.stdout.fileno(), 1 << 20)
    except BlockingIOError:
        return b""


@case
def what_a_terminal_shows_is_watched_live(world):
    from suite import Typing, session_of

    shell = Typing(world)
    shell.types(b"echo begin-$((1+1))\n", b"begin-2")
    session = session_of(world)
    lines, screen = Eyes(world, "rita", session), Eyes(world, "rita", session, terminal=True)
    lines.sees(b"begin-2")
    # A program of the whole screen, with what would act on a terminal.
    hostile = rb"printf '\033[2J\033[5;10Hhere\033]52;c;cm0gLXJm\007\033[8mhidden\033[0m\033[12;1H'; echo end-$((2+2))" + b"\n"
    shell.types(hostile, b"end-4")
    lines.sees(b"end-4")
    screen.sees(b"end-4")
    time.sleep(0.5)
    frames = screen.read().split(b"\x1b[H\x1b[2J")
    last = frames[-1].decode().replace("\r\n", "\n").split("\n")
    assert last[0].startswith(f"watching {session}") and "ana on web-1" in last[0], last
    assert last[2 + 4].find("here") == 9, last
    assert "52;c" not in frames[-1].decode() and all(b"\x1b" not in f for f in frames), frames[-1]
    assert b"\x1b" not in lines.read() and b"]52;c;" in lines.said, lines.said
    os.write(shell.fd, b"exit 5\n")
    assert shell.ends() == 5
    assert lines.ends() == 0 and screen.ends() == 0, "the session's end is theirs"
    shown = world.run("sessions", "list", "--config", "countersign.toml", "--identity", "rita", "--target", "countersign", "--output", "json")
    assert json.loads(shown)["sessions"], "who watched is recorded"
    # Who may not, does not; what is not there is not found.
    for who, session, said in [("ana", session, b"forbid"), ("rita", session, b"no such session")]:
        eyes = Eyes(world, who, session)
        assert eyes.ends() != 0
        assert said in eyes.read().lower() or b"not allowed" in eyes.said.lower() or b"denied" in eyes.said.lower(), (who, eyes.said)


@case
def nothing_runs_that_nobody_watches(world):
    mark = world.folder / "unwatched"
    began = time.monotonic()
    done = world.ssh(True, f"touch {mark}", who="guest")
    assert done.returncode == 126 and b"nobody of reviewers watched this for 6 seconds" in done.stderr, done
    assert b"only while somebody of reviewers watches" in done.stderr and WAIT_S <= time.monotonic() - began < WAIT_S + 10, done
    assert not mark.exists(), "it reached the target"
    # A transfer of files cannot be watched.
    done = subprocess.run(["scp", *world.options(True), "-P", str(world.port), "-o", "User=guest@web-1", "127.0.0.1:/etc/hostname", world.folder / "stolen"],
                          capture_output=True, env=world.environment("guest"), timeout=60)
    assert done.returncode != 0 and not (world.folder / "stolen").exists(), done


@case
def a_session_goes_on_while_a_second_person_watches(world):
    process, session = running(world, "guest", "python3 -uc \"import time\nwhile True:\n    print(time.time())\n    time.sleep(0.1)\"")
    time.sleep(1)
    assert took(process) == b"", "it began by itself"
    rita = Eyes(world, "rita", session)
    until("output", lambda: took(process))
    rita.sees(b".")
    rita.gone()
    # What was on its way comes still; then it stands.
    time.sleep(2)
    took(process)
    time.sleep(1.5)
    assert took(process) == b"", "it goes on unseen"
    rita = Eyes(world, "rita", session)
    until("output again", lambda: took(process))
    rita.gone()
    gone = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 137 and b"nobody of reviewers watched this" in err, (process.returncode, err)
    assert WAIT_S - 1 <= time.monotonic() - gone < WAIT_S + 10
    shown = " ".join(world.run("sessions", "show", session, "--config", "countersign.toml").split())
    assert "goes on: rita watches" in shown and "is held: nobody watches who has to" in shown, shown


@case
def input_is_held_as_well(world):
    process, session = running(world, "guest", "cat")
    rita = Eyes(world, "rita", session)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    until("one", lambda: took(process) == b"one\n")
    rita.gone()
    time.sleep(1)
    process.stdin.write(b"two\n")
    process.stdin.flush()
    time.sleep(2)
    assert took(process) == b""
    rita = Eyes(world, "rita", session)
    until("two", lambda: took(process) == b"two\n")
    process.stdin.close()
    assert process.wait(30) == 0
    assert rita.ends() == 0


@case
def nobody_watches_themselves(world):
    process, session = running(world, "wanda", "echo ready")
    own = Eyes(world, "wanda", session)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 126 and out == b"" and b"watched this for" in err, (process.returncode, out, err)
    own.gone()
    # The same person's eyes are good for somebody else.
    process, session = running(world, "guest", "echo ready")
    other = Eyes(world, "wanda", session)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    other.gone()
    # A lock on who watches is the end of their watching.
    process, session = running(world, "guest", "python3 -uc \"import time\nwhile True:\n    print(1)\n    time.sleep(0.1)\"")
    rita = Eyes(world, "rita", session)
    until("output", lambda: took(process))
    lock = json.loads(world.run("locks", "add", "--identity", "rita", "--reason", "test", "--yes", "--config", "countersign.toml", "--output", "json"))["locks"][0]
    try:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 137, (process.returncode, err)
    finally:
        world.run("locks", "remove", lock["id"], "--reason", "over", "--config", "countersign.toml")
    rita.gone()
