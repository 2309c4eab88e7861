#!/usr/bin/env python3
"""Logging in from the command line, end to end: suite.py BINARY PROVIDER [NAME…]. The last line is "N passed, N failed"."""
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from world import RESOURCE, Person, Ran, World, free_port, read_until, until

CASES = []


def case(function):
    CASES.append(function)
    return function


def person(world, name, who="ana", *options):
    """Somebody who is logged in."""
    p = Person(world, name)
    p.login(who, *options).exits(0)
    return p


@case
def a_gateway_that_is_not_there(world):
    p = Person(world, "down")
    p.run("login", "--gateway", f"https://localhost:{free_port()}").exits(1).complains("cannot be reached", "refused")
    p.run("whoami").exits(1).complains("countersign login --gateway")
    p.run("whoami", "--gateway", world.url).exits(1).complains("you are not logged in")
    p.run("logout", "--gateway", world.url).exits(0).says("nothing to do")


@case
def a_gateway_that_is_not_verified(world):
    p = Person(world, "untrusting")
    for ca in (["--ca", world.data / "shop-ca.pem"], []):
        p.run("login", "--gateway", world.url, *ca).exits(1).complains("UnknownIssuer", "--ca FILE")
    p.run("login", "--gateway", world.url.replace("https", "http"), "--ca", world.ca).exits(1).complains("https://")
    p.run("login", "--gateway", world.url, "--ca", world.data / "vault.key").exits(1).complains("no certificate")
    assert not list(p.home.rglob("key.pem")), "nothing is kept of a login that was none"


@case
def by_the_browser(world):
    p = Person(world, "code")
    p.run("login", "--gateway", world.url, "--ca", world.ca).exits(1).complains("--issuer", "corp", "local")
    p.run("login", "--gateway", world.url, "--ca", world.ca, "--issuer", "nope").exits(4)
    done = p.login("ana").exits(0).says("logged in as ana (human)", "analysts", "until").fits()
    assert "PRIVATE" not in done.out + done.err
    modes = {f: stat.S_IMODE(f.stat().st_mode) for f in p.home.rglob("*")}
    assert modes and all(m == (0o700 if f.is_dir() else 0o600) for f, m in modes.items()), modes
    seen = json.loads(p.run("whoami", "--output", "json").exits(0).out)
    assert (seen["name"], seen["kind"], seen["credential"]) == ("ana", "human", "bound"), seen
    assert seen["key"] == p.thumbprint(), "the key is ours"
    p.run("whoami").exits(0).says("ana", "bound", p.thumbprint(), "login ends").fits()


@case
def the_browser_says_no(world):
    p = Person(world, "refusing")
    p.login("ana", answer="refuse").exits(1).complains("access_denied")
    assert not list(p.home.rglob("key.pem"))


@case
def by_device(world):
    p = Person(world, "device")
    p.login_by_device("ana").exits(0).says("logged in as ana").fits()
    p.run("exec", "shop", "-c", "select 6*7 as n").exits(0).says("42")
    other = Person(world, "device-refused")
    other.login_by_device("ana", answer="refuse").exits(1).complains("refused in the browser")


@case
def at_another_issuer(world):
    """A real, independent provider, whose tokens are bound by DPoP before they arrive."""
    p = Person(world, "corp")
    p.login("erin", issuer="corp").exits(0).says("logged in as erin")
    seen = json.loads(p.run("whoami", "--output", "json").exits(0).out)
    assert seen["claims"]["cnf"]["jkt"] == p.thumbprint(), seen
    assert seen["claims"]["aud"] == RESOURCE, "the provider was asked for this resource"
    p.run("exec", "shop", "-c", "select 1").exits(0)
    before = (p.folder / "refresh-token").read_text()
    p.change_facts(certificate_ends=1)
    p.run("exec", "shop", "-c", "select 1").exits(0)
    assert (p.folder / "refresh-token").read_text() != before, "the refresh token rotates"
    q = Person(world, "corp-device")
    q.login_by_device("frank", issuer="corp").exits(0).says("logged in as frank")


@case
def as_a_pipeline(world):
    """The job asks its CI system for a token that is good with its key alone."""
    p = Person(world, "job")
    login = ["login", "--workload", "--gateway", world.url, "--ca", world.ca]
    p.run(*login, env={**world.ci.environment(), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong"}).exits(1).complains("401")
    p.run(*login, env=world.ci.environment()).exits(0).says("logged in as ci-deploy (machine)")
    audience, token = world.ci.tokens[-1]
    assert audience == f"countersign#{p.thumbprint()}", audience
    seen = p.run("whoami").exits(0).says("acme/shop", "job_workflow_ref", "sha", "run_id", "bound").fits()
    assert "ci-deploy" in seen.out
    p.run("exec", "shop", "-c", "update orders set status = status where id = 1").exits(0).says("1 row")
    # What a thief has who read the token from a log.
    world.psql(token, "ci-deploy").exits(2).complains("FATAL")
    thief = Person(world, "thief")
    thief.run("login", "--workload", "--token-env", "T", *login[2:], env={"T": token}).exits(1).complains("asked for a certificate")
    # A certificate that has ended is replaced by a new token for the same key.
    p.change_facts(certificate_ends=1)
    p.run("exec", "shop", "-c", "select id from orders limit 1", env=world.ci.environment()).exits(0)
    assert world.ci.tokens[-1][0] == audience and world.ci.tokens[-1][1] != token
    p.change_facts(certificate_ends=1)
    p.run("whoami").exits(1).complains("has ended", "ACTIONS_ID_TOKEN_REQUEST_URL")


@case
def by_a_token_from_elsewhere(world):
    """Files, variables and standard input; the first key that a token meets is its only one."""
    login = ["login", "--workload", "--gateway", world.url, "--ca", world.ca]
    token = world.token("ci-deploy")
    file = world.dir / "token"
    file.write_text(token + "\n")
    first = Person(world, "file")
    first.run(*login, "--token-file", file).exits(0)
    first.run("exec", "shop", "-c", "select id from orders limit 1").exits(0)
    Person(world, "file-again").run(*login, "--token-file", file).exits(1)
    world.psql(token, "ci-deploy").exits(2).complains("FATAL")
    piped = Person(world, "stdin")
    piped.run(*login, "--token-file", "-", stdin=world.token("ci-deploy").encode()).exits(0)
    Person(world, "variable").run(*login, "--token-env", "MY_TOKEN", env={"MY_TOKEN": world.token("ci-deploy")}).exits(0)
    Person(world, "default").run(*login, env={"COUNTERSIGN_ID_TOKEN": world.token("ci-deploy")}).exits(0)
    nobody = Person(world, "nobody")
    nobody.run(*login).exits(1).complains("no token was found", "id-token: write")
    nobody.run(*login, "--token-env", "MISSING").exits(1).complains("MISSING")
    nobody.run(*login, "--token-file", "-").exits(1).complains("no token in standard input")
    nobody.run(*login, "--token-file", "-", stdin=b"eyJ.no.token").exits(1)


@case
def statements(world):
    p = person(world, "exec")
    run = lambda *a, **k: p.run("exec", "shop", *a, **k)
    run("-c", "select 1 as one, null as nothing; select 'b' as two").exits(0).says("one  nothing", "NULL", "(1 row)", "two")
    rows = json.loads(run("--output", "json", "-c", "select 1 as one, null::text as nothing").exits(0).out)
    assert rows == [{"columns": ["one", "nothing"], "rows": [["1", None]], "count": 1}], rows
    csv = run("--output", "csv", "-c", "-", stdin=b"select 'a,\"b' as x, '' as y, null as z").exits(0).out
    assert csv == 'x,y,z\n"a,""b","",\n', csv
    file = world.dir / "some.sql"
    file.write_text("select count(*) > 0 as some from orders")
    run("--file", file).exits(0).says("some", "t")
    refused = run("-c", "delete from orders").exits(1).complains("42501", "analysts-only-read", "HINT")
    assert refused.out == "", refused
    run("-c", "select * from nowhere_at_all").exits(1).complains("42P01")
    cut = run("--output", "json", "-c", "select order_id from order_items").exits(1).complains("53400")
    assert json.loads(cut.out)[-1]["cut_off"] is True, "rows up to the limit, and that they are not all"
    run("-c", "selec").exits(1).complains("42601")
    run().exits(2)
    p.run("exec", "nowhere", "-c", "select 1").exits(1).complains("42501")
    run("-c", "select 1", "--user", "dora").exits(1)
    acting = run("-c", "select E'a\\x1b[2Jb' as x").exits(0)
    assert "\x1b" not in acting.out


@case
def interrupting_a_statement(world):
    p = person(world, "interrupt")
    process = p.start("exec", "shop", "-c", "select count(*) from generate_series(1, 2000000000)")

    def listens():
        caught = next(l for l in open(f"/proc/{process.pid}/status", encoding="ascii") if l.startswith("SigCgt"))
        return int(caught.split()[1], 16) & 1 << signal.SIGINT - 1

    until("a handler of Ctrl-C", listens, seconds=30)

    def over():
        # Again and again: the first may come ahead of the statement.
        process.send_signal(signal.SIGINT)
        return process.poll() is not None

    until("the end", over, seconds=60, pause=0.5)
    _, err = process.communicate()
    assert process.returncode == 1 and b"57014" in err, err


@case
def a_command_with_a_port(world):
    p = person(world, "connect")
    connect = lambda *command: p.run("connect", "shop", "--", *command)
    psql = ["psql", "-X", "-A", "-t", "-c"]
    connect(*psql, "select count(*) > 0 from orders").exits(0).says("t")
    connect(*psql, "delete from orders").exits(1).complains("analysts-only-read")
    connect("sh", "-c", "exit 7").exits(7)
    connect("sh", "-c", "kill -TERM $$").exits(143)
    connect("/no/such/program").exits(127)
    connect("sh", "-c", "unset PGPASSWORD; psql -w -c 'select 1'").exits(2).complains("no password supplied")
    connect("sh", "-c", "PGPASSWORD=guess psql -c 'select 1'").exits(2).complains("password")
    # Whatever a client calls itself, the gateway hears the identity.
    connect("sh", "-c", "psql -X -A -t -U root -d shop -c 'select 1'").exits(0)
    connect("sh", "-c", "PGSSLMODE=require psql -c 'select 1'").exits(2).complains("SSL")
    rows = connect("sh", "-c", "psql -X -A -t -c 'select id from orders limit 1000' | wc -l").exits(0)
    assert rows.out.strip() == "1000", rows
    many = connect("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do psql -X -A -t -c 'select 1' & done; wait").exits(0)
    assert many.out.count("1") == 8, many
    slow = "select count(*) from generate_series(1, 2000000000)"
    # Once psql listens for the signal, again and again: the first may come ahead of the statement.
    listens = "until grep -q 'SigCgt:.*[2367abef]$' /proc/$p/status; do sleep 0.1; done"
    interrupt = f"p=$!; {listens}; while kill -INT $p 2>/dev/null; do sleep 0.5; done; wait $p"
    connect("sh", "-c", f"psql -X -c '{slow}' & {interrupt}").exits(1).complains("canceling statement")
    p.run("connect", "nowhere", "--", *psql, "select 1").exits(2).complains("FATAL")


@case
def signals_for_the_command(world):
    p = person(world, "signals")
    script = "trap 'echo got; exit 3' TERM; echo on; while :; do sleep 0.1; done"
    process = p.start("connect", "shop", "--", "sh", "-c", script)
    read_until(process.stdout, "on")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (3, b"got\n"), (process.returncode, out)


@case
def a_port_to_paste(world):
    p = person(world, "port")
    process = p.start("connect", "shop")
    line = read_until(process.stdout, r"\n").strip()
    assert line.startswith("PGPASSWORD=") and "psql 'host=127.0.0.1" in line, line
    done = subprocess.run(["sh", "-c", f"{line} -X -A -t -c 'select 6*7'"], capture_output=True, timeout=60, env=p.environment(), check=False)
    Ran(done).exits(0).says("42")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    p.run("connect", "shop", "--listen", "0.0.0.0:0").exits(2).complains("only this machine")
    folder = world.dir / "socket"
    process = p.start("connect", "shop", "--listen", folder, "--output", "json")
    facts = json.loads(read_until(process.stdout, r"\n"))
    assert facts["host"] == str(folder) and stat.S_IMODE(folder.stat().st_mode) == 0o700, facts
    where = f"host={facts['host']} port={facts['port']} user={facts['user']} dbname={facts['database']}"
    environment = p.environment({"PGPASSWORD": facts["password"]})
    done = subprocess.run(["psql", "-X", "-A", "-t", "-c", "select 6*7", where], capture_output=True, timeout=60, env=environment, check=False)
    Ran(done).exits(0).says("42")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not list(folder.iterdir()), "the socket is gone"


@case
def strangers_at_the_port(world):
    """What is no PostgreSQL client gets nowhere, and the port goes on."""
    p = person(world, "strangers")
    process = p.start("connect", "shop", "--output", "json")
    facts = json.loads(read_until(process.stdout, r"\n"))
    for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"x" * 100, b"", b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", facts["port"]), timeout=20) as s:
            s.sendall(bytes_)
            s.shutdown(socket.SHUT_WR)
            while s.recv(4096):
                pass
    where = f"host=127.0.0.1 port={facts['port']} user=x dbname=shop"
    environment = p.environment({"PGPASSWORD": facts["password"]})
    Ran(subprocess.run(["psql", "-X", "-c", "select 1", where], capture_output=True, timeout=60, env=environment, check=False)).exits(0)
    process.terminate()
    process.wait(30)


@case
def the_files_are_a_client_certificate(world):
    p = person(world, "files")
    files = {"sslcert": p.folder / "certificate.pem", "sslkey": p.folder / "key.pem"}
    world.psql("", "ana", "select 6*7", **files).exits(0).says("42")
    other = person(world, "files-other", "dora")
    world.psql("", "ana", sslcert=files["sslcert"], sslkey=other.folder / "key.pem").exits(2)
    world.psql("", "dora", **files).exits(2).complains("FATAL")


@case
def files_that_others_can_read(world):
    p = person(world, "open")
    for name in ("key.pem", "login.json", "certificate.pem"):
        (p.folder / name).chmod(0o640)
        p.run("whoami").exits(1).complains("open to others", "chmod 0600")
        (p.folder / name).chmod(0o600)
    p.folder.chmod(0o755)
    p.run("exec", "shop", "-c", "select 1").exits(1).complains("chmod 0700")
    p.folder.chmod(0o700)
    p.run("whoami").exits(0)


@case
def renewal(world):
    p = person(world, "renewal")
    first, facts = (p.folder / "certificate.pem").read_text(), p.facts()
    p.run("whoami").exits(0)
    assert (p.folder / "certificate.pem").read_text() == first, "not before its time"
    # As it will be when a third of its life is left.
    p.change_facts(certificate_issued=int(time.time()) - 3500, certificate_ends=int(time.time()) + 60)
    p.run("whoami").exits(0)
    renewed = (p.folder / "certificate.pem").read_text()
    assert renewed != first, "another certificate"
    assert p.facts()["login"] == facts["login"], "of the same login"
    # The login is over: the refresh token begins another one.
    refresh = (p.folder / "refresh-token").read_text()
    p.change_facts(certificate_ends=1)
    with ThreadPoolExecutor(6) as pool:
        for done in pool.map(lambda _: p.run("whoami"), range(6)):
            done.exits(0)
    assert p.facts()["login"] != facts["login"], "another login"
    assert (p.folder / "refresh-token").read_text() != refresh, "the refresh token rotates, once"
    p.run("whoami").exits(0)
    # Without a way to renew it, the person is told.
    p.change_facts(certificate_ends=1)
    (p.folder / "refresh-token").unlink()
    p.run("whoami").exits(1).complains("has ended", "countersign login")


@case
def logging_out(world):
    p = person(world, "logout")
    copy = Person(world, "copy")
    shutil.copytree(p.home, copy.home, dirs_exist_ok=True)
    copy.run("whoami").exits(0)
    # A session that lives, by the thief's copy.
    session = copy.start("connect", "shop", "--", "psql", "-X", "-A", "-t", stdin=subprocess.PIPE)
    session.stdin.write(b"select 'alive';\n")
    session.stdin.flush()
    read_until(session.stdout, "alive")
    p.run("logout").exits(0).says("logged out")
    assert not list(p.home.rglob("*.pem")) and not list(p.home.rglob("refresh-token")), "forgotten"
    p.run("whoami").exits(1).complains("not logged in")
    p.run("exec", "shop", "-c", "select 1").exits(1)
    copy.run("whoami").exits(1)
    copy.run("exec", "shop", "-c", "select 1").exits(1)
    copy.run("connect", "shop", "--", "psql", "-X", "-c", "select 1").exits(2).complains("countersign login")

    def cut_off():
        if session.poll() is not None:
            return True
        try:
            session.stdin.write(b"select 'still';\n")
            session.stdin.flush()
        except BrokenPipeError:
            return True
        return False

    until("the session's end", cut_off, seconds=30, pause=0.5)
    session.stdin.close()
    session.wait(30)
    assert b"FATAL" in session.stderr.read()
    p.run("logout").exits(0).says("nothing to do")


@case
def secrets_stay_where_they_are(world):
    """No password, key or token of this run is in a log."""
    p = person(world, "secrets")
    key = (p.folder / "key.pem").read_text().splitlines()[1]
    refresh = (p.folder / "refresh-token").read_text()
    logs = "".join(f.read_text(errors="replace") for f in world.dir.glob("*.log"))
    for secret in (key, refresh, *world.passwords.values(), *(t for _, t in world.ci.tokens)):
        assert secret not in logs


def main():
    world, passed, failed = World(sys.argv[1], sys.argv[2]), 0, 0
    wanted = sys.argv[3:]
    try:
        world.start()
        for function in CASES:
            name = function.__name__
            if wanted and name not in wanted:
                continue
            try:
                function(world)
                passed += 1
                print(f"ok {name}", flush=True)
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print(f"{traceback.format_exc(limit=-2)}\nFAIL: {name}", flush=True)
    except Exception:  # pylint: disable=broad-except
        failed += 1
        print(f"{traceback.format_exc()}\nFAIL: the start", flush=True)
    finally:
        if failed and os.environ.get("KEEP"):
            print(f"kept: {world.dir}")
            for process in world.processes:
                world.stop(process)
        else:
            world.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
