"""Asks every question of a file by psycopg and asyncpg in each of their ways, and reports how each was answered.

It judges no answer: what came over the wire is looked at elsewhere. Results are parsed by the driver, so a value that
breaks one is an error of the question.
"""

import asyncio
import json
import sys

import asyncpg
import psycopg

MARK = "select 'question {id} of {way}' as mark"


def emit(way, question, status, note=""):
    """One line for the answer to a question."""
    print(json.dumps({"way": way, "id": question["id"], "status": status, "note": note[:300]}), flush=True)


def psycopg_ask(connection, way, question):
    """One question; None when this way cannot ask it."""
    if question["kind"] == "script" and way != "psycopg-simple":
        return False
    if question["kind"] == "copy":
        if way not in ("psycopg-simple", "psycopg-text"):
            return False
        with connection.cursor() as cursor, cursor.copy(question["sql"]) as copy:
            for _ in copy:
                pass
        return True
    if way == "psycopg-named":
        if not question["sql"].lower().startswith(("select", "with", "values", "table")):
            return False
        with connection.transaction(), connection.cursor(name="c", binary=True) as cursor:
            cursor.itersize = 7
            cursor.execute(question["sql"])
            for _ in cursor:
                pass
        return True
    options = {"binary": True} if way == "psycopg-binary" else {}
    kind = psycopg.ClientCursor if way == "psycopg-simple" else psycopg.Cursor
    with kind(connection) as cursor:
        for _ in range(2 if way == "psycopg-prepared" else 1):
            if way == "psycopg-simple":
                cursor.execute(question["sql"])
            else:
                cursor.execute(question["sql"], prepare=way == "psycopg-prepared", **options)
            while True:
                if cursor.description:
                    cursor.fetchall()
                if not cursor.nextset():
                    break
    return True


def psycopg_way(dsn, way, questions):
    """All questions on one connection, or as many as it lives through."""
    connection = None
    for question in questions:
        if connection is None or connection.closed:
            connection = psycopg.connect(**dsn, autocommit=True)
        try:
            connection.execute(MARK.format(id=question["id"], way=way))
            if psycopg_ask(connection, way, question):
                emit(way, question, "answered")
        except psycopg.Error as e:
            emit(way, question, e.sqlstate or type(e).__name__, str(e))
        except Exception as e:
            emit(way, question, "broke the driver", repr(e))
        try:
            if not connection.closed:
                connection.rollback()
                connection.execute("deallocate all")
        except psycopg.Error:
            connection.close()
    if connection is not None:
        connection.close()


async def asyncpg_way(dsn, way, questions):
    """The same by asyncpg: binary, prepared and cached; or by its simple protocol."""
    connection = None
    for question in questions:
        if connection is None or connection.is_closed():
            connection = await asyncpg.connect(host=dsn["host"], port=dsn["port"], user=dsn["user"], password=dsn["password"], database=dsn["dbname"], ssl=False, timeout=60)
        try:
            await connection.execute(MARK.format(id=question["id"], way=way))
            if way == "asyncpg-simple":
                if question["kind"] == "copy":
                    continue
                await connection.execute(question["sql"], timeout=60)
            elif question["kind"] == "copy":
                inner = question["sql"]
                if not inner.startswith("copy (") or ") to stdout" not in inner:
                    continue
                await connection.copy_from_query(inner[len("copy ("):inner.index(") to stdout")], output=swallow, format="binary", timeout=60)
            elif question["kind"] == "rows":
                for _ in range(2):
                    await connection.fetch(question["sql"], timeout=60)
            else:
                continue
            emit(way, question, "answered")
        except asyncpg.PostgresError as e:
            emit(way, question, e.sqlstate, str(e))
        except (asyncpg.UnsupportedClientFeatureError, asyncpg.InternalClientError) as e:
            # asyncpg has no codec for rows of a table with a macaddr8, whoever answers; the connection then knows half of its types.
            emit(way, question, "no codec", str(e))
            await connection.close(timeout=5)
        except Exception as e:
            emit(way, question, "broke the driver", repr(e))
        try:
            if not connection.is_closed():
                # By the extended protocol nothing is prepared by name but what asyncpg itself keeps and goes on using.
                await connection.execute("rollback; deallocate all" if way == "asyncpg-simple" else "rollback")
        except Exception:
            await connection.close(timeout=5)
            connection = None
    if connection is not None:
        await connection.close()


async def swallow(_data):
    """Takes the bytes of a copy."""


WAYS = ("psycopg-simple", "psycopg-text", "psycopg-binary", "psycopg-prepared", "psycopg-named", "asyncpg", "asyncpg-simple")


def main():
    """Arguments: the file with the endpoint, the file with the questions, and the ways."""
    with open(sys.argv[1], encoding="utf-8") as f:
        way_in = json.load(f)
    with open(sys.argv[2], encoding="utf-8") as f:
        questions = json.load(f)
    dsn = {k: way_in[k] for k in ("host", "port", "user", "password", "dbname")} | {"sslmode": "disable", "gssencmode": "disable"}
    for way in sys.argv[3:] or WAYS:
        if way.startswith("psycopg"):
            psycopg_way(dsn, way, questions)
        else:
            dsn.pop("sslmode", None)
            asyncio.run(asyncpg_way(dsn, way, questions))


if __name__ == "__main__":
    main()
