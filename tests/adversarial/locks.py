"""Locks: whatever a session does at the moment, it ends, its work at the server too, and it does not come back before the lock is over."""

import contextlib
import json
import socket
import sqlite3
import time

import wire
from faults import own_gateway
from wire import query

# The store knows of a lock, the gateway is another process: within this time nothing of the session may be left.
GONE_SECONDS_MAX = 1.0
# How long something may take to begin, or a client to see its end, on a machine that is busy.
PATIENCE_SECONDS = 30


def lock(gateway, *arguments):
    """Makes a lock in the store, as an operator of the machine; its id."""
    made = json.loads(gateway.command("locks", "add", *arguments, "--reason", "a test", "--output", "json"))
    return made["locks"][0]["id"]


def unlock(gateway, ident):
    """Ends a lock."""
    gateway.command("locks", "remove", ident, "--reason", "the test is over")


def refused(gateway, account="dora"):
    """The refusal of a new session; None when it is let in."""
    try:
        wire.Connection(gateway.endpoint(account)).close()
    except (wire.WireError, wire.ServerRefusal) as e:
        return str(e)
    return None


def until(what, done, seconds=PATIENCE_SECONDS):
    """Waits until something holds; how long that took."""
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < seconds, f"after {seconds} s still not: {what}"
        time.sleep(0.01)
    return time.monotonic() - started


def last_words(connection):
    """Reads to the end: the last error, and whether the connection was closed."""
    connection.socket.settimeout(PATIENCE_SECONDS)
    error = None
    try:
        while True:
            tag, payload = connection.read()
            if tag == b"E":
                error = wire.fields(payload)
    except (wire.WireError, wire.ServerRefusal, OSError):
        return error


@contextlib.contextmanager
def cut(scene, name):
    """A gateway with a session of dora's; afterwards she is locked out, and let in again once the lock ended."""
    with own_gateway(scene, name) as gateway:
        connection = wire.Connection(gateway.endpoint("dora"))
        yield gateway, connection
        locks = json.loads(gateway.command("locks", "list", "--output", "json"))["locks"]
        assert len(locks) == 1, locks
        said = refused(gateway)
        assert said and locks[0]["id"] in said, f"who is locked out was let in, or told {said}"
        unlock(gateway, locks[0]["id"])
        until("let in again", lambda: refused(gateway) is None)
        told = [s for s in json.loads(gateway.command("sessions", "list", "--identity", "dora", "--output", "json"))["sessions"] if s["close_reason"] == "denied"]
        assert told, "no session is recorded as denied"


def backends(scene, word, state="%"):
    """How many sessions at the server have the word in what they last ran."""
    return int(scene.admin(f"select count(*) from pg_stat_activity where query like '%{word}%' and state like '{state}' and pid <> pg_backend_pid()"))


def begins(scene, word, state="active"):
    """Waits until the server works on it."""
    until("the statement runs", lambda: backends(scene, word, state) > 0)


def adv_006_lock_ends_a_running_statement(scene):
    """pg_sleep(600) is gone from pg_stat_activity within a second."""
    with cut(scene, "lock-sleep") as (gateway, c):
        word = scene.mark()
        c.send(query(f"select pg_sleep(600), '{word}'"))
        begins(scene, word)
        ident = lock(gateway, "--identity", "dora")
        took = until("gone from the server", lambda: backends(scene, word) == 0, GONE_SECONDS_MAX)
        error = last_words(c)
        assert error and error["C"] == "57P01" and ident in error["M"], f"told {error}"
        assert "a test" not in json.dumps(error), "whoever is locked out reads why"
        return f"{took * 1000:.0f} ms"


def adv_006_lock_while_rows_are_copied_out(scene):
    """COPY to a client that reads as fast as it can."""
    with cut(scene, "lock-copy-out") as (gateway, c):
        word = scene.mark()
        c.send(query(f"copy (select repeat('x', 1000), '{word}' from generate_series(1, 100000000)) to stdout"))
        assert c.read()[0] == b"H"
        lock(gateway, "--group", "dbas")
        last_words(c)
        until("gone from the server", lambda: backends(scene, word) == 0)


def adv_006_lock_while_rows_are_copied_in(scene):
    """COPY from a client: nothing of it stays."""
    with cut(scene, "lock-copy-in") as (gateway, c):
        before = scene.admin("select count(*) from notes")
        c.send(query("copy notes (id, body) from stdin"))
        tag, _ = c.read()
        assert tag == b"G", f"COPY did not begin: {tag}"
        c.send(wire.copy_data(b"990001\tlocked\n"))
        lock(gateway, "--identity", "dora")
        assert last_words(c)["C"] == "57P01"
        until("gone from the server", lambda: backends(scene, "copy notes") == 0)
        assert scene.admin("select count(*) from notes") == before, "rows of the session that was cut off stayed"


def adv_006_lock_while_the_client_does_not_read(scene):
    """A client that lets everything pile up is not waited for."""
    with cut(scene, "lock-stalled") as (gateway, c):
        word = scene.mark()
        c.send(query(f"select repeat('x', 1000), '{word}' from generate_series(1, 100000000)"))
        begins(scene, word)
        time.sleep(1)
        lock(gateway, "--identity", "dora")
        took = until("gone from the server", lambda: backends(scene, word) == 0, GONE_SECONDS_MAX + 1)
        return f"{took * 1000:.0f} ms"


def adv_006_lock_while_idle_in_a_transaction(scene):
    """An open transaction is rolled back, and holds nothing any more."""
    with cut(scene, "lock-transaction") as (gateway, c):
        word = scene.mark()
        c.query("begin")
        c.query(f"update notes set body = '{word}' where id = (select min(id) from notes)")
        lock(gateway, "--target", "shop", "--identity", "dora")
        assert last_words(c)["C"] == "57P01"
        until("gone from the server", lambda: backends(scene, word, "idle in transaction") == 0)
        assert scene.admin(f"select count(*) from notes where body = '{word}'") == "0"


def adv_006_lock_while_logging_in(scene):
    """Nobody slips through between the login and the lock: of many that log in meanwhile, none is left."""
    with own_gateway(scene, "lock-login") as gateway:
        opened, ended = [], time.monotonic() + 3
        ident = None
        while time.monotonic() < ended:
            try:
                opened.append(wire.Connection(gateway.endpoint("dora")))
            except (wire.WireError, wire.ServerRefusal, OSError):
                assert ident, "refused before there was a lock"
            if ident is None and len(opened) == 10:
                ident = lock(gateway, "--identity", "dora")
        assert ident and refused(gateway)
        for c in opened:
            assert last_words(c)["C"] == "57P01", "a session lives on"


def adv_006_lock_ends_by_itself(scene):
    """A lock with a time keeps out for that time."""
    with own_gateway(scene, "lock-expiry") as gateway:
        lock(gateway, "--identity", "dora", "--for", "3s")
        until("locked out", lambda: refused(gateway) is not None, 2.5)
        assert refused(gateway, "ana") is None, "somebody else is locked out"
        until("let in again", lambda: refused(gateway) is None)
        listed = json.loads(gateway.command("locks", "list", "--all", "--output", "json"))["locks"]
        assert len(listed) == 1 and not listed[0]["live"], listed


def adv_003_locks_out_of_reach(scene):
    """When the store does not answer for the lease, live sessions end and nobody is let in; once it answers, they are."""
    with own_gateway(scene, "lock-lease") as gateway:
        c = wire.Connection(gateway.endpoint("dora"))
        assert c.value("select 1") == "1"
        hold = sqlite3.connect(gateway.data / "countersign.db", timeout=5)
        hold.execute("alter table lock_changes rename to lock_changes_away")
        hold.commit()
        error = last_words(c)
        assert error and error["C"] == "57P01" and "cannot be told" in error["M"], f"told {error}"
        assert "cannot be told" in (refused(gateway) or ""), "somebody was let in although nobody knows who is locked out"
        assert not ready(gateway)
        hold.execute("alter table lock_changes_away rename to lock_changes")
        hold.commit()
        hold.close()
        until("let in again", lambda: refused(gateway) is None)
        until("ready again", lambda: ready(gateway))


def ready(gateway):
    """Whether /readyz says that locks are known."""
    with socket.create_connection(("127.0.0.1", gateway.api_port), timeout=10) as s:
        s.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := s.recv(65536):
            answer += part
    checks = json.loads(answer.split(b"\r\n\r\n", 1)[1])["checks"]
    return checks["locks"] == "ok"
