"""Machines: client credentials as a password and exchanged, a pipeline's job, replays (row 84), proofs of possession (row 87)."""

import json
import subprocess

import harness
from scene import AUDIENCE, LABEL, SECONDS_MAX, TARGET, logged


def cases(scene):
    """In order."""
    attempts = Attempts(scene)
    plain = [(f.__name__, lambda f=f: f(scene)) for f in (
        a_token_as_the_password, a_job_of_a_pipeline, another_audience, adv_084_a_jti_that_is_good_once, adv_084_an_exchanged_token_is_no_password, adv_084_a_token_is_exchanged_once)]
    proofs = [(f"adv_{row:03}_{name.replace(' ', '_')}", lambda n=name, w=want: attempts.check(n, w)) for row, name, want in ATTEMPTS]
    return [*plain, *proofs, ("adv_087_a_bound_token_is_no_password", attempts.as_a_password),
            ("adv_087_a_bound_token_is_for_its_key", attempts.exchanged_by_a_thief), ("adv_084_087_alerts", attempts.alerts)]


def a_token_as_the_password(scene):
    """Client credentials: a token, given as psql's password."""
    token = scene.provider.token()
    assert scene.accepted(token) is True, scene.accepted(token)
    assert scene.accepted(token) is True, "a bearer token is good more than once, where the issuer is not single_use"
    assert "ci" in scene.refused(token, user="ana"), "it is not somebody else's password"


def a_job_of_a_pipeline(scene):
    """A CI-shaped token, exchanged: whoami shows which repository, workflow, commit and run it is."""
    login = json.loads(scene.log_in_workload("job", scene.provider.token("ci-job")).stdout)
    seen = scene.whoami("job")
    want = {"name": "ci-deploy", "kind": "machine", "groups": ["deployers"], "subject": "ci-job", "issuer": scene.provider.url,
            "credential": "bound", "key": scene.thumbprint("job"), "login": login["login"]}
    assert {name: seen.get(name) for name in want} == want, seen
    claims = {"repository": "acme/shop", "repository_id": "482911734", "ref": "refs/heads/main", "run_id": "7000000001",
              "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main", "environment": "production",
              "sha": "6b1f0d2c5a7e4f3b8c9d0e1f2a3b4c5d6e7f8091", "runner_environment": "github-hosted"}
    assert {name: seen["claims"].get(name) for name in claims} == claims, seen
    shown = scene.cli("job", "whoami").stdout
    for text in claims.values():
        assert text in shown, f"{text!r} is not in: {shown}"
    mark, sql = scene.statement()
    scene.cli("job", "exec", TARGET, "-c", sql)
    recorded = scene.header_of(mark)["identity"]["claims"]
    assert claims.items() <= recorded.items(), f"the record names the job, too: {recorded}"


def another_audience(scene):
    """A token of the same provider for somebody else's service."""
    problems = scene.refused(scene.provider.token(resource="urn:bank:ES256"))
    assert "audience" in problems or "another" in problems, problems


def adv_084_a_jti_that_is_good_once(scene):
    """Where the issuer is `single_use`, a token is one connection, or one key."""
    token = scene.provider.token()
    assert scene.accepted(token, gateway=scene.short) is True
    before = refusals(scene.short)["replayed"]
    scene.refused(token, gateway=scene.short)
    assert refusals(scene.short)["replayed"] == before + 1
    assert scene.accepted(token) is True, "another gateway has a store of its own, and says otherwise"


def adv_084_an_exchanged_token_is_no_password(scene):
    """The first key binds the token: whoever stole it has nothing."""
    token = scene.provider.token()
    scene.log_in_workload("machine", token)
    assert scene.whoami("machine")["name"] == "ci"
    scene.refused(token)
    assert refusals(scene.gateway)["replayed"] >= 1


def adv_084_a_token_is_exchanged_once(scene):
    """Nor is it good for another key, even if it was only a password so far."""
    token = scene.provider.token()
    scene.log_in_workload("machine", token)
    before = refusals(scene.gateway)["replayed"]
    done = scene.log_in_workload("thief", token, check=False)
    assert done.returncode != 0 and "not accepted" in done.stderr, done.stderr
    assert refusals(scene.gateway)["replayed"] == before + 1


def refusals(gateway):
    """How often each reason was logged."""
    counts = dict.fromkeys(("replayed", "unproven", "proof", "signature"), 0)
    for line in logged(gateway, "a credential was refused") + logged(gateway, "a login was refused"):
        reason = line.get("reason", line.get("fields", {}).get("reason"))
        if reason in counts:
            counts[reason] += 1
    return counts


# What a client of HTTP tries, and what must become of it: the status, and the reason in the log.
ATTEMPTS = [
    (87, "a proof", (200, None)),
    (84, "the same proof again", (401, "replayed")),
    (84, "the same proof with another token of the key", (401, "proof")),
    *[(87, f"a proof {what}", (401, "proof")) for what in (
        "for another method", "for another path", "for another gateway", "for another scheme", "for another token", "for no token",
        "of long ago", "of tomorrow", "without an id", "of another type")],
    (87, "a thief's proof", (401, "unproven")),
    (87, "a thief's proof that shows the owner's key", (401, "proof")),
    (87, "no proof", (401, "proof")),
    (87, "two proofs", (400, None)),
    (87, "two proofs in a header", (401, "proof")),
    (87, "a bound token as a bearer", (401, "unproven")),
    (87, "a bound token as a bearer, with a proof", (401, "unproven")),
    (87, "a stripped cnf", (401, "signature")),
    (87, "a cnf of the thief's key", (401, "signature")),
    (87, "a bearer token with a proof", (401, "proof")),
    (87, "a bearer token", (200, None)),
    (87, "spoofed client certificates", (401, None)),
    (87, "spoofed client certificates beside a bearer token", (200, None)),
]


class Attempts:
    """All attempts are made at once, when the first is asked about."""

    def __init__(self, scene):
        self.scene, self.made = scene, None

    def all(self):
        """What became of each."""
        if self.made is None:
            scene = self.scene
            env = {"PATH": scene.environment("x")["PATH"], "PROVIDER": scene.provider.url, "API": scene.api,
                   "CERTIFICATE": str(scene.kept("ana") / "certificate.pem"), "NODE_EXTRA_CA_CERTS": str(scene.gateway.authority())}
            done = subprocess.run(["node", str(harness.CACHE / "oidc/dpop.mjs")], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=SECONDS_MAX)
            assert done.returncode == 0, done.stderr[-2000:]
            self.made = {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}
        return self.made

    def check(self, name, want):
        """One attempt: its status, whose it was, and why it was refused."""
        made = self.all()
        status, reason = want
        got = made[name]
        assert got["status"] == status, f"{got}, not {status}"
        if status != 200:
            assert "name" not in (got["body"] if isinstance(got["body"], dict) else {}), f"it tells who it is: {got}"
            return
        bound = name == "a proof"
        body = got["body"]
        assert (body["name"], body["kind"], body["issuer"]) == ("ci", "machine", self.scene.provider.url), body
        assert body["groups"] == [f"{LABEL}:analysts", f"{LABEL}:deployers"] and body["login"] is None, body
        assert body["credential"] == ("bound" if bound else "bearer"), body
        assert body["key"] == (made["key"]["thumbprint"] if bound else None), body
        assert body["claims"]["aud"] == AUDIENCE, body

    def as_a_password(self):
        """PostgreSQL carries no proof, so that a bound token is refused there."""
        before = refusals(self.scene.gateway)["unproven"]
        self.scene.refused(self.all()["key"]["bound"])
        assert refusals(self.scene.gateway)["unproven"] == before + 1

    def exchanged_by_a_thief(self):
        """Nor does it become a certificate of another key."""
        before = refusals(self.scene.gateway)["unproven"]
        done = self.scene.log_in_workload("thief", self.all()["key"]["bound"], check=False)
        assert done.returncode != 0 and "not accepted" in done.stderr, done.stderr
        assert refusals(self.scene.gateway)["unproven"] == before + 1

    def alerts(self):
        """Each sort of attempt left its reason in the log, and people were told of it."""
        self.all()
        counts = refusals(self.scene.gateway)
        wanted = {"replayed": 3, **{r: sum(w[1] == r for _, _, w in ATTEMPTS) for r in ("unproven", "proof", "signature")}}
        short = {r: counts[r] for r, n in wanted.items() if counts[r] < n}
        assert not short, f"logged {short}, not {wanted}"
        told = json.dumps(logged(self.scene.gateway, "alert"))
        untold = [r for r in wanted if r not in told]
        assert not untold, f"nobody was told of {untold}: {told[-3000:]}"
