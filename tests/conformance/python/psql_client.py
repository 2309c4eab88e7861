"""The conformance set in psql itself: scripts on its standard input, everything that it prints is the answer."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from program import crash, endpoint

WAY = endpoint()
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="countersign-psql-"))

SCRIPTS = {
    "simple": "select 1 as one, 'zwei' as two, null as three;\nselect * from notes order by id;\ntable staff limit 3;\n\\echo :ROW_COUNT :SQLSTATE\n",
    "every_type": "select * from every_type order by id;\n",
    "describe": "\\d\n\\d customers\n\\d+ orders\n\\d every_type\n\\d+ order_totals\n\\dt\n\\dv\n\\di\n\\ds\n\\dT+\n\\df\n\\du\n\\dn\n\\dp notes\n\\dD\n",
    "describe_odd_names": "\\d \"Weird \"\"Name\"\" – 表\"\n\\d nowhere\n\\sf add_one\n\\sv order_totals\n\\dC mood\n\\dd\n\\dx\n",
    "copy_out": "\\copy notes to stdout\n\\copy (select * from every_type order by id) to stdout csv header\n\\copy customers to 'customers.txt'\n\\! sha256sum < customers.txt\n\\copy every_type to 'every.bin' binary\n\\! sha256sum < every.bin\n",
    "copy_in": "copy notes from stdin;\n600\tin script\n601\t\\N\n\\.\nselect * from notes where id >= 600 order by id;\n\\copy notes to 'notes.txt'\ncreate table notes2 (like notes);\n\\copy notes2 from 'notes.txt'\nselect count(*) from notes2;\n\\copy notes2 from 'not_there.txt'\ncopy notes from stdin;\n600\tduplicate\n\\.\nselect 'usable';\ndrop table notes2;\ndelete from notes where id >= 600;\n",
    "transactions": "begin;\ninsert into notes values (70, 'a');\nsavepoint s;\nselect 1/0;\nselect 1;\nrollback to s;\nselect id from notes where id = 70;\nrollback;\n\\set ON_ERROR_ROLLBACK on\nbegin;\nselect nothing;\nselect 'still fine';\ncommit;\n\\set AUTOCOMMIT off\ninsert into notes values (71, 'b');\nrollback;\nselect count(*) from notes where id in (70, 71);\n",
    "errors": "selekt 1;\nselect nothing from customers;\nselect 'ä€' || syntax error here;\nselect 1/0;\ninsert into customers values (1, 'again');\ninsert into notes values (null);\n\\errverbose\nselect 'usable';\n",
    "notices": "do $$ begin raise notice 'hello %', 1; raise warning 'careful' using hint = 'a hint', detail = 'more'; end $$;\ndrop table if exists not_there;\nset client_min_messages = error;\ndo $$ begin raise notice 'unheard'; end $$;\n",
    "listen": "listen news;\nnotify news, 'payload';\nselect 1;\nunlisten news;\n",
    "multi_statement": "select 1\\; select 2\\; select 3;\ninsert into notes values (80, 'x')\\; select 1/0\\; insert into notes values (81, 'y');\nselect count(*) from notes where id >= 80;\n",
    "extended": "select $1::int + $2::int as sum \\bind 1 2 \\g\n\\gdesc\nselect name, email from customers limit 0 \\gdesc\n",
    "gexec_and_gset": "select 'select ' || g from generate_series(1, 3) g \\gexec\nselect 42 as answer \\gset\n\\echo :answer\nselect id, body from notes order by id \\crosstabview\n",
    "cursor": "begin;\ndeclare k scroll cursor for select id, name from customers order by id;\nfetch 3 from k;\nfetch backward 1 from k;\nfetch last from k;\nmove absolute 10 in k;\nfetch next from k;\nclose k;\ncommit;\n",
    "fetch_count": "\\set FETCH_COUNT 100\nselect id from orders order by id;\n",
    "formats": "\\x on\nselect * from every_type where id = 1;\n\\x off\n\\pset format csv\nselect * from notes order by id;\n\\pset format html\nselect 1;\n\\pset null '(null)'\n\\pset format unaligned\nselect null;\n",
    "prepared": "prepare p (int) as select name from customers where id = $1;\nexecute p (1);\nexecute p (2);\nexecute p ('x');\ndeallocate p;\nexecute p (1);\n",
    "settings": "set application_name = 'renamed';\nshow application_name;\nset timezone = 'Asia/Tokyo';\nselect timestamptz '2026-01-01 00:00+00';\nset datestyle = 'German';\nselect date '2026-02-01';\nset bytea_output = 'escape';\nselect '\\x00ff'::bytea;\n\\encoding\nshow nothing_like_it;\n",
    "unicode": "select 'ä€漢🐘' as \"Ünï 🐘\", length('ä€漢🐘');\nselect U&'d\\0061t\\+000061', E'tab\\there';\nselect * from \"Weird \"\"Name\"\" – 表\";\n",
    "variables_and_if": "\\set t notes\nselect count(*) from :\"t\";\n\\set v 'o''clock'\nselect :'v';\n\\if true\nselect 'yes';\n\\else\nselect 'no';\n\\endif\n",
    "empty": ";\n;;\n-- only a comment\n/* and another */\n",
    "large_objects": "\\lo_list\n",
    "big_statement": None,
    "big_result": "\\o | sha256sum\nselect g, md5(g::text) from generate_series(1, 1000000) g;\n\\o\n",
    "single_line_options": None,
    "interrupt": None,
}


def psql(script, *options, stdin=None):
    """Runs psql: (exit status, output, errors)."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGHOST": WAY["host"], "PGPORT": str(WAY["port"]),
           "PGUSER": WAY["user"], "PGPASSWORD": WAY["password"], "PGDATABASE": WAY["dbname"], "PGSSLMODE": WAY["sslmode"],
           "PGGSSENCMODE": "disable", "PAGER": "cat", "HOME": str(FOLDER)}
    if WAY["cafile"]:
        env["PGSSLROOTCERT"] = WAY["cafile"]
    done = subprocess.run(["psql", "-X", "-v", "VERBOSITY=verbose", *options], input=script.encode(), env=env, cwd=FOLDER,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    # Where in the server's source an error was raised is not compared: some errors the gateway answers by itself.
    problems = re.sub(r"LOCATION:  [^\n]*\n", "", done.stderr.decode(errors="replace"))
    return [done.returncode, done.stdout.decode(errors="replace"), problems]


def big_statement():
    """9 MiB, once as a value and once as a comment."""
    text = "x" * (9 << 20)
    return [psql(f"select length('{text}');\nselect /* {text} */ 1;\nselect 'usable';\n")]


def single_line_options():
    """-c, -l, -1, -A and friends."""
    return [psql("", "-c", "select 1", "-c", "select 2; select 3"), psql("", "-At", "-c", "select 1/0"),
            psql("insert into notes values (90, 'x'); select 1/0;", "-1", "-v", "ON_ERROR_STOP=1"),
            psql("", "-c", "select count(*) from notes where id = 90"), psql("select 1;", "-q", "-E")]


def interrupt():
    """Ctrl-C cancels the query, and the session goes on."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PGHOST": WAY["host"], "PGPORT": str(WAY["port"]),
           "PGUSER": WAY["user"], "PGPASSWORD": WAY["password"], "PGDATABASE": WAY["dbname"], "PGSSLMODE": WAY["sslmode"]}
    if WAY["cafile"]:
        env["PGSSLROOTCERT"] = WAY["cafile"]
    process = subprocess.Popen(["psql", "-X", "-c", "select pg_sleep(30)", "-c", "select 'usable'"], env=env, cwd=FOLDER,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, problems = process.communicate(timeout=60)
    return [process.returncode, out.decode(), problems.decode(), time.monotonic() - started < 10]


for name, script in SCRIPTS.items():
    if sys.argv[2:] and name not in sys.argv[2:]:
        continue
    try:
        answer = globals()[name]() if script is None else psql(script, "-a" if name != "big_result" else "-q")
        first = answer if isinstance(answer[0], int) else answer[0]
        if first[0] == 2 and name != "interrupt":
            raise ConnectionError(str(first))
        # Not cut or hashed: the runner must be able to take the name of the database out.
        print(json.dumps({"case": name, "out": answer}), flush=True)
    except Exception:
        crash(name)
subprocess.run(["rm", "-rf", str(FOLDER)], check=False)
