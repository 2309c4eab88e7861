"""The conformance set in psycopg 3: one connection for each case, so that one cannot spoil the next."""

import datetime
import decimal
import hashlib
import ipaddress
import threading
import time
import uuid

import psycopg
from psycopg import sql
from psycopg.types.range import Range

from program import case, crash, emit, endpoint, selected

WAY = endpoint()
# Errors that the gateway may answer by itself; where in the server's source they were raised is not compared.
BY_GATEWAY = ("42601", "26000")


def connect(**extra):
    """A new connection, as the endpoint says."""
    options = {"host": WAY["host"], "port": WAY["port"], "user": WAY["user"], "password": WAY["password"],
               "dbname": WAY["dbname"], "sslmode": WAY["sslmode"], "gssencmode": "disable", "connect_timeout": 30}
    if WAY["cafile"]:
        options["sslrootcert"] = WAY["cafile"]
    options.update(extra)
    return psycopg.connect(**options)


def described(cursor):
    """Columns with their types, rows, tag."""
    columns = [(c.name, c.type_code, c.internal_size, c.precision, c.scale) for c in cursor.description or []]
    return [columns, cursor.fetchall() if cursor.description else None, cursor.statusmessage]


def failure(function, *args, **kwargs):
    """What the server said when it refused."""
    try:
        result = function(*args, **kwargs)
    except psycopg.Error as e:
        d = e.diag
        return {"class": type(e).__name__, "state": d.sqlstate, "severity": d.severity_nonlocalized, "message": d.message_primary,
                "detail": d.message_detail, "hint": d.message_hint, "position": d.statement_position,
                "table": d.table_name, "column": d.column_name, "constraint": d.constraint_name,
                "type": d.datatype_name, "context": d.context, "source": None if d.sqlstate in BY_GATEWAY else d.source_function}
    return {"no error": repr(result)}


@case
def simple_and_extended(c):
    yield described(c.execute("select 1 as one, 'zwei' as two, null as three"))
    yield described(c.execute("select %s::int + 1, %s::text", (41, "x")))
    yield described(c.execute("select count(*) from customers"))
    yield c.info.transaction_status.name


@case
def text_and_binary(c):
    for binary in (False, True):
        yield described(c.execute("select * from every_type order by id", binary=binary))


@case
def parameters_in_every_type(c):
    values = {
        "int2": 5, "int8": 1 << 40, "float8": 1.25, "numeric": decimal.Decimal("1.50"), "text": "ä€漢🐘", "bytea": b"\0\xff",
        "bool": True, "date": datetime.date(2026, 2, 3), "time": datetime.time(1, 2, 3, 4),
        "timestamp": datetime.datetime(2026, 1, 2, 3, 4, 5), "interval": datetime.timedelta(days=1, microseconds=7),
        "timestamptz": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        "uuid": uuid.UUID(int=7), "inet": ipaddress.ip_address("10.0.0.1"), "int4[]": [1, None, 3],
        "text[]": ["a,b", 'c"d'], "int4range": Range(1, 5), "jsonb": psycopg.types.json.Jsonb({"a": [1, None]}),
    }
    for name, value in values.items():
        for mark in ("%t", "%b", "%s"):
            query = f"select {mark}::{name}, pg_typeof({mark}::{name})::text"
            yield name, mark, described(c.execute(query, (value, value)))


@case
def nulls(c):
    yield described(c.execute("select %s::int, %b::text, null::bytea", (None, None)))


@case
def prepared_reused(c):
    for i in range(12):
        yield c.execute("select name from customers where id = %s", (i + 1,), prepare=True).fetchall()
    yield len(c._prepared._names)
    yield described(c.execute("deallocate all"))


@case
def row_limited_stream(c):
    cursor = c.cursor()
    yield [r for r in cursor.stream("select id, total from orders where id <= %s order by id", (25,))]
    yield [r for r in cursor.stream("select id from orders order by id limit 10", size=3)]


@case
def server_cursors(c):
    with c.cursor(name="walk", scrollable=True) as cursor:
        cursor.execute("select id, name from customers order by id")
        yield cursor.fetchmany(3)
        cursor.scroll(5)
        yield cursor.fetchone()
        cursor.scroll(0, mode="absolute")
        yield cursor.fetchone()
        cursor.itersize = 100
        yield sum(1 for _ in cursor)
    c.commit()
    with c.cursor(name="held", withhold=True) as cursor:
        cursor.execute("select id from customers order by id desc")
        c.commit()
        yield cursor.fetchmany(2)


@case
def pipeline(c):
    c.autocommit = True
    with c.pipeline() as p:
        one = c.execute("select 1")
        two = c.execute("select %s::text", ("zwei",))
        p.sync()
        three = c.execute("select 3")
        yield one.fetchall(), two.fetchall(), three.fetchall()
    yield c.info.transaction_status.name


@case
def pipeline_with_error(c):
    # On libpq's own functions: psycopg reads ahead, so that timing decides which cursor gets the error.
    pg = c.pgconn
    pg.enter_pipeline_mode()
    for batch in ((b"select 1", b"select 1 / 0", b"select 'never'"), (b"select 'after'",),
                  (b"insert into notes values (90, 'undone')", b"insert into notes values (1, 'duplicate')"),
                  (b"select count(*) from notes where id = 90",)):
        for text in batch:
            pg.send_query_params(text, None)
        pg.pipeline_sync()
    syncs = 0
    while syncs < 4:
        result = pg.get_result()
        if result is None:
            continue
        status = psycopg.pq.ExecStatus(result.status).name
        syncs += status == "PIPELINE_SYNC"
        yield status, result.get_value(0, 0) if result.ntuples else None, result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
    pg.exit_pipeline_mode()
    yield psycopg.pq.TransactionStatus(pg.transaction_status).name


@case
def long_pipeline(c):
    c.autocommit = True
    with c.pipeline():
        cursors = [c.execute("select %s::int, repeat('x', %s)", (i, i)) for i in range(1000)]
    yield sum(k.fetchone()[0] for k in cursors)


@case
def executemany_returning(c):
    cursor = c.cursor()
    cursor.executemany("insert into notes values (%s, %s) returning id", [(i, f"n{i}") for i in range(10, 30)], returning=True)
    out = []
    while True:
        out.append(cursor.fetchall())
        if not cursor.nextset():
            break
    yield out
    yield cursor.rowcount


@case
def multi_statement(c):
    c.autocommit = True
    cursor = c.execute("select 1; insert into notes values (50, 'fifty'); select body from notes where id = 50; delete from notes where id = 50")
    while True:
        yield described(cursor)
        if not cursor.nextset():
            break
    yield failure(c.execute, "insert into notes values (51, 'x'); select 1/0; insert into notes values (52, 'y')")
    yield c.execute("select count(*) from notes where id in (51, 52)").fetchall()


@case
def copy_out_text_and_binary(c):
    for form in ("text", "csv, header", "binary"):
        with c.cursor().copy(f"copy (select * from every_type order by id) to stdout (format {form})") as copy:
            yield b"".join(bytes(b) for b in copy)
    with c.cursor().copy("copy customers to stdout") as copy:
        rows = list(copy.rows())
    yield len(rows), rows[0], rows[-1]


@case
def copy_in_text_and_binary(c):
    cursor = c.cursor()
    c.execute("create temp table sink (like every_type)")
    for form in ("text", "binary"):
        with c.cursor().copy(f"copy every_type to stdout (format {form})") as copy:
            data = b"".join(bytes(b) for b in copy)
        with cursor.copy(f"copy sink from stdin (format {form})") as copy:
            for at in range(0, len(data), 7):
                copy.write(data[at:at + 7])
        yield cursor.rowcount, cursor.statusmessage
    yield described(c.execute("select count(*), count(distinct sink::text) from sink"))
    with cursor.copy("copy notes (id, body) from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for i in range(100, 120):
            copy.write_row((i, f"row {i}"))
    yield cursor.statusmessage


@case
def copy_in_fails(c):
    def broken():
        with c.cursor().copy("copy notes from stdin") as copy:
            copy.write("61\tfine\nnot a number\tx\n")
    yield failure(broken)
    c.rollback()

    def given_up():
        with c.cursor().copy("copy notes from stdin") as copy:
            copy.write("62\tfine\n")
            raise psycopg.OperationalError("the client gives up")
    yield failure(given_up)
    c.rollback()
    yield c.execute("select count(*) from notes where id in (61, 62)").fetchall()


@case
def big_copy_in(c):
    cursor = c.cursor()
    with cursor.copy("copy notes from stdin") as copy:
        for i in range(200_000):
            copy.write(f"{1000 + i}\tbody of note number {i}\n")
    yield cursor.statusmessage
    yield c.execute("select count(*), sum(length(body)) from notes").fetchall()
    c.rollback()


@case
def transactions(c):
    c.execute("insert into notes values (70, 'kept')")
    yield c.info.transaction_status.name
    c.commit()
    c.execute("insert into notes values (71, 'dropped')")
    c.rollback()
    yield c.execute("select id from notes where id in (70, 71)").fetchall()
    c.rollback()
    with c.transaction():
        c.execute("insert into notes values (72, 'outer')")
        try:
            with c.transaction():
                c.execute("insert into notes values (73, 'inner')")
                c.execute("select 1/0")
        except psycopg.Error as e:
            yield e.sqlstate
        yield c.info.transaction_status.name
    yield c.execute("select id from notes where id in (72, 73)").fetchall()
    c.rollback()
    for level in psycopg.IsolationLevel:
        c.isolation_level = level
        yield c.execute("show transaction_isolation").fetchall()
        c.rollback()
    c.isolation_level = None
    c.read_only = True
    yield failure(c.execute, "insert into notes values (74, 'read only')")
    yield c.info.transaction_status.name
    yield failure(c.execute, "select 1")
    c.rollback()


@case
def savepoints(c):
    for text in ("savepoint a", "insert into notes values (80, 'a')", "savepoint b"):
        yield c.execute(text).statusmessage
    yield failure(c.execute, "insert into notes values (80, 'again')")
    for text in ("rollback to savepoint b", "release savepoint a"):
        yield c.execute(text).statusmessage
    yield c.execute("select body from notes where id = 80").fetchall()
    yield failure(c.execute, "rollback to savepoint nowhere")
    c.rollback()


@case
def notices(c):
    heard = []
    c.add_notice_handler(lambda d: heard.append([d.severity, d.sqlstate, d.message_primary, d.message_hint]))
    c.execute("do $$ begin raise notice 'hello %', 1; raise warning 'careful' using hint = 'a hint'; end $$")
    c.execute("drop table if exists not_there")
    c.commit()
    c.execute("commit")
    yield heard


@case
def listen_and_notify(c):
    c.autocommit = True
    yield c.execute("listen news").statusmessage
    c.execute("notify news, 'first'")
    c.execute("select pg_notify('news', 'second')")
    yield [(n.channel, n.payload) for n in c.notifies(timeout=10, stop_after=2)]
    yield c.execute("unlisten news").statusmessage


@case
def parameter_status(c):
    names = ("server_version", "server_encoding", "client_encoding", "application_name", "is_superuser",
             "session_authorization", "DateStyle", "IntervalStyle", "TimeZone", "integer_datetimes",
             "standard_conforming_strings", "in_hot_standby", "default_transaction_read_only", "search_path")
    # Without a name of its own a session may be named by the gateway.
    yield {n: c.info.parameter_status(n) for n in names if n != "application_name"}
    c.execute("set application_name = 'renamed'")
    c.execute("set timezone = 'Asia/Tokyo'")
    c.execute("set datestyle = 'German'")
    yield {n: c.info.parameter_status(n) for n in names}
    yield described(c.execute("select current_setting('application_name'), (timestamptz '2026-01-01 00:00+00')::text, (date '2026-02-01')::text"))
    yield c.info.server_version, c.info.encoding


@case
def errors(c):
    c.autocommit = True
    for text in ("selekt 1", "select nothing", "select * from nowhere", "select 1/0", "select 'x'::int",
                 "insert into customers values (1, 'again')", "insert into notes values (null, 'x')",
                 "insert into orders values (99999, 99999, 1, now())", "select 101::percent", "select ('a'::mood)",
                 "select f(1)", "select 'ä€' || syntax error here", "select $1", "vacuum nowhere", "fetch from nobody",
                 "execute nobody", "begin; select 1/0; commit"):
        yield text, failure(c.execute, text)
        if c.info.transaction_status.name != "IDLE":
            c.execute("rollback")
    yield failure(c.execute, "select %s::int", ("not a number",))
    yield failure(c.execute, "select %s + %s", ("a", "b"))
    yield c.execute("select 'usable'").fetchall()


@case
def cancel(c):
    c.autocommit = True
    timer = threading.Timer(0.3, c.cancel_safe)
    timer.start()
    started = time.monotonic()
    yield failure(c.execute, "select pg_sleep(30)")
    yield time.monotonic() - started < 10
    timer.join()
    yield c.execute("select 'usable'").fetchall()


@case
def big_result(c):
    total, count = hashlib.sha256(), 0
    with c.cursor() as cursor:
        for r in cursor.stream("select g, md5(g::text), g::numeric / 3 from generate_series(1, 1000000) g", size=1000):
            count += 1
            if count % 1000 == 0:
                total.update(repr(r).encode())
    yield count, total.hexdigest()
    rows = c.execute("select g, md5(g::text) from generate_series(1, 1000000) g").fetchall()
    yield len(rows), rows[-1]


@case
def rows_larger_than_any_buffer(c):
    yield c.execute("select repeat('0123456789', 5000000)").fetchone()
    yield c.execute("select repeat('ä', %s), 7", (1000000,), binary=True).fetchone()
    yield c.execute("select decode(repeat('00ff', 10000000), 'hex')", binary=True).fetchone()


@case
def statement_of_9_mib(c):
    text = "x" * (9 * 1024 * 1024)
    yield c.execute(f"select length('{text}')").fetchall()
    yield c.execute("select length(%s::text), %s::text", (text, text)).fetchall()
    yield c.execute(f"select /* {text} */ 1").fetchall()
    yield c.execute(sql.SQL("select {}").format(sql.SQL(" + ").join([sql.SQL("1")] * 2000))).fetchall()


@case
def empty_query(c):
    for text in ("", ";", "  -- nothing\n", "/* */"):
        yield text, described(c.execute(text))


@case
def identifiers_and_unicode(c):
    table = sql.Identifier('Weird "Name" – 表')
    yield described(c.execute(sql.SQL("select {} as x, * from {} order by 1").format(sql.Identifier("select"), table)))
    yield described(c.execute(sql.SQL("insert into {} values (3, %s, %s) returning *").format(table), ("'; drop table x; --", "🐘\\")))
    yield described(c.execute("select U&'d\\0061t\\+000061', E'\\u00e4', $tag$ dollar $$ quoted $tag$, 'a' 'b'" .replace("' '", "'\n'")))
    yield described(c.execute("select 1 as \"🐘\", 2 as \"?column?\""))


@case
def statement_variety(c):
    for text in ("table notes", "values (1, 'a'), (2, 'b')", "explain (costs off) select * from notes",
                 "with x as (select 1 as a) select * from x", "with d as (delete from notes where id = 3 returning *) select * from d",
                 "insert into notes values (1, 'x') on conflict (id) do update set body = excluded.body || '!' returning body",
                 "merge into notes n using (values (1, 'm'), (200, 'new')) v(id, body) on n.id = v.id when matched then update set body = v.body when not matched then insert values (v.id, v.body)",
                 "update notes set body = upper(body) returning id, body", "truncate audit_log",
                 "create table made (a int, b text default 'x')", "alter table made add column c date", "create index on made (a)",
                 "insert into made select g from generate_series(1, 5) g", "select * from made order by a", "create view seen as select a from made",
                 "select * from seen order by a", "select * into made2 from made", "create temp table t1 as select 1 as x", "select * from t1",
                 "analyze made", "comment on table made is 'c'", "lock table made in share mode", "drop view seen", "drop table made, made2",
                 "show timezone", "set local work_mem = '8MB'", "select leave_mark('x') > 0", "call mark_twice('p')", "select what from audit_log",
                 "prepare p (int) as select name from customers where id = $1", "execute p (3)", "deallocate p",
                 "declare k cursor for select id from notes order by id", "fetch 2 from k", "move 1 in k", "fetch all from k", "close k",
                 "select add_one(1), order_totals.name from order_totals order by name limit 1", "reindex table notes", "checkpoint_not_a_thing"):
        try:
            yield text, described(c.execute(text))
        except psycopg.Error as e:
            yield text, e.sqlstate, str(e)
    c.rollback()


@case
def protocol_versions(c):
    yield c.info.backend_pid > 0
    if psycopg.pq.version() >= 180000:
        for version in ("3.0", "3.2", "latest"):
            try:
                with connect(min_protocol_version="3.0", max_protocol_version=version) as other:
                    # Whether 3.2 is spoken is between the client and whom it talks to: the gateway, or an older server.
                    yield version, other.pgconn.full_protocol_version >= 30000, other.execute("select 1").fetchall()
                    timer = threading.Timer(0.3, other.cancel_safe)
                    timer.start()
                    yield failure(other.execute, "select pg_sleep(20)")["state"]
                    timer.join()
            except psycopg.OperationalError as e:
                yield version, type(e).__name__


@case
def connection_options(c):
    yield failure(connect, dbname=WAY["dbname"] + "_not_there")["class"]
    with connect(application_name="conformance ü") as other:
        yield other.execute("show application_name").fetchall()
    with connect(client_encoding="utf8") as other:
        yield other.info.encoding


@case
def many_connections(c):
    connections = [connect() for _ in range(40)]
    yield sum(k.execute("select 1").fetchone()[0] for k in connections)
    for k in connections:
        k.close()


for function in selected():
    try:
        answers = []
        connection = connect()
        try:
            answers.extend(function(connection))
        finally:
            connection.close()
        emit(function.__name__, answers)
    except Exception:
        crash(function.__name__)
