"""The questions of the masking tests, from the files in `questions/`: one a line, `#` begins a comment. To add one, add a line."""

import itertools
import pathlib
import random
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parent / "questions"
ROOT = FOLDER.parents[2]


def lines(name):
    """The lines of a file."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


# Sensitive columns of public.customers by the tag that the tests give them.
TAGS = dict(line.split(" ") for line in lines("columns"))

# What the tables of the grammar have beside the tags in their comments.
MAZE_TAGS = {"public.people.salary": "pay", "public.people.born": "pii.born", "**.orders.card": "pii.card", "public.events.phone": "pii.phone", "public.worker.badge": "pii.badge"}

# Rows of each generated query that are asked for.
GENERATED_ROWS_MAX = 50

# Why an ordinary question is refused, where it is: the beginning of its text, and the reason. Nothing else may be refused.
EXPLAINED = {
    "select c.name, c.email, sum(o.total) from customers": "it groups by a masked column, which tells which values are equal",
    "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace": "not refused: the server has no binary form of aclitem, which one way asks for",
}


def kind_of(text):
    """How it is sent: as rows, as a copy, or as a script of several statements."""
    if text.lower().startswith("copy"):
        return "copy"
    return "script" if ";" in text else "rows"


def numbered(texts):
    """Questions as the client programs take them."""
    return [{"id": n, "sql": text, "kind": kind_of(text)} for n, text in enumerate(dict.fromkeys(texts))]


def canary_questions(products=900, seed=42):
    """Every single question, every expression, every source, every column; and of all products of the three, as many as asked for."""
    expressions, sources, columns = lines("expressions"), lines("sources"), list(TAGS)
    texts = lines("single")
    texts += [sources[0].replace("{e}", e.replace("{c}", "email")) for e in expressions]
    texts += [s.replace("{e}", c) for s, c in itertools.product(sources, ["email", "card"])]
    texts += [f"select {c} from customers" for c in columns]
    everything = [s.replace("{e}", e.replace("{c}", c)) for s, e, c in itertools.product(sources, expressions, columns)]
    return numbered(texts + random.Random(seed).sample(everything, products))


def generated_questions(count, seed):
    """Queries of the grammar, from the one of this number on."""
    command = ["cargo", "run", "--locked", "--quiet", "--package", "countersign-sql", "--example", "queries", "--", str(seed * 1000), str(count)]
    printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    # Joins without conditions give thousands of rows that are alike.
    return numbered(f"select * from ({text}) q limit {GENERATED_ROWS_MAX}" for text in printed.splitlines())


def ordinary_questions():
    """What must work."""
    return numbered(lines("ordinary") + lines("tools") + lines("catalogs"))


def psql_commands():
    """What must work in psql."""
    return lines("psql")
