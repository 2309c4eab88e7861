"""`countersign scan` and `countersign explain` against a real cluster: what they find, print and write, and how they end.

It looks at the commands alone; what the gateway does with the same tags is seen by the rest of the tests.
"""

import json
import subprocess

import harness

# A column that nobody tagged, one that the fixture's configuration tags, and one that it tags by a comment.
UNTAGGED, TAGGED, COMMENTED = "public.events.body", "public.customers.email", "hr.people.email"


def run(gateway, *arguments):
    """A command with the gateway's configuration: exit code, standard output, standard error."""
    command = [str(gateway.binary), arguments[0], *arguments[1:], "--config", str(gateway.config)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=gateway.folder, env=gateway.environment, timeout=300)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def scanned(gateway, secret, results):
    """What `scan` says."""
    code, out, err = run(gateway, "scan", "shop", "--output", "json")
    report = json.loads(out) if code == 0 else {"findings": []}
    found = {f["column"]: f for f in report["findings"]}
    wrong = []
    if code != 0:
        wrong.append(f"exit code {code}: {err}")
    if not found.get(UNTAGGED, {}).get("proposed"):
        wrong.append(f"{UNTAGGED} holds addresses and is not proposed")
    for column in (TAGGED, COMMENTED):
        if not found.get(column, {}).get("tagged"):
            wrong.append(f"{column} is not known to be tagged")
    unmatched = [u["column"] for u in report.get("unmatched", [])]
    if "public.people.salary" not in unmatched or TAGGED in unmatched:
        wrong.append(f"rules that fit no column: {unmatched}")
    leaked = secret.find((out + err).encode())
    if leaked:
        wrong.append(f"values were printed: {leaked[:3]}")
    results.add("scan: one JSON object", "\n".join(wrong) or None, f"{report.get('columns')} columns")
    code, out, err = run(gateway, "scan", "shop", "--write", "found.toml")
    written = (gateway.folder / "found.toml").read_text() if code == 0 else ""
    wrong = []
    if code != 0 or UNTAGGED not in written or TAGGED in written:
        wrong.append(f"exit code {code}: {err}\n{written}")
    if "looking at 1 of " not in err:
        wrong.append(f"no progress: {err}")
    if max(map(len, out.splitlines()), default=0) > 80:
        wrong.append(f"lines beyond 80 columns:\n{out}")
    if secret.find((out + err + written).encode()):
        wrong.append("values were printed or written")
    results.add("scan: a table, progress, a file of rules", "\n".join(wrong) or None)
    wrong = []
    for what, expected, arguments in (
        ("a file that is there", 1, ("--write", "found.toml")),
        ("a schema that is not there", 1, ("--schema", "nowhere")),
        ("a wrong sample", 2, ("--sample", "0")),
    ):
        code, _, err = run(gateway, "scan", "shop", *arguments)
        if (code == 0) or (expected == 2 and code != 2) or not err.strip():
            wrong.append(f"{what}: exit code {code}: {err}")
    code, _, err = run(gateway, "scan", "nothing")
    if code == 0 or "nothing" not in err:
        wrong.append(f"no such target: exit code {code}: {err}")
    results.add("scan: exit codes", "\n".join(wrong) or None)


def told(gateway, results):
    """The gateway's log names the rules that fit no column, and no others."""
    text = "a rule about tags fits no column"
    harness.wait_for("a warning of rules that fit nothing", lambda: text in gateway.log.read_text(errors="replace"), seconds=30)
    lines = [json.loads(line) for line in gateway.log.read_text(errors="replace").splitlines() if text in line]
    columns = [line.get("column") or line.get("fields", {}).get("column") for line in lines]
    right = "public.people.salary" in columns and TAGGED not in columns and len(columns) == len(set(columns))
    results.add("rules that fit nothing are told in the log", None if right else f"{columns} {lines[:1]}")


def unreadable(gateway, server, results):
    """A table that the account may not read is named, and the exit code says so; the others are looked at."""
    server.sql("create table public.closed (id int, mail text); insert into closed values (1, 'ana@closed.example')", "shop")
    code, out, err = run(gateway, "scan", "shop", "--output", "json")
    report = json.loads(out)
    right = code == 1 and [t for t, _ in report["unread"]] == ["public.closed"] and report["columns"] > 0
    results.add("scan: a table that may not be read", None if right else f"exit code {code}: {report['unread']} {err}")
    server.sql("drop table public.closed", "shop")


def explained(gateway, results):
    """What `explain` says."""
    wrong = []
    code, out, err = run(gateway, "explain", "shop", "-c", "select id, upper(email) as e from customers order by phone", "--as", "ana", "--output", "json")
    said = json.loads(out) if code == 0 else {}
    statement = (said.get("statements") or [{}])[0]
    outputs = {o["name"]: o for o in statement.get("outputs", [])}
    if code != 0 or outputs.get("e", {}).get("tags") != ["pii.email"] or outputs.get("e", {}).get("sources") != [TAGGED] or outputs.get("id", {}).get("tags") != []:
        wrong.append(f"exit code {code}: {out}{err}")
    if not any(r["effect"] == "chosen" and r["what"] == "ORDER BY" and r["columns"] == ["public.customers.phone"] for r in statement.get("reasons", [])):
        wrong.append(f"why: {statement.get('reasons')}")
    if "pii.phone" not in json.dumps(said.get("explanation")):
        wrong.append(f"the verdict does not name the tag: {said.get('explanation')}")
    code, out, err = run(gateway, "explain", "shop", "-c", "select * from customers")
    if code != 0 or "pii.email" not in out or max(map(len, out.splitlines()), default=0) > 80:
        wrong.append(f"as a table: exit code {code}: {out}{err}")
    code, out, err = run(gateway, "explain", "shop", "-c", "select from where", "--output", "json")
    if code == 0 or not json.loads(out)["unreadable"] or not err.strip():
        wrong.append(f"what cannot be read: exit code {code}: {out}{err}")
    code, out, err = run(gateway, "explain", "shop", "-c", "select * from nothing", "--output", "json")
    if json.loads(out)["undefined"] is None:
        wrong.append(f"a name that is not there: exit code {code}: {out}{err}")
    for arguments in (("explain", "shop"), ("explain",)):
        code, _, _ = run(gateway, *arguments)
        if code != 2:
            wrong.append(f"{arguments}: exit code {code}")
    results.add("explain: lineage, reasons, verdict, exit codes", "\n".join(wrong) or None)


def check(gateway, server, secret, results):
    """Everything of both."""
    try:
        scanned(gateway, secret, results)
        unreadable(gateway, server, results)
        explained(gateway, results)
        told(gateway, results)
    except (json.JSONDecodeError, subprocess.TimeoutExpired, harness.HarnessError) as e:
        results.add("scan and explain", repr(e))
