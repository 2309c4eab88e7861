"""What the benchmarks of this folder share: what a process costs, pgbench, and the machine.

Everything is read from the system (`/proc`, the process's own CPU clock), nothing from the program that is measured.
"""

import os
import pathlib
import platform
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/conformance"))
import harness

MIB = 1 << 20


def say(text):
    """Progress, beside the result."""
    print(text, file=sys.stderr, flush=True)


def cpu_seconds(pid):
    """CPU time of a process, user and system, with all the threads that it has or had. The clock counts nanoseconds."""
    # The kernel's number for the CPU clock of another process: clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid):
    """Its memory in bytes: `private` (what it has written to), `anonymous` (that without mapped files), `pss`, `rss`."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    size = {k: int(v) * 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.M)}
    # Clean pages are the program's own text, touched once, and the system's to take away.
    return {"private": size["Private_Dirty"], "anonymous": size["Anonymous"], "pss": size["Pss"], "rss": size["Rss"]}


def reset_peak(pid):
    """Forgets the most memory so far, so that peak_bytes() counts from here."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid):
    """The most resident memory since the start or reset_peak()."""
    return int(re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1)) * 1024


def threads(pid):
    """How many threads it has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """What its descriptors lead to, as a list of texts."""
    out = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            out.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    return out


def pgbench_command(*options):
    """The command line of pgbench without its own vacuum."""
    return [str(harness.postgres_folder() / "pgbench"), "-n", *map(str, options)]


def fill_pgbench(server, way, scale=10):
    """pgbench's own tables."""
    harness.run_quiet(pgbench_command("-i", "-q", "-s", scale), "pgbench -i", env={**os.environ, **way.environment()})
    server.sql("vacuum freeze analyze", way.dbname)


def drain(connection, buffer):
    """Reads as fast as it can until ReadyForQuery outside a transaction; the bytes are counted, not looked at."""
    total, tail = 0, b""
    while True:
        size = connection.socket.recv_into(buffer)
        if size == 0:
            raise harness.HarnessError("the connection closed in the middle of a result")
        total += size
        tail = (tail + bytes(buffer[max(0, size - 6):size]))[-6:]
        if tail == b"Z\0\0\0\5I":
            return total


def ratio(a, b):
    """a / b; beyond any bound when nothing was measured to compare with."""
    return a / b if b > 0 else 1e9


def first_line(*command):
    """The first line that a command prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace").splitlines()[0].strip() if done.stdout else "?"


def machine():
    """What it ran on."""
    match = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    processor = re.sub(r"\s+", " ", match.group(1)) if match else platform.machine()
    return {"processor": processor, "processors": os.cpu_count(), "kernel": platform.release()}


def release_binary(given, build=True):
    """The binary to measure: the one given, else the release build, which is made when it is absent."""
    binary = pathlib.Path(given).resolve() if given else harness.cargo_target() / "release/countersign"
    if not binary.exists() and not given and build:
        say("building countersign (release) ...")
        harness.run_quiet(["cargo", "build", "--release", "-q", "-p", "countersign"], "the release build", cwd=harness.ROOT)
    if not binary.exists():
        raise harness.HarnessError(f"there is no {binary}; build it with: cargo build --release -p countersign")
    return binary
