#!/usr/bin/env python3
"""Machines of a real Keycloak: keycloak.py BINARY KEYCLOAK_FOLDER. Client credentials, its token as the password and exchanged, its groups."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import traceback
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
import harness  # noqa: E402

# It builds itself at the first start.
START_SECONDS_MAX = 300
SECONDS_MAX = 60
SECRET = "only-for-tests"
POLICY = """
@id("everybody-connects")
permit (principal, action == Action::"connect", resource);

@id("deployers-read")
permit (principal in Group::"corp:deployers", action == Action::"read", resource);
"""
SETTINGS = """
[[issuer]]
label = "corp"
url = "{url}"
audiences = ["countersign"]
algorithms = ["RS256"]
authorized_parties = ["ci", "idle", "other"]
kind = "machine"
name_claim = "preferred_username"
groups_claim = "groups"
"""


def client(name, audience, groups):
    """A machine: its own client, with an account behind it."""
    mappers = [{"name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
                "config": {"claim.name": "groups", "full.path": "false", "access.token.claim": "true"}},
               {"name": "audience", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
                "config": {"included.custom.audience": audience, "access.token.claim": "true"}}]
    account = {"username": f"service-account-{name}", "enabled": True, "serviceAccountClientId": name, "groups": groups}
    return {"clientId": name, "secret": SECRET, "serviceAccountsEnabled": True, "standardFlowEnabled": False, "publicClient": False,
            "protocolMappers": mappers}, account


def realm():
    """What is imported."""
    machines = [client("ci", "countersign", ["/deployers"]), client("idle", "countersign", []), client("other", "https://bank.example", ["/deployers"])]
    return {"realm": "shop", "enabled": True, "sslRequired": "none", "accessTokenLifespan": 300, "groups": [{"name": "deployers"}],
            "clients": [c for c, _ in machines], "users": [a for _, a in machines]}


class Keycloak:
    """A throwaway one, in memory."""

    def __init__(self, box, folder):
        self.port = harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}/realms/shop"
        # It writes into its own folder.
        home = box.path / "keycloak"
        shutil.copytree(folder, home)
        (home / "data/import").mkdir(parents=True)
        (home / "data/import/shop-realm.json").write_text(json.dumps(realm()))
        log = box.path / "keycloak.log"
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}
        process = box.start(["bash", home / "bin/kc.sh", "start-dev", "--db=dev-mem", "--http-host=127.0.0.1", f"--http-port={self.port}",
                             f"--hostname=http://127.0.0.1:{self.port}", "--import-realm"], log, env=env)
        try:
            harness.wait_for("Keycloak", self.ready, START_SECONDS_MAX, process, pause=0.5)
        except harness.HarnessError as e:
            raise harness.HarnessError(f"{e}\n{log.read_text(errors='replace')[-3000:]}") from e

    def open(self, path, form=None, name=None):
        """Asks it something; as a client where one is named."""
        request = urllib.request.Request(self.url + path, form and urllib.parse.urlencode(form).encode())
        if name:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"{name}:{SECRET}".encode()).decode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS_MAX) as answer:
            return json.load(answer)

    def ready(self):
        """True when the realm is there."""
        try:
            return self.open("/.well-known/openid-configuration")["issuer"] == self.url
        except OSError:
            return False

    def token(self, name):
        """By the client credentials grant."""
        return self.open("/protocol/openid-connect/token", {"grant_type": "client_credentials"}, name)["access_token"]


class World:
    """Keycloak, a server, a gateway."""

    def __init__(self, box, binary, folder):
        self.box = box
        self.keycloak = Keycloak(box, folder)
        server = harness.Postgres(box, "pg", log_statements=False).create()
        server.load_fixture("shop")
        self.gateway = harness.Gateway(box, server, binary, policy=POLICY, settings=SETTINGS.format(url=self.keycloak.url))

    def psql(self, token, user, sql="select name from customers where id = 1"):
        """What psql says with the token as the password."""
        where = {"host": "localhost", "port": self.gateway.strict_port, "user": user, "dbname": self.gateway.TARGET, "sslmode": "verify-full",
                 "sslrootcert": self.gateway.authority(), "sslcert": self.box.path / "none", "sslkey": self.box.path / "none"}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.box.path), "PGPASSWORD": token}
        done = subprocess.run(["psql", "-wXAtc", sql, " ".join(f"{k}={v}" for k, v in where.items())], env=env, capture_output=True,
                              timeout=SECONDS_MAX, check=False)
        return done.returncode, done.stdout.decode().strip() + done.stderr.decode()


def its_token_is_the_password(w):
    """With its groups, and everything it says in the record."""
    code, said = w.psql(w.keycloak.token("ci"), "service-account-ci")
    assert code == 0 and said, (code, said)
    identity = next(e["header"]["identity"] for e in w.gateway.export() if e["type"] == "opened")
    want = ("service-account-ci", "machine", ["corp:deployers"], w.keycloak.url, "ci")
    assert (identity["name"], identity["kind"], identity["groups"], identity["issuer"], identity["claims"]["azp"]) == want, identity


def a_group_is_what_counts(w):
    """Another client of the realm, in no group."""
    code, said = w.psql(w.keycloak.token("idle"), "service-account-idle")
    assert code == 1 and "ERROR" in said and "denied" in said, (code, said)


def adv_083_a_token_for_somebody_else(w):
    """A client whose tokens are not for this gateway."""
    code, said = w.psql(w.keycloak.token("other"), "service-account-other")
    assert code == 2 and "another audience" in said, (code, said)


def adv_084_an_exchanged_token_is_no_password(w):
    """The first key is its only one."""
    token = w.keycloak.token("ci")
    home = w.box.folder("home")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "JOB_TOKEN": token}
    key, csr = home / "key.pem", home / "csr.der"
    harness.run_quiet(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x",
                       "-keyout", key, "-outform", "DER", "-out", csr], "openssl", env=env)
    form = urllib.parse.urlencode({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "requested_token_type": "urn:countersign:token-type:x509", "csr": base64.b64encode(csr.read_bytes()).decode()}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{w.gateway.api_port}/v1/exchange", form)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS_MAX) as answer:
        given = json.load(answer)
    assert given["identity"]["groups"] == ["corp:deployers"], given
    code, said = w.psql(token, "service-account-ci")
    assert code == 2 and "not accepted" in said, (code, said)


def main():
    """Starts, plays."""
    results = harness.Results()
    box = harness.Box("keycloak")
    try:
        world = World(box, *sys.argv[1:3])
    except (harness.HarnessError, AssertionError) as e:
        results.add("setting up Keycloak", e)
        return results.finish()
    for check in (its_token_is_the_password, a_group_is_what_counts, adv_083_a_token_for_somebody_else, adv_084_an_exchanged_token_is_no_password):
        name = f"keycloak: {check.__name__}"
        try:
            check(world)
            results.add(name)
        except Exception:  # pylint: disable=broad-except
            results.add(name, traceback.format_exc()[-2500:])
    status = results.finish()
    box.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
