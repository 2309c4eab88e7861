"""What a recording plays back is what the client's terminal showed: its last screen, by tmux and by the recording."""
import json
import shlex
import subprocess
import time

from world import until

CASES = []


def case(function):
    CASES.append(function)
    return function


class Pane:
    """ssh in a terminal of its own, which can be asked what it shows."""

    def __init__(self, world, columns, rows):
        environment, config = world.home("ana")
        # Long enough a name in its own folder: no server of somebody else is met.
        self.tmux = ["tmux", "-S", str(world.folder / "tmux.sock"), "-f", "/dev/null"]
        ssh = shlex.join(["ssh", "-F", str(config), "-o", "LogLevel=ERROR", "-tt", "web-1"])
        self.environment = {**environment, "PS1": "$ ", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh"}
        subprocess.run([*self.tmux, "new-session", "-d", "-x", str(columns), "-y", str(rows), ssh], check=True, env=self.environment)

    def types(self, *keys):
        subprocess.run([*self.tmux, "send-keys", *keys], check=True, env=self.environment)

    def shows(self):
        shown = subprocess.run([*self.tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True, env=self.environment).stdout
        return [line.rstrip() for line in shown.rstrip("\n").split("\n")]

    def settles(self):
        """What it shows once that stays as it is."""
        last = None
        for _ in range(40):
            now = self.shows()
            if now == last:
                return now
            last = now
            time.sleep(0.5)
        raise AssertionError(f"it does not come to rest: {last}")

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], env=self.environment)


def latest(world):
    listed = json.loads(world.run("sessions", "list", "--config", "countersign.toml", "--identity", "ana", "--target", "web-1", "--limit", "1",
                                  "--output", "json"))
    return (listed["sessions"] or [{"id": None}])[0]["id"]


def recorded(world, session):
    text = world.run("sessions", "export", "--config", "countersign.toml", "--session", session, "--format", "screen")
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def compare(world, columns, rows, *steps):
    before = latest(world)
    pane = Pane(world, columns, rows)
    try:
        until("its session", lambda: latest(world) != before)
        session = latest(world)
        until(f"a prompt, not {pane.shows()}", lambda: any(line.endswith(("#", "$")) for line in pane.shows()))
        for keys, shown in steps:
            pane.types(*keys)
            until(f"{shown} on {pane.shows()}", lambda: any(shown in line for line in pane.shows()))
        want = pane.settles()
    finally:
        pane.close()
    until("its end", lambda: "closed" in world.run("sessions", "show", session, "--config", "countersign.toml"))
    got = recorded(world, session)
    while want and not want[-1]:
        want.pop()
    assert got == want, "\n".join(f"{w!r}\n{g!r}" for w, g in zip(want, got) if w != g) + f"\n{len(want)} {len(got)}"
    return want


@case
def a_recorded_vim_ends_as_the_client_saw_it(world):
    text = world.folder / "text"
    text.write_text("".join(f"line {n}\t{'wide 日本語 ' if n % 7 == 0 else ''}{'x' * (n % 150)}\n" for n in range(1, 200)))
    vim = f"LC_ALL=C.UTF-8 vim -u NONE -N +'set number ruler showmode nomodeline' {text}"
    seen = compare(
        world, 100, 30,
        ((vim, "Enter"), "line 1"),
        (("/line 90", "Enter"), "line 90"),
        (("z", "t", "i", "inserted ", "Escape"), "inserted line 90"),
        (("3", "d", "d"), "line 93"),
        ((":split", "Enter"), "line 94"),
        ((":set list", "Enter"), "^I"),
    )
    assert len(seen) > 20


@case
def a_recorded_top_ends_as_the_client_saw_it(world):
    seen = compare(world, 120, 40, (("LC_ALL=C.UTF-8 top -d 100", "Enter"), "load average"), (("m",), "load average"), (("E",), "load average"))
    assert any("PID" in line for line in seen), seen


@case
def a_recorded_terminal_that_changed_its_size_ends_as_the_client_saw_it(world):
    before = latest(world)
    pane = Pane(world, 90, 20)
    try:
        until("its session", lambda: latest(world) != before)
        session = latest(world)
        until(f"a prompt, not {pane.shows()}", lambda: any(line.endswith(("#", "$")) for line in pane.shows()))
        text = world.folder / "needles"
        text.write_text("".join(f"needle {n} {'y' * (3 * n)}\n" for n in range(1, 50)))
        pane.types(f"seq -s ' ' 100; LC_ALL=C.UTF-8 vim -u NONE -N {text}", "Enter")
        until("vim", lambda: any(line.startswith("needle 3 ") for line in pane.shows()))
        subprocess.run([*pane.tmux, "resize-window", "-x", "70", "-y", "33"], check=True, env=pane.environment)
        pane.types("G", "i", "grown")
        until("grown", lambda: any("grown" in line for line in pane.shows()))
        want = pane.settles()
    finally:
        pane.close()
    until("its end", lambda: "closed" in world.run("sessions", "show", session, "--config", "countersign.toml"))
    assert recorded(world, session) == want[: len(want) - next((n for n, line in enumerate(reversed(want)) if line), 0)]
