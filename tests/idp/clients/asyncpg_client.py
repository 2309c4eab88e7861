"""asyncpg, which reads the same PG* variables as libpq: asyncpg_client.py READ REFUSED runs two statements and prints a JSON line."""

import asyncio
import json
import sys

import asyncpg


async def main():
    """Both statements on one connection."""
    connection = await asyncpg.connect(timeout=60)
    out = {"rows": [list(map(str, record.values())) for record in await connection.fetch(sys.argv[1])], "state": None, "message": None}
    try:
        await connection.fetch(sys.argv[2])
    except asyncpg.PostgresError as e:
        out |= {"state": e.sqlstate, "message": " ".join(filter(None, [e.message, e.detail, e.hint]))}
    out["usable"] = await connection.fetchval("select 1") == 1
    await connection.close()
    print(json.dumps(out))


asyncio.run(main())
