"""The conformance set in asyncpg, which speaks the extended protocol in binary and asks the catalog about types."""

import asyncio
import datetime
import decimal
import hashlib
import inspect
import io
import ssl
import time
import uuid

import asyncpg

from program import case, crash, emit, endpoint, selected

WAY = endpoint()


async def connect(**extra):
    """A new connection, as the endpoint says."""
    way = False
    if WAY["sslmode"] != "disable":
        way = ssl.create_default_context(cafile=WAY["cafile"])
    options = {"host": WAY["host"], "port": WAY["port"], "user": WAY["user"], "password": WAY["password"],
               "database": WAY["dbname"], "ssl": way, "timeout": 60}
    return await asyncpg.connect(**(options | extra))


async def failure(awaitable):
    """What the server said when it refused."""
    try:
        return {"no error": repr(await awaitable)}
    except asyncpg.PostgresError as e:
        # Errors that the gateway may answer by itself: where in the server's source they were raised is not compared.
        by_gateway = e.sqlstate in ("42601", "26000")
        return {k: v for k, v in e.as_dict().items() if not (by_gateway and k.startswith("server_source"))}


def rows(records):
    """Records as lists of pairs."""
    return [list(r.items()) for r in records]


@case
async def simple_and_extended(c):
    yield await c.execute("select 1; select 2")
    yield rows(await c.fetch("select 1 as one, 'zwei' as two, null as three"))
    yield rows(await c.fetch("select $1::int + 1 as a, $2::text as b", 41, "x"))
    yield await c.fetchval("select count(*) from customers")


@case
async def every_type(c):
    for record in await c.fetch("select * from every_type order by id"):
        yield list(record.items())


@case
async def parameters_in_every_type(c):
    values = {
        "int2": 5, "int4": -5, "int8": 1 << 40, "float4": 0.5, "float8": 1.25, "numeric": decimal.Decimal("-1.50"),
        "text": "ä€漢🐘", "varchar": "v", "bytea": b"\0\xff", "bool": True, "date": datetime.date(2026, 2, 3),
        "time": datetime.time(1, 2, 3, 4), "timestamp": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "timestamptz": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        "interval": datetime.timedelta(days=1, microseconds=7), "uuid": uuid.UUID(int=7), "inet": "10.0.0.1",
        "int4[]": [1, None, 3], "text[]": ["a,b", 'c"d'], "int4range": asyncpg.Range(1, 5), "jsonb": '{"a": [1, null]}',
        "json": "[]", "mood": "ok", "mood[]": ["sad"], "address": ("Main", 10115), "address[]": [("a", 1), None],
        "bit(3)": asyncpg.BitString("101"), "point": asyncpg.Point(1, 2), "percent": 7, "oid": 4294967295,
    }
    for name, value in values.items():
        yield name, rows(await c.fetch(f"select $1::{name} as v, pg_typeof($1::{name})::text as t", value))


@case
async def prepared_reused(c):
    one = await c.prepare("select name from customers where id = $1")
    two = await c.prepare("select id, total from orders where customer_id = $1 order by id")
    yield [str(a) for a in one.get_attributes()], [str(p) for p in one.get_parameters()]
    for i in range(12):
        yield await one.fetchval(i + 1)
        yield rows(await two.fetch(i + 1))
    yield one.get_statusmsg()


@case
async def statement_cache(c):
    for i in range(150):
        yield await c.fetchval(f"select {i} + $1::int", i)
    yield await c.fetchval("select 1 + $1::int", 2)


@case
async def ddl_under_a_prepared_statement(c):
    await c.execute("create table shape (a int); insert into shape values (1)")
    yield rows(await c.fetch("select * from shape"))
    await c.execute("alter table shape add column b text default 'new'")
    yield rows(await c.fetch("select * from shape"))
    await c.execute("drop table shape")
    yield await failure(c.fetch("select * from shape"))


@case
async def cursors(c):
    async with c.transaction():
        cursor = await c.cursor("select id, name from customers order by id")
        yield rows(await cursor.fetch(3))
        yield await cursor.forward(5)
        yield rows([await cursor.fetchrow()])
        count = 0
        async for record in c.cursor("select id from orders order by id", prefetch=70):
            count += record["id"]
        yield count
    statement = await c.prepare("select id from customers order by id")
    async with c.transaction():
        yield [r["id"] async for r in statement.cursor(prefetch=300)][-3:]


@case
async def executemany(c):
    await c.executemany("insert into notes values ($1, $2)", [(i, f"n{i}") for i in range(10, 500)])
    yield await c.fetchval("select count(*) from notes")
    yield await failure(c.executemany("insert into notes values ($1, $2)", [(600, "x"), (600, "twice"), (601, "y")]))
    yield await c.fetchval("select count(*) from notes where id >= 600")
    yield await c.execute("delete from notes where id >= 10")


@case
async def copy(c):
    for form in ("text", "csv", "binary"):
        out = io.BytesIO()
        yield await c.copy_from_query("select * from every_type order by id", output=out, format=form)
        yield out.getvalue()
    out = io.BytesIO()
    yield await c.copy_from_table("customers", output=out, columns=["id", "name"])
    yield out.getvalue()
    yield await c.copy_to_table("notes", source=io.BytesIO(b"900\tfrom copy\n901\t\\N\n"))
    yield await c.copy_records_to_table("notes", records=[(i, f"r{i}") for i in range(1000, 3000)])
    yield await c.fetchval("select count(*) from notes")
    yield await failure(c.copy_to_table("notes", source=io.BytesIO(b"1\tduplicate\n")))
    yield await c.execute("delete from notes where id >= 900")


@case
async def transactions_and_savepoints(c):
    yield c.is_in_transaction()
    try:
        async with c.transaction(isolation="serializable"):
            await c.execute("insert into notes values (70, 'dropped')")
            yield c.is_in_transaction()
            raise KeyError
    except KeyError:
        pass
    async with c.transaction():
        await c.execute("insert into notes values (71, 'outer')")
        try:
            async with c.transaction():
                await c.execute("insert into notes values (72, 'inner')")
                await c.fetch("select 1/0")
        except asyncpg.PostgresError as e:
            yield e.sqlstate
        yield rows(await c.fetch("select id from notes where id >= 70"))
    yield rows(await c.fetch("select id from notes where id >= 70"))
    await c.execute("begin")
    yield await failure(c.fetch("select nothing"))
    yield await failure(c.fetch("select 1"))
    await c.execute("rollback")
    async with c.transaction(readonly=True):
        yield await failure(c.execute("insert into notes values (75, 'x')"))


@case
async def notices(c):
    heard = []
    c.add_log_listener(lambda _c, m: heard.append([m.severity, m.sqlstate, m.message]))
    await c.execute("do $$ begin raise notice 'hello %', 1; raise warning 'careful'; end $$")
    await asyncio.sleep(0.1)
    yield heard


@case
async def listen_and_notify(c):
    heard = asyncio.Queue()
    await c.add_listener("news", lambda _c, _pid, channel, payload: heard.put_nowait((channel, payload)))
    other = await connect()
    await other.execute("notify news, 'from another'")
    await c.execute("select pg_notify('news', 'from myself')")
    yield [await asyncio.wait_for(heard.get(), 10) for _ in range(2)]
    await other.close()


@case
async def settings(c):
    s = c.get_settings()
    yield {n: getattr(s, n) for n in ("server_encoding", "client_encoding", "TimeZone", "DateStyle", "is_superuser")}
    yield str(c.get_server_version())
    await c.execute("set timezone = 'Asia/Tokyo'; set application_name = 'renamed'")
    yield s.TimeZone, s.application_name
    other = await connect(server_settings={"application_name": "from the start"})
    yield await other.fetchval("show application_name")
    await other.close()


@case
async def errors(c):
    for text in ("selekt 1", "select nothing", "select 1/0", "insert into customers values (1, 'again')",
                 "insert into notes values (null, 'x')", "select 101::percent", "select f(1)"):
        yield text, await failure(c.fetch(text))
        yield text, await failure(c.execute(text))
    yield await c.fetchval("select 'usable'")


@case
async def cancel(c):
    started = time.monotonic()
    try:
        await c.fetch("select pg_sleep(30)", timeout=0.3)
    except asyncio.TimeoutError:
        yield "timed out"
    yield time.monotonic() - started < 10
    yield await c.fetchval("select 'usable'")
    task = asyncio.ensure_future(c.fetch("select pg_sleep(30)"))
    await asyncio.sleep(0.3)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        yield "cancelled"
    yield await c.fetchval("select 'usable'")


@case
async def big_result(c):
    records = await c.fetch("select g, md5(g::text) as m, g::numeric / 3 as n from generate_series(1, 1000000) g")
    total = hashlib.sha256()
    for record in records[::1000]:
        total.update(repr(record).encode())
    yield len(records), total.hexdigest()


@case
async def large_values(c):
    yield await c.fetchval("select repeat('0123456789', 5000000)")
    yield await c.fetchval("select $1::bytea", b"\0\xff" * 4_500_000)
    yield await c.fetchval("select length('" + "x" * (9 << 20) + "')")


@case
async def empty_query(c):
    for text in ("", ";", "-- nothing"):
        yield rows(await c.fetch(text))


@case
async def introspection(c):
    await c.set_type_codec("jsonb", encoder=repr, decoder=lambda v: ["decoded", v], schema="pg_catalog")
    yield await c.fetchval("select jb from every_type where id = 1")
    await c.set_type_codec("mood", encoder=str, decoder=str.upper, schema="public")
    yield await c.fetchval("select m from every_type where id = 1")
    await c.reload_schema_state()
    yield rows(await c.fetch("select ad, ma from every_type order by id"))


@case
async def connection_options(c):
    try:
        await connect(database=WAY["dbname"] + "_not_there")
    except (asyncpg.PostgresError, OSError) as e:
        yield type(e).__mro__[-4].__name__


async def main():
    """Every case on a connection of its own."""
    for function in selected():
        try:
            c = await connect()
            try:
                answers = [answer async for answer in function(c)]
            finally:
                if not c.is_closed():
                    await c.close(timeout=30)
            emit(function.__name__, answers)
        except Exception:
            crash(function.__name__)


assert all(inspect.isasyncgenfunction(f) for f in selected())
asyncio.run(main())
