"""People: the browser, the device code, what the gateway sees, and what becomes of sessions when something changes at the provider."""

import json
import re
import urllib.parse

from scene import LABEL, SECONDS_MAX, TARGET, Session


def cases(scene):
    """In order: later ones use the logins of earlier ones."""
    return [(f.__name__, lambda f=f: f(scene)) for f in (
        browser_login, a_session_that_outlives_its_person_begins, device_login, another_issuer_must_be_named, groups_that_change, a_removed_person, logout_ends_sessions)]


def check_whoami(scene, who, login, groups):
    """What the gateway sees of a person, against what is known from elsewhere."""
    seen = scene.whoami(who)
    want = {
        "name": who, "kind": "human", "groups": groups, "subject": who, "issuer": scene.provider.url, "credential": "bound",
        "key": scene.thumbprint(who), "login": login["login"], "delegation": [],
    }
    got = {name: seen.get(name) for name in want}
    assert got == want, f"whoami says {got}, not {want}"
    assert 0 < seen["certificate_expires_at"] - seen["issued_at"] <= 3600 + 60, seen
    assert seen["claims"]["client_id"] == "countersign-cli", seen
    for_people = scene.cli(who, "whoami").stdout
    for text in [who, "human", *groups, scene.provider.url, "bound", scene.thumbprint(who)]:
        assert text in for_people, f"{text!r} is not in: {for_people}"
    return seen


def browser_login(scene):
    """Authorization code with PKCE: the person signs in at the provider, the browser comes back to the loopback port."""
    login, seen, page = scene.log_in("ana", "--no-browser")
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))
    assert page.startswith(f"{scene.provider.url}/auth?"), page
    assert query["code_challenge_method"] == "S256" and len(query["code_challenge"]) == 43, query
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", query["redirect_uri"]), query
    assert query["dpop_jkt"] == scene.thumbprint("ana"), "the code is bound to the key"
    assert seen["address"].startswith(query["redirect_uri"]) and seen["title"] == "Back to the terminal", seen
    assert (login["identity"]["name"], login["identity"]["groups"]) == ("ana", [f"{LABEL}:analysts"]), login
    whoami = check_whoami(scene, "ana", login, [f"{LABEL}:analysts"])
    assert whoami["claims"]["cnf"] == {"jkt": scene.thumbprint("ana")}, "the provider's token was bound before it arrived"


def device_login(scene):
    """A code that is typed into a browser elsewhere."""
    login, seen, page = scene.log_in("bo", "--device")
    assert page == f"{scene.provider.url}/device" and seen["title"] == "Sign-in Success", (page, seen)
    check_whoami(scene, "bo", login, [f"{LABEL}:analysts", f"{LABEL}:deployers"])


def a_session_that_outlives_its_person_begins(scene):
    """At the gateway where logins are short; see `a_removed_person_is_out_when_the_login_ends`."""
    login, _, _ = scene.log_in("eve", "--no-browser", gateway=scene.short)
    assert login["login_ends_unix_s"] - login["certificate_ends_unix_s"] < 5, login
    scene.eve = open_session(scene, "eve")
    assert scene.eve.ask("select 1") == "1"


def another_issuer_must_be_named(scene):
    """The gateway has two issuers: it is asked which, and the other one knows nobody of the first."""
    done = scene.cli("nobody", "login", *scene.at(), "--no-browser", check=False)
    assert done.returncode != 0 and LABEL in done.stderr and "local" in done.stderr, done.stderr


def groups_that_change(scene):
    """A group is taken away at the provider: the login keeps what it began with, the next one (and the refresh) has less."""
    session = open_session(scene, "bo")
    try:
        assert session.ask("select 1") == "1"
        first = scene.whoami("bo")["login"]
        scene.provider.people(ana=["analysts"], bo=["deployers"], cy=["analysts"])
        assert session.ask("select 2") == "2", "a login is what it was when it began"
        assert scene.whoami("bo")["groups"] == [f"{LABEL}:analysts", f"{LABEL}:deployers"]
        make_due(scene, "bo")
        now = scene.whoami("bo")
        assert now["groups"] == [f"{LABEL}:deployers"] and now["login"] != first, "the refresh token brought the groups of now"
        refused = scene.cli("bo", "exec", TARGET, "-c", "select name from customers", check=False)
        assert refused.returncode == 1 and "42501" in refused.stderr, refused.stderr
    finally:
        session.close()


def a_removed_person(scene):
    """Somebody is removed at the provider: the refresh token is worth nothing, and so is the password."""
    scene.log_in("cy", "--no-browser")
    scene.provider.people(ana=["analysts"], bo=["deployers"])
    make_due(scene, "cy")
    done = scene.cli("cy", "whoami", check=False)
    assert done.returncode != 0 and "log in again" in done.stderr and "invalid_grant" in done.stderr, done.stderr


def logout_ends_sessions(scene):
    """The login ends: so does its live session, and its certificate is refused."""
    scene.provider.people(ana=["analysts"], bo=["deployers"], di=["analysts"])
    scene.log_in("di", "--no-browser")
    folder = scene.kept("di")
    certificate = {"PGSSLCERT": str(scene.box.path / "di.pem"), "PGSSLKEY": str(scene.box.path / "di.key")}
    for name, copy in zip(("certificate.pem", "key.pem"), certificate.values()):
        with open(copy, "wb") as f:
            f.write((folder / name).read_bytes())
    (scene.box.path / "di.key").chmod(0o600)
    way = scene.way("di", **certificate)
    session = Session(scene, ["psql", "-XqAt"], scene.environment("di", **way))
    try:
        assert session.ask("select 1") == "1"
        scene.cli("di", "logout")
        said = session.ends()
        assert "FATAL" in said, said
        status, out, problems = scene.psql(way, "select 1")
        assert status == 2 and not out, (status, out, problems)
    finally:
        session.close()


def open_session(scene, who):
    """psql through the local port."""
    command = [scene.gateway.binary, "connect", TARGET, "--", "psql", "-XqAt"]
    return Session(scene, command, scene.environment(who))


def make_due(scene, who):
    """As if the hour were over, on this machine: the next command must replace certificate and login."""
    file = scene.kept(who) / "login.json"
    facts = json.loads(file.read_text())
    assert facts["certificate_ends"] > facts["certificate_issued"] + SECONDS_MAX, facts
    facts["certificate_ends"] = facts["login_ends"] = facts["certificate_issued"]
    file.write_text(json.dumps(facts))
