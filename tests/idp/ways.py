"""The ways in, with real drivers: psql, asyncpg and pgjdbc, each by token as password, by `connect` twice, by client certificate."""

import json
import subprocess

import harness
from scene import SECONDS_MAX, TARGET, Lines, clients

REFUSED = "select salary from staff"


def cases(scene):
    """Every driver by every way."""
    ways = {"a_token_as_password": by_token, "connect_with_a_command": by_command, "a_printed_local_port": by_port, "a_client_certificate": by_certificate}
    matrix = [(f"{client}_by_{name}", lambda c=client, w=way: w(scene, c)) for name, way in ways.items() for client in ("psql", "asyncpg", "pgjdbc")]
    return [*matrix, ("pgjdbc_by_the_key_as_it_is_kept", lambda: by_certificate(scene, "pgjdbc", der=False)),
            ("a_certificate_is_for_its_own_name", lambda: another_name(scene))]


def check(scene, run, client, name, credential, login, variables, before=()):
    """The driver reads, is refused, and goes on; the record knows who it was."""
    mark, sql = scene.statement()
    command = [*map(str, before), *map(str, clients()[client]), sql, REFUSED]
    done = run(command, variables)
    assert done.returncode == 0, f"{client} ended with {done.returncode}: {done.stderr[-2000:]}"
    got = json.loads(done.stdout.splitlines()[-1])
    assert [row[0] for row in got["rows"]] == [mark], got
    assert got["state"] == "42501" and "salaries-stay" in got["message"] and got["usable"], got
    session = scene.session_of(mark)
    want = (name, credential, login, scene.provider.url)
    seen = (session["identity"], session["credential"], session["login"], session["issuer"])
    assert seen == want, f"the record says {seen}, not {want}"
    denied = [s for s in scene.gateway.statements() if s["session"] == session["id"] and s["text"] == REFUSED]
    assert [(s["decision"], s["rules"]) for s in denied] == [("deny", ["salaries-stay"])], denied


def run_as(scene, who):
    """Runs a command as somebody."""
    def run(command, variables):
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=scene.environment(who, **variables), timeout=SECONDS_MAX)
    return run


def ana(scene):
    """The login of a person that was made with the browser: its id."""
    return scene.whoami("ana")["login"]


def by_token(scene, client):
    """A machine's token as the password, over TLS."""
    check(scene, run_as(scene, "nobody"), client, "ci", "bearer", None, scene.way("ci", PGPASSWORD=scene.provider.token()))


def by_command(scene, client):
    """`connect TARGET -- CMD`: everything is in the environment."""
    before = [scene.gateway.binary, "connect", TARGET, "--"]
    check(scene, run_as(scene, "ana"), client, "ana", "bound", ana(scene), {}, before)


def by_port(scene, client):
    """`connect TARGET`: a local port and a password that are printed."""
    process = subprocess.Popen([str(scene.gateway.binary), "connect", TARGET, "--output", "json"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=scene.environment("ana"), text=True)
    try:
        said = json.loads(Lines(process.stdout).next())
        variables = {"PGHOST": said["host"], "PGPORT": str(said["port"]), "PGUSER": said["user"], "PGPASSWORD": said["password"],
                     "PGDATABASE": said["database"], "PGSSLMODE": "disable"}
        check(scene, run_as(scene, "nobody"), client, "ana", "bound", ana(scene), variables)
        wrong = subprocess.run(["psql", "-XqAt", "-c", "select 1"], env=scene.environment("nobody", **variables) | {"PGPASSWORD": "guessed"},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS_MAX)
        assert wrong.returncode == 2 and not wrong.stdout, "the port is open to every user of the machine"
    finally:
        process.terminate()
        process.wait(SECONDS_MAX)


def by_certificate(scene, client, der=True):
    """The files that `login` keeps, and no password."""
    folder = scene.kept("ana")
    key, more = folder / "key.pem", {"PEM_KEY_ALGORITHM": "EC"}
    if client == "pgjdbc" and der:
        # As docs/login.md says, both ways.
        more = {}
        key = scene.box.path / "key.pk8"
        harness.run_quiet(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", folder / "key.pem", "-outform", "DER", "-out", key], "openssl")
        key.chmod(0o600)
    variables = scene.way("ana", PGSSLCERT=str(folder / "certificate.pem"), PGSSLKEY=str(key), **more)
    check(scene, run_as(scene, "ana"), client, "ana", "bound", ana(scene), variables)


def another_name(scene):
    """Nobody else comes in with it."""
    folder = scene.kept("ana")
    way = scene.way("bo", PGSSLCERT=str(folder / "certificate.pem"), PGSSLKEY=str(folder / "key.pem"))
    status, out, problems = scene.psql(way, "select 1")
    assert status == 2 and not out and "FATAL" in problems, (status, out, problems)
