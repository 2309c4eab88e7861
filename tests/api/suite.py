"""Everybody at every operation, what goes wrong and how it is told, and schemathesis. `--bless` writes the matrix anew."""
import json
import os
import pathlib
import subprocess
import sys
import time
import traceback
import urllib.request
import xml.etree.ElementTree as xml

from world import ACTORS, World

HERE = pathlib.Path(__file__).resolve().parent
MATRIX = HERE / "matrix.txt"
# The same requests each time; so many of a kind for each operation.
SEED, EXAMPLES, SCHEMATHESIS_S = int(os.environ.get("SEED", "7")), 12, 240

# What is sent where a body is needed. An operation that takes one and is not here fails the matrix.
BODIES = {
    "locks.add": {"matcher": {"name": "eve"}, "reason": "stolen", "expires_in_s": 60},
    "locks.dry-run": {"matcher": {"name": "eve"}},
    "grants.request": {"target": "shop", "actions": ["read"], "reason": "ticket 4711"},
    "grants.revoke": {"reason": "over"},
    "grants.revoke-approved": {"answered_by": "approver", "reason": "over"},
    "reviews.comment": {"comment": "why?"},
    "api-keys.create": {"name": "nightly", "scope": ["locks.list"], "expires_in_s": 3600},
    "api-keys.revoke": {"reason": "over"},
    "configuration.diff": {"files": []},
    "configuration.apply": {"files": [], "base": 0},
    "configuration.revert": {"base": 0},
    "factors.challenge": {"use": "register"},
    "factors.add-key": {"name": "blue key", "client_data": "e30", "attestation": "oA"},
    "factors.add-codes": {"name": "phone"},
    "factors.confirm-codes": {"code": "123456"},
    "factors.remove": {"factor": {"code": "123456"}},
    "notices.test": {"receiver": "nobody"},
    "sql.open": {"target": "shop"},
    "sql.run": {"statement": "select 1"},
    "factors.reset": {"person": "nobody", "reason": "lost"},
}
FORMS = {"login.exchange": b"grant_type=nothing", "login.renew": b"csr=nothing"}
NOWHERE = "01JGV2XJ8E0000000000000000"


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def one(world, actor, method, path, operation, everybody=False):
    name = operation["operationId"]
    id = world.lock("somebody", "for the matrix") if name in ("locks.show", "locks.remove") and actor in ("auditor", "admin", "machine") else NOWHERE
    path = path.replace("{id}", "1" if name.startswith("configuration.") else id)
    if any(p["name"] == "reason" and p["required"] for p in operation.get("parameters", [])):
        path += "?reason=over"
    body = BODIES.get(name)
    if everybody and method == "GET":
        path += "?everybody=true"
    elif everybody:
        body = {**body, "everybody": True}
    if name in FORMS:
        return world.ask(actor, method, path, FORMS[name], kind="application/x-www-form-urlencoded")
    required = operation.get("requestBody", {}).get("required")
    assert not required or name in BODIES, f"{name} needs a body in BODIES"
    if name == "events.watch":
        # It does not end: that nobody may keep at a HEAD.
        method = "HEAD" if actor not in ("anonymous", "garbage", "disabled", "locked") else method
    return world.ask(actor, method, path, body)


def the_matrix(world):
    """Each actor at each operation: exactly what the golden file says, and a problem wherever it is an error."""
    document = world.ask(None, "GET", "/v1/openapi.json").json()
    actors = ["anonymous", "garbage", *ACTORS]
    rows = [f"{'operation':<37}{'who':<14}" + " ".join(actors)]
    each = []
    for method, path, operation in sorted(operations(document), key=lambda o: o[2]["operationId"]):
        own = operation["x-countersign-who"].startswith("own-or-")
        each += [(method, path, operation, everybody) for everybody in ((False, True) if own else (False,))]
    for method, path, operation, everybody in each:
        name, who = operation["operationId"], operation["x-countersign-who"]
        row = f"{name + (' of everybody' if everybody else ''):<37}{who:<14}"
        for actor in actors:
            answer = one(world, actor, method, path, operation, everybody)
            row += f"{answer.status:<{max(len(actor), 3) + 1}}"
            assert str(answer.status) in operation["responses"], f"{actor} {name}: {answer.status} is not described"
            oauth = "application/x-www-form-urlencoded" in operation.get("requestBody", {}).get("content", {}) or name == "login.end"
            if answer.status >= 400 and not oauth:
                assert answer.headers["content-type"] == "application/problem+json", f"{actor} {name}: {answer.headers}"
                said = answer.json()
                assert said["status"] == answer.status and said["detail"] and said["title"], said
            if who != "anyone" and actor in ("anonymous", "garbage", "disabled"):
                assert answer.status == 401 and answer.headers["www-authenticate"], f"{actor} {name}"
            if who != "anyone" and name != "whoami.show" and actor == "locked":
                assert answer.status == 403 and "locked out by lock" in answer.body, f"{actor} {name}: {answer.body}"
        rows.append(row.rstrip())
    have = "\n".join(rows) + "\n"
    if "--bless" in sys.argv:
        MATRIX.write_text(have)
    assert have == MATRIX.read_text(), f"tests/api/matrix.txt differs; if this is right, run with --bless:\n{have}"


def what_goes_wrong_is_a_problem(world):
    for method, path, body, kind, want in [
        ("GET", "/v1/nothing", None, None, 404),
        ("GET", "/v1/locks/x/y", None, None, 404),
        ("PUT", "/v1/locks", b"{}", "application/json", 405),
        ("POST", "/v1/locks", b"{", "application/json", 400),
        ("POST", "/v1/locks", b"[]", "application/json", 400),
        ("POST", "/v1/locks", b"\xff\xfe", "application/json", 400),
        ("POST", "/v1/locks", b"matcher=x", "application/x-www-form-urlencoded", 415),
        ("POST", "/v1/locks", b"x" * (64 * 1024 + 1), "application/json", 413),
        ("GET", "/v1/locks?limit=0", None, None, 400),
        ("GET", "/v1/locks?nothing=1", None, None, 400),
        ("GET", "/v1/reviews?before=%2e%2e", None, None, 400),
        ("GET", "/v1/grants?since=soon", None, None, 400),
        ("GET", "/v1/grants/%2e%2e", None, None, 404),
        ("POST", "/v1/grants", b'{"target": "shop", "actions": ["read"], "reason": " "}', "application/json", 400),
        ("POST", "/v1/grants", b'{"target": "nowhere", "actions": ["read"], "reason": "x"}', "application/json", 404),
        ("POST", "/v1/grants", b'{"target": "shop", "actions": ["admin"], "reason": "x"}', "application/json", 403),
        ("GET", "/v1/recordings?since=2026-02-30", None, None, 400),
        ("GET", f"/v1/locks?before={'x' * 5000}", None, None, 414),
    ]:
        answer = world.ask("admin", method, path, body, kind=kind)
        assert answer.status == want, f"{method} {path}: {answer.status} {answer.body}"
        assert answer.headers["content-type"] == "application/problem+json", f"{method} {path}: {answer.headers}"
        assert answer.json()["status"] == want
        if want == 405:
            assert answer.headers["allow"], f"{method} {path}"


def a_key_does_it_once(world):
    key = {"Idempotency-Key": "the-same"}
    made = [world.ask("admin", "POST", "/v1/locks", {"matcher": {"name": "once"}, "reason": "twice", "expires_in_s": 60}, key) for _ in range(2)]
    assert [m.status for m in made] == [201, 201] and made[0].body == made[1].body, [m.body for m in made]
    other = world.ask("admin", "POST", "/v1/locks", {"matcher": {"name": "other"}, "reason": "twice"}, key)
    assert other.status == 422, other.body


def everything_that_changes_is_recorded(world):
    before = world.operate("sessions", "list", "--target", "countersign", "--output", "json")
    made = world.ask("admin", "POST", "/v1/locks", {"matcher": {"name": "noted"}, "reason": "a trace", "expires_in_s": 60})
    refused = world.ask("analyst", "POST", "/v1/locks", {"matcher": {"name": "noted"}, "reason": "no trace"})
    answered = world.ask("analyst", "POST", f"/v1/reviews/{NOWHERE}/approve")
    assert (made.status, refused.status, answered.status) == (201, 403, 404), (made.body, refused.body, answered.body)
    count = lambda text: len(json.loads(text)["sessions"])
    after = world.operate("sessions", "list", "--target", "countersign", "--output", "json")
    # A list has a longest; what counts is that the newest are there.
    newest = json.dumps(json.loads(after)["sessions"][:5])
    assert count(after) > count(before) or newest not in before, after[:2000]


def a_grant_is_asked_for_given_and_ended(world):
    """What is the caller's own they see and end; what is not, those whom policy lets."""
    ask = lambda actor, method, path, body=None: world.ask(actor, method, f"/v1/grants{path}", body)
    asked = ask("admin", "POST", "", BODIES["grants.request"])
    assert asked.status == 201 and asked.json()["state"] == "requested", asked.body
    id = asked.json()["id"]
    assert ask("machine", "POST", "", BODIES["grants.request"]).status == 201
    assert ask("analyst", "GET", f"/{id}").status == 404
    assert ask("analyst", "POST", f"/{id}/revoke", {"reason": "over"}).status == 404
    own = world.ask("admin", "POST", f"/v1/reviews/{id}/approve")
    assert own.status == 403 and "nobody answers" in own.body, own.body
    said = world.ask("approver", "POST", f"/v1/reviews/{id}/approve", {"comment": "fine"})
    assert said.status == 200 and said.json()["grant"]["accesses"] == ["read"], said.body
    shown = ask("admin", "GET", f"/{id}").json()
    assert shown["state"] == "given" and shown["review"]["approved_by"] == ["approver"], shown
    of_approver = ask("approver", "GET", "?answered_by=approver&since=0").json()["grants"]
    assert id in [g["id"] for g in of_approver], of_approver
    page = ask("approver", "GET", "?all=true&limit=1").json()
    assert len(page["grants"]) == 1 and page["next"], page
    everybody = {"reason": "over", "everybody": True}
    for actor, seen, ended in [("analyst", 403, 403), ("agent", 403, 403), ("on-call", 403, 403), ("auditor", 200, 403), ("machine", 200, 200)]:
        listed = ask(actor, "GET", "?everybody=true")
        assert listed.status == seen, f"{actor}: {listed.body}"
        assert (id in listed.body) == (seen == 200), f"{actor}: {listed.body}"
        end = ask(actor, "POST", f"/{id}/revoke", everybody)
        assert end.status == ended, f"{actor}: {end.body}"
    shown = ask("admin", "GET", f"/{id}").json()
    assert shown["state"] == "ended" and shown["ended_why"] == "over" and "machine" in shown["ended_by"], shown
    assert ask("admin", "POST", f"/{id}/revoke", {"reason": "again"}).status == 409
    assert ask("approver", "POST", "/revoke", {"answered_by": "approver", "reason": "over"}).json() == {"grants": []}


def a_key_is_no_more_than_its_scope_and_its_owner(world):
    """Made, used, attacked and revoked; and nobody finds it in what is kept."""
    ask = lambda key, method, path, body=None: world.ask(None, method, path, body, {"Authorization": f"Bearer {key}"})
    make = lambda actor: world.ask(actor, "POST", "/v1/api-keys", {**BODIES["api-keys.create"], "scope": ["locks.list", "events.watch"]})
    assert make("auditor").status == 403
    made = make("admin").json()
    key, id = made["secret"], made["id"]
    assert key.startswith(f"csk_{id}_") and made["live"] and made["owner"]["name"] == "admin", made
    good = lambda: ask(key, "GET", "/v1/locks").status
    assert good() == 200
    for method, path, body, want in [
        ("GET", "/v1/sessions", None, 403),
        ("POST", "/v1/locks", BODIES["locks.add"], 403),
        ("GET", "/v1/api-keys", None, 403),
        ("POST", "/v1/api-keys", BODIES["api-keys.create"], 403),
        ("POST", f"/v1/reviews/{NOWHERE}/approve", None, 403),
        ("GET", "/v1/whoami", None, 401),
        ("POST", "/v1/logout", None, 400),
    ]:
        answer = ask(key, method, path, body)
        assert answer.status == want, f"{method} {path}: {answer.status} {answer.body}"
    for forged in [key[:-1], key + "A", key.replace(id, NOWHERE), key.lower(), "csk_"]:
        assert ask(forged, "GET", "/v1/locks").status == 401, forged
    exchange = f"grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={key}"
    exchange += "&subject_token_type=urn:ietf:params:oauth:token-type:access_token&csr=x"
    assert world.ask(None, "POST", "/v1/exchange", exchange.encode(), kind="application/x-www-form-urlencoded").status == 400
    token = world.ask("admin", "GET", "/v1/whoami").json()["token_id"]
    for matcher in [{"token_id": id}, {"token_id": token}, {"name": "admin"}]:
        lock = world.ask("machine", "POST", "/v1/locks", {"matcher": matcher, "reason": "stolen"}).json()["id"]
        assert good() == 403, matcher
        world.ask("machine", "DELETE", f"/v1/locks/{lock}?reason=over")
        assert good() == 200, matcher
    revoke = lambda actor, **more: world.ask(actor, "POST", f"/v1/api-keys/{id}/revoke", {"reason": "leaked", **more})
    listed = lambda actor, more="": [k["id"] for k in world.ask(actor, "GET", f"/v1/api-keys?all=true{more}").json().get("keys", [])]
    assert id in listed("admin") and id not in listed("machine") and id in listed("auditor", "&everybody=true")
    assert (revoke("machine").status, revoke("auditor", everybody=True).status, good()) == (404, 403, 200)
    watched = urllib.request.Request(world.url + "/v1/events", headers={"Authorization": f"Bearer {key}"})
    stream, began = urllib.request.urlopen(watched, timeout=30), time.monotonic()
    seen = world.ask("machine", "POST", "/v1/locks", {"matcher": {"name": "heard"}, "reason": "to hear"}).json()["id"]
    assert world.ask("admin", "POST", "/v1/grants", BODIES["grants.request"]).status == 201
    heard = ""
    while seen not in heard:
        heard += stream.readline().decode()
    used = next(k for k in world.ask("admin", "GET", "/v1/api-keys").json()["keys"] if k["id"] == id)["used"]
    assert used["from"] == "127.0.0.1" and used["at"], used
    assert revoke("machine", everybody=True).json()["ended"]["why"] == "leaked"
    assert (good(), revoke("admin").status) == (401, 409)
    heard += stream.read().decode()
    assert time.monotonic() - began < 30, heard
    assert "review." not in heard and "grant." not in heard, f"of what is in no scope it hears nothing: {heard}"
    # Whoever is not there any more leaves no key behind.
    world.operate("accounts", "add", "leaver", "--group=responders")
    world.tokens["leaver"] = world.operate("token", "leaver")
    left = make("leaver").json()["secret"]
    assert ask(left, "GET", "/v1/locks").status == 200
    world.operate("accounts", "disable", "leaver")
    assert ask(left, "GET", "/v1/locks").status == 401
    secrets = [text[len("csk_") + 26 + 1 :].encode() for text in (key, left)]
    for path in world.dir.rglob("*"):
        if path.is_file():
            kept = path.read_bytes()
            assert not any(secret in kept for secret in secrets), f"{path} has the secret of a key"


def a_stream_tells_of_changes(world):
    """What an admin hears, what an analyst does not, that it goes on after the last event, and that a lock ends it."""

    def watch(actor, last=None):
        headers = {"Authorization": f"Bearer {world.tokens[actor]}", **({"Last-Event-ID": last} if last else {})}
        stream = urllib.request.urlopen(urllib.request.Request(world.url + "/v1/events", headers=headers), timeout=30)
        assert stream.headers["content-type"] == "text/event-stream", stream.headers
        return stream

    def event(stream):
        said = {}
        while line := stream.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if not line.strip() and said:
                return said
            if name:
                said[name] = value
        return said or None

    def hear(stream, *wanted):
        """The last of these that comes. What changed just before somebody began to listen may come first."""
        wanted = set(wanted)
        while wanted:
            heard = event(stream)
            assert heard, "the stream ended"
            wanted.discard((heard["event"], json.loads(heard["data"]).get("id")))
        return heard

    admin, analyst = watch("admin"), watch("analyst")
    assert event(admin)["event"] == "ready" and event(analyst)["event"] == "ready"
    add = lambda name: world.ask("admin", "POST", "/v1/locks", {"matcher": {"name": name}, "reason": "to watch"}).json()["id"]
    heard = hear(admin, ("lock.added", add("watched")))
    admin.close()
    second = add("missed")
    resumed = watch("admin", heard["id"])
    hear(resumed, ("lock.added", second))
    asked = world.ask("admin", "POST", "/v1/grants", BODIES["grants.request"]).json()["id"]
    hear(resumed, ("review.changed", asked), ("grant.changed", asked))
    world.ask("approver", "POST", f"/v1/reviews/{asked}/deny")
    hear(resumed, ("review.changed", asked), ("grant.changed", asked))
    assert event(watch("admin", "01JGV2XJ8E0000000000000000-3"))["event"] == "reset"
    add("analyst")
    # Signs of life, but nothing of locks and of what others asked for; then it ends.
    assert event(analyst) is None, "an analyst hears nothing of locks, and a lock ends the stream"


def schemathesis(world):
    """Nothing that the document allows is refused for its form, nothing that it forbids is taken, every answer is as described."""
    report = world.dir / "schemathesis.xml"
    document = world.ask(None, "GET", "/v1/openapi.json").json()
    # From a file: where the document is read from is an operation that is left out.
    said = world.dir / "openapi.json"
    said.write_text(json.dumps(document))
    described = {f"{method} {path}" for method, path, _ in operations(document)}
    command = [
        str(pathlib.Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml"), "run", str(said), "--url", world.url,
        "-H", f"Authorization: Bearer {world.tokens['admin']}", "--seed", str(SEED), "--max-examples", str(EXAMPLES),
        "--phases", "examples,coverage,fuzzing", "--no-shrink", "--generation-database", "none", "--continue-on-failure",
        # It does not end by itself; a_stream_tells_of_changes is about it.
        "--exclude-path", "/v1/events",
        "--report", "junit", "--report-junit-path", str(report), "--no-color",
    ]  # fmt: skip
    environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(world.dir / "hypothesis")}
    done = subprocess.run(command, cwd=world.dir, env=environment, capture_output=True, text=True, timeout=SCHEMATHESIS_S, check=False)
    cases = list(xml.parse(report).getroot().iter("testcase")) if report.exists() else []
    bad = [c.get("name") for c in cases if c.find("failure") is not None or c.find("error") is not None]
    print(f"schemathesis: {len(cases) - len(bad)} of {len(cases)} operations as described")
    assert done.returncode == 0, f"{bad}\n{done.stdout[-12000:]}\n{done.stderr[-2000:]}"
    left_out = described - {c.get("name") for c in cases}
    assert left_out == {"GET /v1/events"}, left_out


CASES = [
    the_matrix,
    what_goes_wrong_is_a_problem,
    a_key_does_it_once,
    everything_that_changes_is_recorded,
    a_grant_is_asked_for_given_and_ended,
    a_key_is_no_more_than_its_scope_and_its_owner,
    a_stream_tells_of_changes,
    schemathesis,
]


def main():
    world, passed, failed = World(sys.argv[1]), 0, 0
    only = [a for a in sys.argv[2:] if not a.startswith("-")]
    try:
        world.start()
        for case in CASES:
            if only and case.__name__ not in only:
                continue
            began = time.monotonic()
            try:
                case(world)
                passed += 1
                print(f"ok {case.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:  # noqa: BLE001
                failed += 1
                print(f"FAIL: {case.__name__}\n{traceback.format_exc()}", flush=True)
    finally:
        world.stop()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
