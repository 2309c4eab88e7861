"""The conformance set in raw frames: every message that comes back, to the field, is the answer.

Sees what drivers hide: order of messages, formats, type ids, portal suspension, ReadyForQuery status.
"""

import pathlib
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import wire
from program import case, crash, emit, endpoint, selected
from wire import (FLUSH, SYNC, bind, close, copy_data, describe, execute, extended, frame, parse, query)

from harness import Endpoint

WAY = Endpoint(**endpoint())


def shown(messages):
    """All messages; long runs of rows are cut to their ends and a count."""
    out, run = [], []
    for message in [without_place(wire.show(m)) for m in messages] + [None]:
        if message is not None and message[0] == "DataRow":
            run.append(message)
            continue
        out += run if len(run) <= 12 else [*run[:3], f"{len(run)} rows {hash_of(run)}", *run[-3:]]
        run = []
        if message is not None:
            out.append(message)
    return out


def without_place(message):
    """Takes out where in the server's source an error was raised, for those that the gateway may answer by itself."""
    if message[0] == "Error" and message[1].get("C") in ("42601", "26000"):
        return [message[0], {k: v for k, v in message[1].items() if k not in "FLR"}]
    return message


def hash_of(data):
    """A digest of anything that prints the same each time."""
    import hashlib
    return hashlib.sha256(repr(data).encode()).hexdigest()[:32]


def ask(c, data, ready=1):
    """Sends the frames and shows what comes back."""
    c.send(data)
    return shown(c.until_ready(ready))


@case
def startup(c):
    # Without a name of its own a session may be named by the gateway.
    yield {k: v for k, v in sorted(c.parameters.items()) if k != "application_name"}
    named = wire.Connection(WAY, {"application_name": "conformance"})
    yield named.parameters["application_name"], named.value("show application_name")
    named.close()
    yield len(c.key) in range(8, 261), c.status
    for version in (wire.PROTOCOL_3_0, wire.PROTOCOL_3_2):
        other = wire.Connection(WAY, version=version)
        # Whether 3.2 is spoken is between the client and whom it talks to: the gateway, or an older server.
        yield version, other.value("select 1")
        other.close()
    other = wire.Connection(WAY, {"_pq_.unknown_thing": "1"})
    yield None if other.negotiated is None else other.negotiated[4:]
    other.close()


@case
def simple(c):
    for text in ("select 1 as one, 'x' as two", "select * from notes order by id", "select 1; select 2; select 3", "", ";", "-- c",
                 "select 1/0; select 2", "begin; select 1", "select 1/0", "select 1", "rollback", "commit", "vacuum; select 1",
                 "insert into notes values (10, 'a'), (11, 'b')", "update notes set body = 'c' where id >= 10", "delete from notes where id >= 10",
                 "select from notes limit 2", "create temp table gone (a int)", "drop table gone, nowhere", "set timezone = 'Asia/Tokyo'",
                 "set client_min_messages = notice; set datestyle = 'German'", "show datestyle", "select U&'\\0041'", "savepoint nowhere"):
        yield text, ask(c, query(text))


@case
def extended_formats(c):
    for results in ([0], [1], [0, 1] + [0] * 42):
        yield ask(c, extended("select * from every_type order by id", results=results))
    yield ask(c, extended("select $1, $2::int8", values=[b"x", struct.pack("!q", 7)], formats=[0, 1], results=[1], types=[25, 20]))
    yield ask(c, extended("select $1::int", values=[None]))
    yield ask(c, extended("select $1::int", values=[b"seven"]))
    yield ask(c, extended("select 1", values=[b"1"]))
    yield ask(c, extended("select 1", results=[0, 0]))
    yield ask(c, extended("select 1; select 2"))
    yield ask(c, extended(""))


@case
def named_statements(c):
    yield ask(c, parse("select id, body from notes where id = $1", "s1") + describe("S", "s1") + SYNC)
    for i in (b"1", b"2", b"9"):
        yield ask(c, bind("", "s1", [i]) + execute() + SYNC)
    yield ask(c, parse("select 1", "s1") + SYNC)
    yield ask(c, bind("", "nobody") + execute() + SYNC)
    yield ask(c, close("S", "s1") + close("S", "never was") + SYNC)
    yield ask(c, bind("", "s1", [b"1"]) + execute() + SYNC)
    yield ask(c, parse("insert into notes values ($1, $2)", "ins") + describe("S", "ins") + bind("", "ins", [b"20", b"x"]) + describe("P") + execute() + SYNC)
    yield ask(c, bind("", "ins", [b"20", b"again"]) + execute() + SYNC)
    yield ask(c, query("delete from notes where id = 20"))
    yield ask(c, query("deallocate ins") + query("deallocate ins"), 2)
    yield ask(c, parse("select 'unnamed'") + SYNC) + ask(c, bind() + execute() + SYNC)
    yield ask(c, query("select 1")) + ask(c, bind() + execute() + SYNC)


@case
def portals(c):
    yield ask(c, query("begin"))
    yield ask(c, parse("select id from customers order by id", "p") + bind("a", "p") + bind("b", "p") + execute("a", 3) + execute("b", 2) + execute("a", 2) + SYNC)
    yield ask(c, execute("a", 1) + describe("P", "a") + SYNC)
    yield ask(c, execute("b", 5000) + execute("b", 1) + SYNC)
    yield ask(c, bind("a", "p") + SYNC)
    yield ask(c, execute("a") + SYNC)
    yield ask(c, query("rollback"))
    yield ask(c, parse("select g from generate_series(1, 5) g") + bind() + execute("", 5) + execute("", 1) + SYNC)
    yield ask(c, parse("select 1 where false") + bind() + execute("", 1) + execute("", 0) + SYNC)
    yield ask(c, close("P", "nowhere") + SYNC)


@case
def pipelines(c):
    good = b"".join(parse(f"select {i}") + bind() + describe("P") + execute() for i in range(5))
    yield ask(c, good + SYNC)
    yield ask(c, b"".join(parse(f"select {i}") + bind() + execute() + SYNC for i in range(5)), 5)
    broken = parse("select 1") + bind() + execute() + parse("select 1/0") + bind() + execute() + parse("select 2") + bind() + execute()
    yield ask(c, broken + SYNC + parse("select 3") + bind() + execute() + SYNC, 2)
    yield ask(c, parse("selekt") + bind() + describe("P") + execute() + close("S") + FLUSH + query("select 'skipped too'") + SYNC + query("select 'seen'"), 2)
    yield ask(c, query("select 1") + query("select 1/0") + query("select 2"), 3)
    yield ask(c, SYNC + SYNC + SYNC, 3)
    yield ask(c, parse("insert into notes values (30, 'x')") + bind() + execute() + parse("select 1/0") + bind() + execute() + SYNC)
    yield ask(c, query("select count(*) from notes where id = 30"))
    yield ask(c, parse("begin") + bind() + execute() + parse("select 1") + bind() + execute() + SYNC + query("rollback"), 2)


@case
def flush(c):
    c.send(parse("select 1", "f") + describe("S", "f") + FLUSH)
    yield [wire.show(c.read()) for _ in range(3)]
    c.send(bind("", "f") + execute() + FLUSH)
    yield [wire.show(c.read()) for _ in range(3)]
    yield ask(c, SYNC)
    c.send(parse("selekt") + FLUSH)
    yield without_place(wire.show(c.read()))
    yield ask(c, SYNC)


@case
def frames_split_at_every_byte(c):
    data = extended("select $1::text, id from notes order by id", values=[b"split"]) + query("select 2")
    for at in range(1, len(data), 3):
        c.send(data[:at])
        time.sleep(0.001)
        c.send(data[at:])
        yield hash_of(shown(c.until_ready(2)))


@case
def copying(c):
    yield ask(c, query("copy notes to stdout"))
    yield ask(c, query("copy (select * from every_type order by id) to stdout (format binary)"))
    c.send(query("copy notes from stdin"))
    yield wire.show(c.read())
    yield ask(c, copy_data(b"40\tfor") + copy_data(b"ty\n41\t") + copy_data(b"more\n") + frame("c"))
    c.send(query("copy notes from stdin"))
    yield wire.show(c.read())
    yield ask(c, copy_data(b"42\tx\n") + frame("f", b"changed my mind\0"))
    yield ask(c, query("copy notes from stdin") + copy_data(b"bad line\n") + copy_data(b"43\ty\n") + frame("c") + query("select 'next'"), 2)
    yield ask(c, query("copy notes from stdin; copy notes to stdout; select 1") + copy_data(b"44\tz\n") + frame("c"))
    yield ask(c, parse("copy notes from stdin") + bind() + execute() + SYNC + copy_data(b"45\te\n") + frame("c") + SYNC)
    yield ask(c, SYNC)
    yield ask(c, parse("copy notes to stdout") + bind() + describe("P") + execute() + SYNC)
    yield ask(c, frame("c") + copy_data(b"stray") + query("select 'stray copy frames are dropped'"))
    yield ask(c, query("delete from notes where id >= 10"))


@case
def transaction_status(c):
    for text in ("begin", "select 1/0", "select 1", "savepoint a", "rollback", "begin", "savepoint a", "selekt", "rollback to a", "release a", "commit and chain", "commit",
                 "prepare transaction 'x'", "start transaction read only", "insert into notes values (1, 'x')", "abort", "begin isolation level serializable", "end"):
        yield text, ask(c, query(text))
    yield ask(c, parse("commit") + bind() + execute() + SYNC)


@case
def notices_and_notifications(c):
    yield ask(c, query("do $$ begin raise notice 'a'; raise exception 'b' using errcode = 'P0099', hint = 'h', detail = 'd', column = 'c'; end $$"))
    yield ask(c, query("listen news; notify news, 'one'; notify news"))
    other = wire.Connection(WAY)
    other.query("notify news, 'from another'")
    other.close()
    yield wire.show(c.read())
    yield ask(c, query("select pg_notify('news', 'two')"))
    yield ask(c, query("unlisten *"))


@case
def cancelling(c):
    c.send(query("select pg_sleep(30)"))
    time.sleep(0.3)
    started = time.monotonic()
    c.cancel()
    yield shown(c.until_ready()), time.monotonic() - started < 10
    c.cancel()
    time.sleep(0.2)
    yield ask(c, query("select 'an idle session is not hurt'"))
    wire.send_cancel(WAY, c.key[:4] + bytes(len(c.key) - 4))
    yield ask(c, query("select pg_sleep(0.2)"))


@case
def big_messages(c):
    text = b"x" * (9 << 20)
    yield ask(c, query(b"select length('" + text + b"')"))
    yield ask(c, extended("select length($1::text), $1::text", values=[text]))
    yield ask(c, query("select repeat('ab', 25000000)"))
    yield ask(c, extended("select repeat('ab', 25000000)::bytea", results=[1]))
    yield ask(c, query("select repeat('x', 200), g from generate_series(1, 20000) g"))


@case
def deep_pipeline_without_reading(c):
    data = b"".join(extended(f"select {i}, repeat('y', 100)") for i in range(5000))
    messages = c.send_and_read(data, lambda m: bool(m) and m[-1][0] == b"Z" and sum(1 for t, _ in m if t == b"Z") == 5000)
    yield len(messages), hash_of(shown(messages))


@case
def terminate(c):
    c.send(query("begin; insert into notes values (60, 'lost')"))
    c.until_ready()
    c.send(wire.TERMINATE)
    yield c.at_eof()
    other = wire.Connection(WAY)
    yield other.value("select count(*) from notes where id = 60")
    other.close()


for function in selected():
    try:
        answers = []
        connection = wire.Connection(WAY)
        try:
            answers.extend(function(connection))
        finally:
            connection.close()
        emit(function.__name__, answers)
    except Exception:
        crash(function.__name__)
