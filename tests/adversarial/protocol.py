"""Attacks that need control over frames: order, names, startup, TLS, cancel keys. Each takes the scene."""

import socket
import ssl
import struct
import time

import wire
from harness import ROLE, Endpoint
from wire import SYNC, bind, close, describe, execute, extended, frame, parse, query

NINE_MIB = 9 << 20
# How old the catalog behind a verdict may be, when somebody else changed it past the gateway (docs/postgres.md), with some room.
STALE_SECONDS_MAX = 15


def errors(messages):
    """The SQLSTATEs of the errors among messages."""
    return [wire.fields(p).get("C") for t, p in messages if t == b"E"]


def tags(messages):
    """The message types in order."""
    return b"".join(t for t, _ in messages).decode()


def reject(connect, what):
    """Checks that a connection is refused: an error or a close, and no session."""
    try:
        connection = connect()
    except (wire.ServerRefusal, wire.WireError, OSError, ssl.SSLError) as e:
        return e
    connection.close()
    raise AssertionError(f"{what}: a session was opened")


# -- row 1: what cannot be read --------------------------------------------------------------------------------------


def adv_001_parse_failure(scene):
    c, since = scene.connect(), scene.offset()
    for text in ("selekt 1", "select 'open", "select (1", "select 1 2 3 from", "\\d", "select $q$ x", "(" * 6000, "select " + "1+" * 400_000 + "1"):
        mark = scene.mark()
        for form in ("simple", "extended"):
            messages = scene.ask(c, f"{text} {mark}", form)
            assert errors(messages) and errors(messages)[0] in ("42501", "42601", "54001", "54000"), f"{text[:30]!r}: {errors(messages)}"
            assert tags(messages).count("Z") == 1, tags(messages)
            assert not scene.logged(mark, since), f"{text[:30]!r} was forwarded unread"
        scene.in_sync(c)
    c.close()


def adv_001_unknown_message(scene):
    for tag in (b"z", b"\x00", b"V", b"R", b"Z", b"K"):
        c = scene.connect()
        c.send(frame(tag, b"x" * 10) + query("select 'behind'"))
        try:
            messages = c.until_ready()
            assert errors(messages), f"{tag!r}: {tags(messages)}"
            assert "D" not in tags(messages) or tags(messages).index("E") < tags(messages).index("D")
        except (wire.WireError, OSError):
            pass
        c.close()


def adv_001_hostile_lengths(scene):
    for size in (-1, 0, 3, 0x7FFFFFFF, -0x80000000, 1 << 30):
        c = scene.connect()
        c.send(b"Q" + struct.pack("!i", size) + b"select 1\0")
        if size < 4:
            assert c.at_eof(20), f"a message of length {size} did not end the session"
        else:
            before, block = scene.memory(), b"x" * (1 << 20)
            try:
                for _ in range(100):
                    c.send(block)
            except OSError:
                pass
            grown = scene.memory() - before
            assert grown < 48 << 20, f"a message of length {size} made the gateway grow by {grown >> 20} MiB"
        c.close()
    for size in (0, 3, 4, 7, 100_000, 0x7FFFFFFF, -5):
        c = scene.connect(login=False)
        c.send(struct.pack("!i", size) + b"\0" * 16)
        assert c.at_eof(30), f"a startup packet of length {size} did not end the connection"


def adv_001_malformed_frames(scene):
    bodies = [frame("Q", b"no end"), frame("P", b"x"), frame("P", b"\0select 1\0\x7f\xff"), frame("B", b"\0\0\0\1"), frame("B", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"),
              frame("B", b"\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"), frame("D", b"Q\0"), frame("D", b""), frame("C", b"X\0"), frame("E", b"\0"), frame("E", b"p"), frame("S", b"x"), frame("H", b"xx"), frame("p", b"password\0")]
    for body in bodies:
        c = scene.connect()
        c.send(body + SYNC + query("select 'after'"))
        try:
            messages = c.until_ready(1)
            assert errors(messages), f"{body!r} was accepted: {tags(messages)}"
        except (wire.WireError, OSError):
            pass
        c.close()
    scene.in_sync(scene.connect())


# -- rows 5, 18, 19, 20: pipelines and names -------------------------------------------------------------------------


def adv_005_behind_a_denied_action(scene):
    c, since = scene.connect("ci-deploy"), scene.offset()
    mark = scene.mark()
    c.send(query(f"delete from staff /* {mark} */") + query("insert into notes values (500, 'in turn')") + query("select 5"))
    messages = c.until_ready(3)
    assert errors(messages) == ["42501"], errors(messages)
    assert tags(messages).endswith("CZTDCZ"), tags(messages)
    pipeline = parse("insert into notes values (501, 'before')") + bind() + execute() + parse(f"delete from staff where id = 1 /* {mark} */") + bind() + describe("P") + execute()
    pipeline += parse("insert into notes values (502, 'never')") + bind() + execute() + close("S") + SYNC
    c.send(pipeline + parse("select 'next'") + bind() + execute() + SYNC)
    messages = c.until_ready(2)
    assert errors(messages) == ["42501"], errors(messages)
    assert tags(messages) in ("12CEZ12DCZ",), tags(messages)
    assert scene.admin("select string_agg(id::text, ',' order by id) from notes where id between 500 and 510") == "500", "the work before the denied statement, in the same Sync, must be undone with it"
    assert not scene.logged(mark, since)
    scene.in_sync(c)
    c.query("delete from notes where id = 500")
    c.close()


def adv_005_simple_behind_denied_extended(scene):
    c = scene.connect()
    c.send(parse("drop table staff") + query("select 'skipped until Sync'") + SYNC + query("select 'answered'"))
    messages = c.until_ready(2)
    assert errors(messages) == ["42501"] and tags(messages) == "EZTDCZ", tags(messages)
    scene.in_sync(c)
    c.close()


def adv_005_denied_in_a_transaction(scene):
    c = scene.connect("ci-deploy")
    c.query("begin")
    c.query("insert into notes values (510, 'x')")
    scene.refused(c.query("delete from staff"))
    assert c.status == b"E", f"a refusal must fail the transaction like any error, the status is {c.status!r}"
    messages = c.query("select 1")
    assert errors(messages) == ["25P02"], errors(messages)
    messages = c.query("commit")
    assert dict(messages)[b"C"] == b"ROLLBACK\0" and c.status == b"I"
    assert scene.admin("select count(*) from notes where id = 510") == "0"
    c.query("begin")
    c.query("savepoint s")
    scene.refused(c.query("drop table staff"))
    messages = c.query("rollback to s")
    assert not errors(messages) and c.status == b"T", (errors(messages), c.status)
    assert c.value("select 1") == "1"
    c.query("rollback")
    scene.in_sync(c)
    c.close()


def adv_005_deep_pipeline_of_denials(scene):
    c = scene.connect()
    data = b"".join(extended("drop table staff" if i % 2 else f"select {i}") for i in range(2000))
    messages = c.send_and_read(data, lambda m: bool(m) and m[-1][0] == b"Z" and sum(1 for t, _ in m if t == b"Z") == 2000)
    answers = [p for t, p in messages if t in (b"D", b"E")]
    assert len(answers) == 2000
    for i in range(0, 2000, 2):
        assert wire.row(answers[i])[0] == str(i).encode(), f"answer {i} is out of turn"
    assert errors(messages) == ["42501"] * 1000
    scene.in_sync(c)
    c.close()


def adv_018_verdict_belongs_to_the_statement(scene):
    c = scene.connect()
    c.send(parse("delete from staff", "bad") + describe("S", "bad") + bind("", "bad") + execute() + SYNC)
    assert tags(c.until_ready()) == "EZ"
    c.send(bind("", "bad") + execute() + SYNC)
    assert errors(c.until_ready())[0] in ("26000", "42501")
    c.send(parse("select id from notes order by id", "good") + bind("p", "good") + execute("p", 1) + parse("delete from staff") + bind() + execute() + execute("p", 1) + SYNC)
    messages = c.until_ready()
    assert errors(messages) == ["42501"] and tags(messages) == "12DsEZ", tags(messages)
    for _ in range(3):
        c.send(bind("", "good") + describe("P") + execute("", 2) + SYNC)
        assert tags(c.until_ready()) == "2TDDsZ"
    c.send(bind("q", "good") + execute("q") + close("S", "good") + execute("q") + SYNC)
    assert not errors(c.until_ready())
    scene.in_sync(c)
    c.close()


def adv_018_binds_are_recorded(scene):
    word = scene.mark()
    c = scene.connect("ci-deploy")
    c.send(parse("insert into notes values ($1, $2)", "ins"))
    for i in (520, 521):
        c.send(bind("", "ins", [str(i).encode(), f"{word}-{i}".encode()]) + execute())
    c.send(SYNC)
    assert not errors(c.until_ready())
    c.query("delete from notes where id in (520, 521)")
    c.close()
    kept = b"".join(r["parameters"] for r in scene.gateway.statements() if r["identity"] == "ci-deploy")
    for i in (520, 521):
        assert f"{word}-{i}".encode() in kept, f"the bind {word}-{i} is not in the record"


def adv_019_name_reused(scene):
    c = scene.connect("ci-deploy")
    c.send(parse("select 1", "s") + SYNC)
    c.until_ready()
    c.send(parse("delete from staff", "s") + bind("", "s") + execute() + SYNC)
    c.until_ready()
    c.send(close("S", "s") + parse("delete from staff", "s") + bind("", "s") + execute() + SYNC)
    messages = c.until_ready()
    assert errors(messages)[0] == "42501", errors(messages)
    c.send(bind("", "s") + execute() + SYNC)
    c.until_ready()
    c.send(parse("select 2") + bind() + parse("delete from staff") + bind() + execute() + SYNC)
    assert errors(c.until_ready()) == ["42501"]
    c.query("prepare s as select 1")
    c.query("deallocate s")
    c.send(parse("select 3", "S") + bind("", "s") + execute() + SYNC)
    assert errors(c.until_ready())[0] in ("26000", "42501")
    assert scene.admin("select count(*) from staff") == "50"
    scene.in_sync(c)
    c.close()


def adv_019_meaning_changes_between_parse_and_execute(scene):
    scene.admin("create table swap_a (id int); create table swap_b (id int); insert into swap_a values (1); insert into swap_b values (2); create view door as select id from swap_a; "
                "create function slow(int) returns int language sql immutable as 'select $1'; alter table notes rename to notes_real; create table notes (id int primary key, body text);")
    try:
        c = scene.connect("ci-deploy")
        c.send(parse("delete from notes", "d") + parse("select slow(1)", "f") + SYNC)
        assert not errors(c.until_ready())
        c.send(bind("", "d") + execute() + bind("", "f") + execute() + SYNC)
        assert not errors(c.until_ready())
        scene.admin("drop table notes; create view notes as select * from staff; create or replace function slow(int) returns int language sql volatile as 'insert into audit_log (what) values (''slow'') returning 1'")
        time.sleep(0.5)
        # The catalog that verdicts stand on may be some seconds old; a statement that changes it is seen at once by its own session.
        c.send(parse("select 1") + SYNC)
        c.until_ready()
        deadline = time.monotonic() + STALE_SECONDS_MAX
        while time.monotonic() < deadline:
            before = scene.admin("select count(*) from staff"), scene.admin("select count(*) from audit_log where what = 'slow'")
            c.send(bind("", "f") + execute() + SYNC)
            if errors(c.until_ready()) == ["42501"]:
                break
            time.sleep(1)
        else:
            raise AssertionError(f"after {STALE_SECONDS_MAX} s the old verdict still stood: {before}")
        c.send(bind("", "d") + execute() + SYNC)
        assert errors(c.until_ready()) == ["42501"], "a prepared DELETE whose name now means another table"
        assert scene.admin("select count(*) from staff") == "50"
        scene.in_sync(c)
        c.close()
        return f"noticed after {time.monotonic() - deadline + STALE_SECONDS_MAX:.1f} s"
    finally:
        scene.admin("insert into staff select g, 'Staff ' || g, 40000 + g from generate_series(1, 50) g on conflict do nothing;"
                    " drop view if exists notes; drop table if exists notes; alter table notes_real rename to notes; drop view door; drop table swap_a, swap_b; drop function slow; truncate audit_log")


def adv_019_own_ddl_changes_the_meaning(scene):
    c = scene.connect("dora")
    d = scene.connect("ci-deploy")
    d.send(parse("insert into schema_migrations values ('own')", "m") + bind("", "m") + execute() + SYNC)
    assert not errors(d.until_ready())
    c.query("begin; alter table schema_migrations rename to was_migrations; alter table audit_log rename to schema_migrations; commit")
    try:
        d.send(bind("", "m") + execute() + SYNC)
        d.until_ready()
        assert scene.admin("select count(*) from schema_migrations where what = 'own'") == "0", "a write that was allowed for one table went to another"
    finally:
        c.query("begin; alter table schema_migrations rename to audit_log; alter table was_migrations rename to schema_migrations; delete from schema_migrations; commit")
        c.close()
        d.close()


def adv_020_function_call_message(scene):
    oid = int(scene.admin("select 'leave_mark'::regproc::oid"))
    for account in ("ana", "dora"):
        c, since = scene.connect(account), scene.offset()
        call = frame("F", struct.pack("!Ihhh", oid, 1, 0, 1) + struct.pack("!i", 5) + b"fast!" + struct.pack("!h", 0))
        c.send(call + query("select 'after'"))
        messages = c.until_ready(2)
        assert errors(messages) == ["42501"] and tags(messages) == "EZTDCZ", tags(messages)
        assert scene.admin("select count(*) from audit_log") == "0"
        assert not scene.logged("fast!", since) and not scene.logged("fastpath", since)
        scene.in_sync(c)
        c.close()


def adv_021_cursors_are_counted(scene):
    c = scene.connect()
    messages = c.query("select id from staff")
    assert len([t for t, _ in messages if t == b"D"]) <= 20 and errors(messages), f"the limit of 20 rows did not hold: {tags(messages)}"
    scene.in_sync(c)
    c.query("begin")
    c.query("declare c cursor for select id from staff")
    messages = c.query("fetch all from c")
    assert len([t for t, _ in messages if t == b"D"]) <= 20, "FETCH went round the limit"
    c.query("rollback")
    c.send(parse("select id from staff", "st") + bind("p", "st") + b"".join(execute("p", 10) for _ in range(5)) + SYNC)
    messages = c.until_ready()
    assert len([t for t, _ in messages if t == b"D"]) <= 20, "a portal with a row limit went round the limit"
    scene.in_sync(c)
    messages = c.query("copy staff to stdout")
    assert len([t for t, _ in messages if t == b"d"]) <= 21, "COPY went round the limit"
    if c.status != b"I":
        c.query("rollback")
    scene.in_sync(c)
    c.close()


# -- rows 24 to 28: startup ------------------------------------------------------------------------------------------


def adv_024_replication(scene):
    for value in ("true", "database", "on", "1", "yes"):
        reject(lambda v=value: scene.connect("dora", parameters={"replication": v}), f"replication={value}")
    c = scene.connect("dora")
    for text in ("IDENTIFY_SYSTEM", "START_REPLICATION 0/0", "BASE_BACKUP"):
        assert errors(c.query(text)), text
    scene.in_sync(c)
    c.close()
    assert scene.admin("select count(*) from pg_stat_replication") == "0"


def adv_025_startup_options(scene):
    for options in ("-c role=postgres", "-crole=postgres", "--role=postgres", "-c session_authorization=postgres", "-c standard_conforming_strings=off",
                    "-c session_preload_libraries=x", "-c log_statement=none", "-O", "-P", "-S 1000"):
        try:
            c = scene.connect("ana", parameters={"options": options})
        except (wire.ServerRefusal, wire.WireError, OSError):
            continue
        assert c.value("select current_user") == ROLE and c.value("show standard_conforming_strings") == "on", f"{options} took effect"
        scene.refused(c.query("drop table staff"))
        c.close()
    for name, value in (("role", "postgres"), ("session_authorization", "postgres"), ("log_statement", "none"), ("session_replication_role", "replica")):
        try:
            c = scene.connect("ana", parameters={name: value})
        except (wire.ServerRefusal, wire.WireError, OSError):
            continue
        shown = c.value("select current_user") if name in ("role", "session_authorization") else c.value(f"select current_setting('{name}')")
        assert value not in str(shown), f"{name}={value} took effect"
        c.close()


def adv_025_a_search_path_brought_along(scene):
    """In the options it is refused. As a parameter of its own, which drivers send, it is SET search_path: names are looked up with it."""
    for options in ("-c search_path=evil,pg_catalog", "--search-path=evil,pg_catalog", "-cSearch_Path=evil"):
        e = reject(lambda o=options: scene.connect("ana", parameters={"options": o}), options)
        assert "search_path" in str(e), e
    c = scene.connect("ana", parameters={"search_path": "evil,pg_catalog"})
    scene.refused(c.query("select lower('x')"))
    scene.refused(c.query("select 1 + 2"))
    c.close()
    assert scene.admin("select count(*) from audit_log where what in ('lower', 'plus')") == "0"


def adv_025_smuggled_user_or_database(scene):
    way = scene.gateway.endpoint("ana")
    pairs = [("user", "ana"), ("database", way.dbname)]
    for extra in ([("user", "postgres")], [("database", "postgres")], [("user", "dora")], [("database", f"{way.dbname}/postgres")]):
        for order in (pairs + extra, extra + pairs):
            try:
                c = wire.Connection(way, order, replace=True)
            except (wire.ServerRefusal, wire.WireError, OSError):
                continue
            assert c.value("select current_database()") == "shop", f"{order} opened another database"
            scene.refused(c.query("drop table staff"))
            c.close()
    for user in ("dora", "postgres", "ANA", "ana\u0301", ""):
        reject(lambda u=user: wire.Connection(way, {"user": u, "database": way.dbname}, replace=True), f"ana's token as user {user!r}")
    for database in ("postgres", "template1", "shop\x1f", "../shop", "shop//postgres", "shop/../postgres", "SHOP", "", "not_there", "shop/postgres user=postgres", "x" * 5000):
        reject(lambda d=database: wire.Connection(way.with_database(d)), f"database {database[:40]!r}")


def adv_025_no_session_without_a_credential(scene):
    way = scene.gateway.endpoint("ana")
    for password in ("", "x", way.password[:-2], way.password + "x", way.password.replace(".", "..", 1), "a password of the tests", way.password.split(".")[0] + "." + way.password.split(".")[1] + "."):
        forged = Endpoint(way.host, way.port, way.user, password, way.dbname)
        e = reject(lambda f=forged: wire.Connection(f), f"password {password[:10]!r}")
        assert way.password not in str(e)
        assert isinstance(e, wire.ServerRefusal) and e.fields["C"] in ("28000", "28P01"), f"refused with {e}"
    c = wire.Connection(way, login=False)
    c.send(wire.startup_packet({"user": "ana", "database": way.dbname}) + query("drop table staff") + SYNC)
    c.at_eof(20)
    assert scene.admin("select to_regclass('staff') is null") == "f"


def adv_026_encodings_at_startup(scene):
    for encoding in ("SQL_ASCII", "GBK", "SJIS", "BIG5", "LATIN1", "nonsense"):
        try:
            c = scene.connect("ana", parameters={"client_encoding": encoding})
        except (wire.ServerRefusal, wire.WireError, OSError):
            continue
        assert c.value("show client_encoding") == "UTF8", f"client_encoding={encoding} took effect"
        c.close()
    for encoding in ("UTF8", "utf-8", "'utf-8'"):
        c = scene.connect("ana", parameters={"client_encoding": encoding})
        assert c.value("show client_encoding") == "UTF8"
        c.close()


def adv_026_bytes_that_are_no_text(scene):
    c, since = scene.connect(), scene.offset()
    for raw in (b"select '\xff'", b"select '\xc0\xaf'", b"select '\xed\xa0\x80'", b"select '\xf8\x88\x80\x80\x80'", b"drop table staff\xff", b"select \xbf\x27; drop table staff; --'"):
        mark = scene.mark().encode()
        for data in (query(raw + b" /*" + mark + b"*/"), parse(raw + b" /*" + mark + b"*/") + SYNC):
            c.send(data)
            messages = c.until_ready()
            assert errors(messages) and errors(messages)[0] in ("42501", "22021"), f"{raw!r}: {errors(messages)}"
            assert not scene.logged(mark.decode(), since)
    for data in (frame("Q", b"select 1\0; drop table staff\0"), frame("Q", b"select 1"), frame("Q", b""), frame("Q", b"\0\0"), frame("P", b"n\0select 1\0drop table staff\0\0\0")):
        d = scene.connect()
        d.send(data + SYNC)
        try:
            messages = d.until_ready()
            assert errors(messages), f"{data!r}: {tags(messages)}"
        except (wire.WireError, OSError):
            pass
        d.close()
    assert scene.admin("select count(*) from staff") == "50"
    scene.in_sync(c)
    c.close()


def adv_027_forged_cancel(scene):
    c = scene.connect("dora")
    other = scene.connect("ana")
    server_pid = scene.admin("select max(pid) from pg_stat_activity where backend_type = 'client backend' and usename = 'shop_app'")
    c.send(query("select pg_sleep(3), 'slept'"))
    time.sleep(0.3)
    key = c.key
    forged = [key[:4] + bytes(len(key) - 4), key[:4] + b"\xff" * (len(key) - 4), bytes(4) + key[4:], other.key[:4] + key[4:], key[:4] + other.key[4:], other.key,
              key[:-1] + bytes([key[-1] ^ 1]), struct.pack("!i", int(server_pid or 0)) + key[4:], key + b"\0", key[:-1], key[:4], b"", b"\0" * 300]
    for attempt in forged:
        wire.send_cancel(c.endpoint, attempt)
    started = time.monotonic()
    for i in range(200):
        wire.send_cancel(c.endpoint, struct.pack("!iI", struct.unpack("!i", key[:4])[0], i * 7919))
    messages = c.until_ready()
    assert not errors(messages), f"a forged cancel request ended the query: {errors(messages)}"
    assert b"slept" in dict(messages)[b"D"]
    c.send(query("select pg_sleep(20)"))
    time.sleep(0.3)
    c.cancel()
    messages = c.until_ready()
    assert errors(messages) == ["57014"], f"the right key did not cancel: {errors(messages)}"
    c.close()
    time.sleep(0.3)
    wire.send_cancel(c.endpoint, c.key)
    other.close()
    return f"{len(forged) + 200} forged requests in {time.monotonic() - started:.1f} s"


def adv_028_bytes_ahead_of_tls(scene):
    way = scene.gateway.endpoint("ana", plaintext=False)
    c = wire.Connection(way, login=False)
    c.send(struct.pack("!ii", 8, wire.SSL_CODE) + wire.startup_packet({"user": "dora", "database": way.dbname}))
    try:
        answer = c.socket.recv(1)
        context = ssl.create_default_context(cafile=way.cafile or None)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert answer in (b"S", b"E", b""), answer
        if answer == b"S":
            c.socket = context.wrap_socket(c.socket, server_hostname=way.host)
            c.send(wire.startup_packet({"user": way.user, "database": way.dbname}))
            c.authenticate()
            raise AssertionError("bytes sent ahead of the TLS handshake did not end the connection")
    except (wire.WireError, wire.ServerRefusal, OSError, ssl.SSLError):
        pass
    c.socket.close()


def adv_028_encryption_requests(scene):
    way = scene.gateway.endpoint("ana")
    c = wire.Connection(way, login=False)
    c.send(struct.pack("!ii", 8, wire.GSS_CODE))
    assert c.socket.recv(1) == b"N", "GSSENCRequest must be answered with N"
    c.send(wire.startup_packet({"user": way.user, "database": way.dbname}))
    c.authenticate()
    assert c.value("select 1") == "1"
    c.close()
    c = wire.Connection(way, login=False)
    c.send(struct.pack("!ii", 8, wire.GSS_CODE) + wire.startup_packet({"user": way.user, "database": way.dbname}))
    try:
        data = c.socket.recv(100)
        assert data in (b"", b"N") or data[:1] in (b"N", b"E"), data
    except OSError:
        pass
    c.socket.close()
    c = wire.Connection(way, login=False)
    for _ in range(50):
        try:
            c.send(struct.pack("!ii", 8, wire.GSS_CODE))
            if c.socket.recv(1) != b"N":
                break
        except OSError:
            break
    else:
        raise AssertionError("encryption can be asked for without end")


def adv_028_tls_ways_in(scene):
    way = scene.gateway.endpoint("ana", plaintext=False)
    assert way.cafile, "the gateway shows no authority for its certificate"
    c = wire.Connection(way)
    assert c.value("select 1") == "1"
    scene.refused(c.query("drop table staff"))
    c.close()
    c = wire.Connection(way, login=False)
    c.tls(direct=True)
    assert c.socket.selected_alpn_protocol() == "postgresql"
    c.send(wire.startup_packet({"user": way.user, "database": way.dbname}))
    c.authenticate()
    assert c.value("select 2") == "2"
    c.close()
    c = wire.Connection(way, login=False)
    context = ssl.create_default_context(cafile=way.cafile)
    try:
        c.socket = context.wrap_socket(c.socket, server_hostname=way.host)
        c.send(wire.startup_packet({"user": way.user, "database": way.dbname}))
        c.authenticate()
        raise AssertionError("direct TLS without ALPN was accepted")
    except (wire.WireError, wire.ServerRefusal, OSError, ssl.SSLError):
        pass
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        raw = socket.create_connection((way.host, way.port), 10)
        raw.sendall(struct.pack("!ii", 8, wire.SSL_CODE))
        raw.recv(1)
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.wrap_socket(raw)
            raise AssertionError(f"{version.name} was accepted")
        except (ssl.SSLError, OSError, ValueError):
            raw.close()


def adv_028_plaintext_refused_where_it_must_be(scene):
    e = reject(lambda: wire.Connection(Endpoint("127.0.0.1", scene.gateway.strict_port, "ana", scene.gateway.token("ana"), "shop")), "plaintext on a listener that wants TLS")
    assert not isinstance(e, TimeoutError), "it hung"
    way = scene.gateway.endpoint("ana", plaintext=False)
    c = wire.Connection(Endpoint("127.0.0.1", scene.gateway.strict_port, way.user, way.password, way.dbname, way.sslmode, way.cafile))
    assert c.value("select 1") == "1"
    c.close()


# -- rows 29 and 31 --------------------------------------------------------------------------------------------------


def adv_029_writes_inside_an_allowed_transaction(scene):
    c = scene.connect("ana")
    for text in ("begin", "start transaction", "begin isolation level serializable"):
        c.query(text)
        scene.refused(c.query("delete from staff"))
        assert c.status == b"E"
        c.query("rollback and chain")
        if c.status != b"I":
            scene.refused(c.query("delete from staff"))
            c.query("rollback")
    scene.in_sync(c)
    c.close()
    assert scene.admin("select count(*) from staff") == "50"


def adv_031_nine_mib(scene):
    c, since = scene.connect(), scene.offset()
    big = b"x" * NINE_MIB
    c.send(query(b"select length('" + big + b"')"))
    messages = c.until_ready()
    if not errors(messages):
        assert wire.row(dict(messages)[b"D"])[0] == str(NINE_MIB).encode()
    else:
        assert errors(messages)[0] in ("42501", "54000"), errors(messages)
    for attack in (b"select 1 /*" + big + b"*/; drop table staff", b"/*" + big + b"*/ drop table staff", b"drop table staff --" + big, b"select '" + big + b"'; drop table staff",
                   b"select " + b"'" + big[: NINE_MIB // 2] + b"', '" + big[: NINE_MIB // 2] + b"' from (select 1) s; delete from staff"):
        c.send(query(attack))
        messages = c.until_ready()
        assert errors(messages) and errors(messages)[0] in ("42501", "54000"), errors(messages)
        assert tags(messages) == "EZ", tags(messages)
        c.send(parse(attack) + bind() + execute() + SYNC)
        messages = c.until_ready()
        assert errors(messages) and tags(messages) == "EZ", tags(messages)
    assert scene.admin("select count(*) from staff") == "50"
    assert not scene.logged("drop table staff", since)
    scene.in_sync(c)
    c.close()


def adv_031_beyond_the_limit(scene):
    for size in (16 << 20, (16 << 20) + 1, 40 << 20):
        c = scene.connect()
        c.send(query(b"select 1 /*" + b"x" * size + b"*/; drop table staff"))
        try:
            messages = c.until_ready()
            assert errors(messages) and errors(messages)[0] in ("42501", "54000"), errors(messages)
            scene.in_sync(c)
        except (wire.WireError, OSError):
            pass
        c.close()
    assert scene.admin("select count(*) from staff") == "50"


def adv_031_many_tokens(scene):
    c = scene.connect()
    for text in ("select " + "(" * 200 + "1" + ")" * 200, "select 1 where " + " or ".join(["1=1"] * 5000), "select 1 in (" + ",".join(["1"] * 100_000) + ")",
                 "select " + "(select " * 300 + "1" + ")" * 300, "select " + "array[" * 2000 + "1" + "]" * 2000, "with " + ", ".join(f"a{i} as (select 1)" for i in range(2000)) + " select 1"):
        started = time.monotonic()
        messages = c.query(text)
        assert time.monotonic() - started < 20, f"{text[:30]} took {time.monotonic() - started:.0f} s"
        assert tags(messages).endswith("Z")
        scene.refused(c.query(text + "; drop table staff"), ("42501", "54001", "54000"))
    scene.in_sync(c)
    c.close()
