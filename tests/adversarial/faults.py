"""Faults: a target that is gone, clients that misbehave, a full disk, kill -9. Each says what was lost: nothing that was acknowledged."""

import contextlib
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import harness
import wire
from harness import HarnessError, Skipped
from protocol import errors
from scene import POLICY
from wire import bind, execute, extended, frame, parse, query

# A connection storm, and how long it may take.
STORM, STORM_SECONDS_MAX = 2000, 120
# What a stalled client may cost the gateway while the server has much more to send.
STALL_BYTES_MAX = 64 << 20


@contextlib.contextmanager
def own_gateway(scene, name, **more):
    """A gateway for one fault, with a server log mark of its own."""
    gateway = harness.Gateway(scene.box, more.pop("server", scene.server), scene.binary, name, **more)
    try:
        yield gateway
        # What ran through it is in the server's log too, which is compared with all records at the end.
        scene.more_recorded += gateway.statements()
    finally:
        gateway.close()


def recorded_texts(gateway):
    """Every recorded statement with its decision."""
    return [(r["text"].strip("\0"), r["decision"]) for r in gateway.statements()]


def adv_002_disk_full(scene):
    """With strict recording a full disk ends the session; what ran is in the record."""
    mount = scene.box.folder("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)], capture_output=True).returncode != 0:
        raise Skipped("no right to mount a small tmpfs")
    try:
        with own_gateway(scene, "full", data=mount) as gateway:
            c = wire.Connection(gateway.endpoint("ana"))
            word, ran, ended = scene.mark(), 0, ""
            since = scene.offset()
            try:
                for i in range(2000):
                    messages = c.query(f"select '{word}-{i}', '{'f' * 20000}'")
                    if errors(messages):
                        ended = errors(messages)[0]
                        break
                    ran += 1
            except (wire.WireError, OSError) as e:
                ended = type(e).__name__
            assert ended, "2,000 statements of 20 KB were recorded on 6 MiB"
            try:
                c.value("select 'after the disk was full'")
                raise AssertionError("the session lived on without a recording")
            except (wire.WireError, wire.ServerRefusal, OSError):
                pass
            reached = {e["message"].split(word + "-")[1].split("'")[0] for e in scene.logged(word, since) if word + "-" in e["message"]}
            texts = [t for t, _ in recorded_texts(gateway)]
            missing = [i for i in reached if not any(t.startswith(f"select '{word}-{i}'") for t in texts)]
            assert not missing, f"{len(missing)} statements ran without a record: {missing[:5]}"
            return f"{ran} ran, {len(reached)} reached the server, ended by {ended}"
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def adv_002_store_locked(scene):
    """A locked store delays or refuses; it never lets anyone in unchecked, and it heals."""
    with own_gateway(scene, "locked") as gateway:
        way = gateway.endpoint("ana")
        c = wire.Connection(way)
        databases = list(gateway.data.rglob("*.db"))
        assert databases, "no SQLite store was found"
        lock = sqlite3.connect(databases[0], timeout=5)
        lock.execute("begin exclusive")
        started = time.monotonic()
        try:
            value = c.value("select 'running session'")
            assert value == "running session"
        except (wire.ServerRefusal, wire.WireError):
            pass
        try:
            other = wire.Connection(way, timeout=30)
            other.close()
            outcome = "let in"
        except (wire.ServerRefusal, wire.WireError) as e:
            outcome = f"refused ({e})"
        except TimeoutError as e:
            raise AssertionError("a login hung for 30 s") from e
        took = time.monotonic() - started
        lock.rollback()
        lock.close()
        again = wire.Connection(way)
        assert again.value("select 1") == "1"
        scene_texts = recorded_texts(gateway)
        assert any("running session" in t for t, _ in scene_texts) or outcome.startswith("refused")
        again.close()
        return f"a login was {outcome[:60]} after {took:.1f} s"


def adv_003_policy_broken(scene):
    """A policy that cannot be read does not replace the one in force, and does not start a gateway."""
    with own_gateway(scene, "broken") as gateway:
        c = wire.Connection(gateway.endpoint("ana"))
        file = gateway.folder / "policies/tests.cedar"
        good = file.read_text()
        file.write_text('@id("open") permit (principal, action, resource')
        gateway.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert gateway.process.poll() is None, "a broken policy ended the gateway"
        scene.refused(c.query("drop table staff"))
        assert c.value("select 1") == "1"
        file.write_text(good.replace('@id("analysts-read")', '@id("analysts-read-no-more")').replace('permit (principal in Group::"analysts", action == Action::"read", resource)\nunless { context.sensitive_catalog }',
                                                                                                  'permit (principal in Group::"nobody", action == Action::"read", resource)'))
        gateway.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not errors(c.query("select * from notes")):
            assert time.monotonic() < deadline, "10 s after the reload the old policy still stood"
            time.sleep(0.1)
        c.close()
        file.write_text("nonsense")
    try:
        started = harness.Gateway.__new__(harness.Gateway)
        started.__dict__.update(gateway.__dict__)
        started.start()
        started.close()
        raise AssertionError("a gateway started with a policy that cannot be read")
    except HarnessError:
        return None


def adv_006_drain_cancels_work(scene):
    """SIGTERM ends sessions with 57P01, cancels what runs at the target, and meets its deadline."""
    with own_gateway(scene, "drain") as gateway:
        text = gateway.config.read_text().replace("[gateway]", "[gateway]\ndrain_timeout_s = 1")
        gateway.close()
        gateway.config.write_text(text)
        gateway.start()
        idle, busy = wire.Connection(gateway.endpoint("dora")), wire.Connection(gateway.endpoint("dora"))
        word = scene.mark()
        busy.send(query(f"select pg_sleep(60), '{word}'"))
        time.sleep(0.5)
        started = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        for c, what in ((idle, "the idle session"), (busy, "the busy session")):
            try:
                tag, payload = c.read()
                while tag not in (b"E",):
                    tag, payload = c.read()
                assert wire.fields(payload)["C"] == "57P01", f"{what} was told {wire.fields(payload)}"
            except (wire.WireError, OSError) as e:
                raise AssertionError(f"{what} was closed without 57P01") from e
        gateway.process.wait(15)
        took = time.monotonic() - started
        assert took < 10, f"it took {took:.1f} s to stop"
        scene.idle_since(word)
        return f"{took:.1f} s"


def adv_007_no_way_around_with_what_clients_hold(scene):
    """What a client holds (its name and token) opens nothing at the target itself."""
    way = scene.server.endpoint("shop")
    for user in ("ana", "postgres", harness.ROLE):
        way.user, way.password = user, scene.gateway.token("ana")
        try:
            wire.Connection(way)
            raise AssertionError(f"{user} got in at the target with a token")
        except (wire.ServerRefusal, wire.WireError):
            pass


def fault_target_down(scene):
    """No target: a clear refusal at once, and the gateway lives."""
    server = harness.Postgres(scene.box, "down", log_statements=False).create()
    server.load_fixture("shop")
    with own_gateway(scene, "down", server=server) as gateway:
        way = gateway.endpoint("ana")
        c = wire.Connection(way)
        assert c.value("select 1") == "1"
        server.stop()
        try:
            messages = c.query("select 2")
            assert errors(messages), "an answer came from a server that is down"
        except (wire.WireError, OSError):
            pass
        started = time.monotonic()
        try:
            wire.Connection(way)
            raise AssertionError("a session was opened to a server that is down")
        except wire.ServerRefusal as e:
            assert e.fields["C"] in ("08001", "08006", "57P03", "08004"), e.fields
            assert harness.ROLE_PASSWORD not in str(e.fields)
        took = time.monotonic() - started
        assert took < 15, f"the refusal took {took:.0f} s"
        server.start()
        again = wire.Connection(way)
        assert again.value("select 3") == "3"
        again.close()
        return f"refused after {took:.1f} s"


def fault_target_dies_in_mid_result(scene):
    """A backend killed while it sends: the client is told or cut off, never given a result that looks whole."""
    c = scene.connect("dora")
    word = scene.mark()
    c.send(query(f"select g, repeat('x', 1000), '{word}' from generate_series(1, 2000000) g"))
    for _ in range(100):
        c.read()
    scene.admin(f"select pg_terminate_backend(pid) from pg_stat_activity where query like '%{word}%' and pid <> pg_backend_pid()")
    rows, end = 0, None
    try:
        while end is None:
            tag, payload = c.read()
            rows += tag == b"D"
            if tag in (b"C", b"Z"):
                raise AssertionError(f"the result ended with {tag!r} as if it were whole, after {rows} rows")
            if tag == b"E":
                end = wire.fields(payload)["C"]
    except (wire.WireError, OSError) as e:
        end = type(e).__name__
    assert end in ("57P01", "08006", "WireError", "ConnectionResetError"), end
    assert c.at_eof(10)
    found = [r for r in scene.gateway.statements() if word in r["text"]]
    assert found and "done" not in str(found[0]["outcome"]).lower(), f"recorded as {found and found[0]['outcome']}"
    other = scene.connect()
    scene.in_sync(other)
    other.close()
    return f"{rows} rows, then {end}"


def fault_client_stops_reading(scene):
    """The target is held back, the gateway does not grow, siblings are not hurt, and the session goes on."""
    c = scene.connect("dora")
    before = scene.memory()
    word = scene.mark()
    c.send(query(f"select repeat('x', 1000), '{word}' from generate_series(1, 400000) g"))
    worst = 0.0
    sibling = scene.connect()
    for i in range(100):
        started = time.monotonic()
        assert sibling.value(f"select {i}") == str(i)
        worst = max(worst, time.monotonic() - started)
        time.sleep(0.02)
    grown = scene.memory() - before
    assert grown < STALL_BYTES_MAX, f"the gateway grew by {grown >> 20} MiB for a client that does not read"
    waits = scene.admin(f"select wait_event from pg_stat_activity where query like '%{word}%' and pid <> pg_backend_pid()")
    assert waits == "ClientWrite", f"the server is not held back: it waits for {waits!r}"
    assert worst < 2, f"a sibling waited {worst:.1f} s"
    messages = c.until_ready()
    assert len([1 for t, _ in messages if t == b"D"]) == 400_000
    c.close()
    sibling.close()
    return f"grew {grown >> 10} KiB, siblings at most {worst * 1000:.0f} ms"


def fault_client_vanishes(scene):
    """The query of a client that went away is cancelled at the target, and the record says so."""
    how_long = []
    for how in ("close", "abort", "half way through a frame"):
        c = scene.connect("dora")
        word = scene.mark()
        c.send(query(f"select pg_sleep(120), '{word}'"))
        time.sleep(0.4)
        assert scene.admin(f"select count(*) from pg_stat_activity where query like '%{word}%' and pid <> pg_backend_pid()") == "1"
        if how == "abort":
            c.abort()
        else:
            if how != "close":
                c.send(b"Q\0\0\1\0select")
            c.socket.close()
        started = time.monotonic()
        scene.idle_since(word, what=f"after a client vanished ({how})")
        how_long.append(time.monotonic() - started)
    return "cancelled within " + ", ".join(f"{t:.1f} s" for t in how_long)


def fault_account_ends_in_mid_session(scene):
    """Live sessions of an account that is disabled end with 57P01, what they run is cancelled, and nobody else is hit."""
    with own_gateway(scene, "ended") as gateway:
        idle, busy = wire.Connection(gateway.endpoint("dora")), wire.Connection(gateway.endpoint("dora"))
        other = wire.Connection(gateway.endpoint("ana"))
        word = scene.mark()
        busy.send(query(f"select pg_sleep(120), '{word}'"))
        time.sleep(0.4)
        gateway.command("accounts", "disable", "dora")
        started = time.monotonic()
        for c, what in ((idle, "the idle session"), (busy, "the busy session")):
            try:
                tag, payload = c.read()
                while tag != b"E":
                    tag, payload = c.read()
            except (wire.WireError, OSError) as e:
                raise AssertionError(f"{what} was closed without a word") from e
            assert wire.fields(payload)["C"] == "57P01", f"{what} was told {wire.fields(payload)}"
        took = time.monotonic() - started
        assert took < 10, f"it took {took:.1f} s"
        scene.idle_since(word)
        assert other.value("select 7") == "7", "somebody else was hit"
        ended = [e for e in gateway.export() if e.get("type") == "closed" and e.get("denial")]
        assert len(ended) == 2 and all("unauthenticated" in str(e) for e in ended), ended
        return f"{took:.1f} s"


class SlowCancels:
    """A way to the server on which orders to cancel take their time."""

    CANCEL_REQUEST = (80877102).to_bytes(4, "big")

    def __init__(self, port, seconds):
        self.to, self.seconds, self.orders = port, seconds, 0
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.carry, args=(self.socket.accept()[0],), daemon=True).start()

    def carry(self, client):
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.to)) as server:
            first = client.recv(1 << 16)
            if first[4:8] == self.CANCEL_REQUEST:
                self.orders += 1
                time.sleep(self.seconds)
            server.sendall(first)
            back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
            back.start()
            self.pump(client, server)
            back.join()

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def fault_cancel_order_is_slow(scene):
    """The order that a passed limit gives never meets the session's next statement, however late it comes."""
    server = SlowCancels(scene.server.port, 0.3)
    with own_gateway(scene, "slowcancel", server=server, policy=POLICY) as gateway:
        c = wire.Connection(gateway.endpoint("ana"))
        for round in range(1, 4):
            messages = c.query("select id from staff")
            assert errors(messages) == ["53400"], errors(messages)
            assert server.orders == round, f"{server.orders} orders after {round} passed limits"
            # Much longer than the order takes.
            messages = c.query("select count(*) from generate_series(1, 6000000)")
            assert not errors(messages), f"the next statement was hit: {errors(messages)}"
        c.close()


def fault_storm_of_connections(scene):
    """2,000 connections at once: each is served or refused with a reason, and the gateway lives."""
    way = scene.gateway.endpoint("ana")
    served, refused, other, lock = [0], {}, {}, threading.Lock()
    gate = threading.Barrier(100)
    kept = []

    def client():
        gate.wait()
        for _ in range(STORM // 100):
            try:
                c = wire.Connection(way, timeout=STORM_SECONDS_MAX)
                ok = c.value("select 7") == "7"
                with lock:
                    served[0] += ok
                    kept.append(c)
            except wire.ServerRefusal as e:
                with lock:
                    refused[e.fields["C"]] = refused.get(e.fields["C"], 0) + 1
            except (wire.WireError, OSError) as e:
                with lock:
                    other[type(e).__name__] = other.get(type(e).__name__, 0) + 1
    started = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(STORM_SECONDS_MAX)
    took = time.monotonic() - started
    open_at_once = len(kept)
    for c in kept:
        c.close()
    assert not other, f"connections ended without a word: {other}"
    assert served[0] + sum(refused.values()) == STORM, f"{served[0]} served, {refused} refused"
    assert set(refused) <= {"53300", "57P03"}, refused
    assert served[0] > STORM // 2, f"only {served[0]} were served: {refused}"
    c = scene.connect()
    scene.in_sync(c)
    c.close()
    return f"{served[0]} served ({open_at_once} open at once), refused {refused}, {took:.1f} s"


def fault_slow_loris(scene):
    """Clients that never finish their startup are cut off in time and keep nobody out."""
    way = scene.gateway.endpoint("ana")
    packet = wire.startup_packet({"user": "ana", "database": way.dbname})
    slow = [socket.create_connection((way.host, way.port), 10) for _ in range(300)]
    for i, s in enumerate(slow):
        s.sendall(packet[: i % 20])
    started = time.monotonic()
    c = scene.connect()
    assert c.value("select 1") == "1" and time.monotonic() - started < 5, "slow clients kept another one out"
    c.close()
    deadline = time.monotonic() + 40
    left = set(slow)
    while left and time.monotonic() < deadline:
        for s in list(left):
            s.settimeout(0.001)
            try:
                if not s.recv(512):
                    left.discard(s)
            except TimeoutError:
                try:
                    s.sendall(b"\0")
                except OSError:
                    left.discard(s)
            except OSError:
                left.discard(s)
        time.sleep(0.2)
    for s in slow:
        s.close()
    assert not left, f"{len(left)} of 300 half-open logins were still held after 40 s"
    return f"all cut off within {time.monotonic() - started:.0f} s"


def fault_kill_9(scene):
    """kill -9 while statements run: every statement that was acknowledged is in the export."""
    with own_gateway(scene, "killed") as gateway:
        way = gateway.endpoint("dora")
        acknowledged, sent, lock = [], [], threading.Lock()
        stop = threading.Event()

        def client(n):
            try:
                c = wire.Connection(way)
                i = 0
                while not stop.is_set():
                    text = f"insert into notes values ({n * 1_000_000 + 10_000 + i}, 'k{n}-{i}')"
                    with lock:
                        sent.append(text)
                    c.send(query(text) if i % 2 else extended(text))
                    if not errors(c.until_ready()):
                        with lock:
                            acknowledged.append(text)
                    i += 1
            except (wire.WireError, OSError):
                pass
        threads = [threading.Thread(target=client, args=(n,)) for n in range(1, 9)]
        for t in threads:
            t.start()
        # In the thick of it, however long that takes here.
        deadline = time.monotonic() + 60
        while len(acknowledged) <= 400 and time.monotonic() < deadline:
            time.sleep(0.02)
        gateway.kill()
        stop.set()
        for t in threads:
            t.join(20)
        assert len(acknowledged) > 200, f"only {len(acknowledged)} statements before the kill"
        gateway.start()
        texts = {t for t, d in recorded_texts(gateway) if d == "allow"}
        missing = [t for t in acknowledged if t not in texts]
        assert not missing, f"{len(missing)} of {len(acknowledged)} acknowledged statements are not in the record: {missing[:3]}"
        ran = set(scene.admin("select body from notes where body like 'k%-%'").split())
        unrecorded = [b for b in ran if not any(t.endswith(f"'{b}')") for t in texts)] if len(ran) < 5000 else []
        assert not unrecorded, f"{len(unrecorded)} rows are there without a record: {unrecorded[:3]}"
        again = wire.Connection(gateway.endpoint("ana"))
        assert again.value("select 1") == "1"
        again.close()
        scene.admin("delete from notes where body like 'k%-%'")
        return f"{len(acknowledged)} acknowledged, {len(sent)} sent, none missing"


def fault_copy_in_cut_off(scene):
    """A client that vanishes in the middle of COPY leaves nothing behind."""
    c = scene.connect("ci-deploy")
    c.send(query("copy notes from stdin") + wire.copy_data(b"800\tlost\n" * 1))
    time.sleep(0.3)
    c.abort()
    deadline = time.monotonic() + 10
    while scene.admin("select count(*) from pg_stat_activity where query like 'copy notes%' and state = 'active'") != "0":
        assert time.monotonic() < deadline, "the COPY still runs at the server"
        time.sleep(0.1)
    assert scene.admin("select count(*) from notes where id = 800") == "0"


def fault_wrong_order(scene):
    """Messages in an order that no driver sends end in an error or a close, never a hang."""
    orders = [frame("d", b"x") * 3 + query("select 1"), frame("c") + query("select 1"), frame("f", b"no\0") + query("select 1"), bind() + execute() + wire.SYNC, execute("p") + wire.SYNC,
              query("copy notes to stdout") + query("select 1"), parse("select 1") * 3 + wire.SYNC, wire.FLUSH * 50 + wire.SYNC, wire.TERMINATE + query("drop table staff")]
    for data in orders:
        c = scene.connect()
        c.socket.settimeout(20)
        c.send(data)
        try:
            c.until_ready()
        except TimeoutError as e:
            raise AssertionError(f"no answer within 20 s to {data[:40]!r}") from e
        except (wire.WireError, OSError):
            pass
        c.close()
    assert scene.admin("select count(*) from staff") == "50"
