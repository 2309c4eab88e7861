"""Service-account tokens of a real API server: as the password, exchanged, for somebody else, and after their pod or account is gone."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "conformance"), str(HERE)]
import harness  # noqa: E402
from cluster import ISSUER, Cluster  # noqa: E402

COMMAND_SECONDS_MAX = 60
# The gateway asks again after a minute; the runtime then takes a few seconds.
END_SECONDS_MAX = 100
POLICY = """
@id("shops")
permit (principal in Group::"shops", action, resource)
when { principal.kind == "machine" && principal.claims.kubernetes_namespace == "shop" };
"""
SETTINGS = """
[identity]
url = "https://localhost:{api}"

[[issuer]]
label = "cluster"
url = "{issuer}"
audiences = ["countersign"]
types = [""]
kind = "machine"
jwks_file = "{folder}/jwks.json"

[issuer.token_review]
url = "{url}"
ca = "{folder}/ca.pem"
token_file = "{folder}/reviewer-token"
on_unreachable = "{unreachable}"

[[issuer.mapping]]
when = {{ kubernetes_namespace = "shop", kubernetes_serviceaccount = "web" }}
name = "web"
groups = ["shops"]

[[issuer.mapping]]
when = {{ kubernetes_namespace = "shop", kubernetes_serviceaccount = "batch" }}
name = "batch"
groups = ["shops"]
"""


class World:
    """A cluster with its gateways: one that goes by signatures while the cluster cannot be reached, one that does not."""

    def __init__(self, box, binary, etcd, apiserver):
        self.box, self.binary = box, binary
        self.cluster = Cluster(box, etcd, apiserver)
        self.cluster.start()
        for namespace, accounts in (("gateway", ["countersign"]), ("shop", ["web", "batch", "other"])):
            self.cluster.namespace(namespace)
            for account in accounts:
                self.cluster.account(namespace, account)
        self.cluster.allow_reviews("gateway", "countersign")
        self.cluster.write_keys(self.cluster.folder / "jwks.json")
        # For the cluster's own API, as every pod has one.
        (self.cluster.folder / "reviewer-token").write_text(self.cluster.token("gateway", "countersign", audience=None) + "\n")
        self.web = ("web-0", self.cluster.pod("shop", "web-0", "web"))
        self.server = harness.Postgres(box, "pg", log_statements=False).create()
        self.server.sql(f"create role {harness.ROLE} login password '{harness.ROLE_PASSWORD}';")
        self.server.sql(f"create database shop owner {harness.ROLE};")
        self.strict, self.lenient = self.gateway("strict", "refuse"), self.gateway("lenient", "accept")

    def gateway(self, name, unreachable):
        """A gateway that asks the cluster."""
        cluster = self.cluster

        class Asking(harness.Gateway):
            def write_configuration(self, dbname, policy, settings, record, telemetry=""):
                settings = settings.format(api=self.api_port, issuer=ISSUER, folder=cluster.folder, url=cluster.url, unreachable=unreachable)
                super().write_configuration(dbname, policy, settings, record, telemetry)
                plain = f'[api]\naddress = "127.0.0.1:{self.api_port}"\n'
                text = self.config.read_text()
                assert plain in text
                self.config.write_text(text.replace(plain, plain + 'tls = "generated"\n'))
        return Asking(self.box, self.server, self.binary, name, policy=POLICY, settings=SETTINGS)

    def way(self, token, user, gateway):
        """What psql needs."""
        where = {"host": "localhost", "port": gateway.strict_port, "user": user, "dbname": gateway.TARGET, "sslmode": "verify-full",
                 "sslrootcert": gateway.authority(), "sslcert": self.box.path / "none", "sslkey": self.box.path / "none"}
        return " ".join(f"{k}={v}" for k, v in where.items()), {"PATH": os.environ["PATH"], "HOME": str(self.box.path), "PGPASSWORD": token}

    def psql(self, token, user="web", gateway=None, sql="select 6 * 7"):
        """What psql says with the token as the password."""
        where, env = self.way(token, user, gateway or self.strict)
        done = subprocess.run(["psql", "-wXAtc", sql, where], env=env, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else done.stderr.decode()

    def accepted(self, token, user="web", gateway=None):
        """It is the login."""
        said = self.psql(token, user, gateway)
        assert said == "42", said

    def refused(self, token, words, reason, user="web", gateway=None):
        """It is not: what the client reads, and why in the log."""
        before = self.reasons(gateway)
        said = self.psql(token, user, gateway)
        assert words in said, f"not {words!r}: {said}"
        now = self.reasons(gateway)[len(before):]
        assert now == [reason], f"not {reason}: {now}"

    def reasons(self, gateway=None):
        """Why credentials were refused so far."""
        lines = (json.loads(line) for line in (gateway or self.strict).log.read_text().splitlines() if line.startswith("{"))
        return [line["reason"] for line in lines if line["message"] == "a credential was refused"]

    def cli(self, who, *words):
        """A command of somebody with a folder of their own."""
        home = self.box.folder(f"home-{who}")
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "LC_ALL": "C.UTF-8"}
        return subprocess.run([self.strict.binary, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, env=env, text=True,
                              timeout=COMMAND_SECONDS_MAX, check=False)

    def log_in(self, who, token):
        """`countersign login --workload` with a projected token."""
        file = self.box.folder(f"volume-{who}") / "token"
        file.write_text(token)
        at = ("--gateway", f"https://localhost:{self.strict.api_port}", "--ca", self.strict.authority())
        return self.cli(who, "login", *at, "--workload", "--token-file", file)


class Live:
    """A session that asks again and again, until it is ended."""

    def __init__(self, world, token, user):
        where, env = world.way(token, user, world.strict)
        self.process = subprocess.Popen(["psql", "-wXAt", where], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        world.box.processes.append(self.process)
        self.ask("select 'alive'")
        assert self.process.stdout.readline() == "alive\n", self.process.stderr.read()

    def ask(self, sql):
        """Sends a statement; False when nobody takes it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{sql};\n")
            self.process.stdin.flush()
            return True
        return False

    def end(self):
        """Waits for it: what the client read."""
        deadline = time.monotonic() + END_SECONDS_MAX
        while self.process.poll() is None and self.ask("select 1"):
            assert time.monotonic() < deadline, "the session still lives"
            time.sleep(0.5)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(COMMAND_SECONDS_MAX)
        return self.process.stderr.read()


def a_pods_token_is_the_password(w):
    """And all that it says of the pod is in the record."""
    w.accepted(w.cluster.token("shop", "web", w.web))
    mark = "seen in the record"
    w.psql(w.cluster.token("shop", "web", w.web), sql=f"select '{mark}'")
    session = next(s["session"] for s in w.strict.statements() if mark in s["text"])
    claims = next(e["header"]["identity"]["claims"] for e in w.strict.export() if e["type"] == "opened" and e["session"] == session)
    want = {"kubernetes_namespace": "shop", "kubernetes_serviceaccount": "web", "kubernetes_pod": "web-0", "kubernetes_pod_uid": w.web[1]}
    assert want.items() <= claims.items(), claims


def an_accounts_own_token_is_the_password(w):
    """Bound to no pod."""
    w.accepted(w.cluster.token("shop", "batch"), user="batch")


def a_token_is_exchanged(w):
    """The certificate is bound to the key, and the token with it."""
    token = w.cluster.token("shop", "web", w.web)
    done = w.log_in("web", token)
    assert done.returncode == 0 and "logged in as web (machine)" in done.stdout, done
    seen = json.loads(w.cli("web", "whoami", "--output", "json").stdout)
    assert (seen["name"], seen["credential"], seen["claims"]["kubernetes_pod"]) == ("web", "bound", "web-0"), seen
    done = w.cli("web", "exec", w.strict.TARGET, "-c", "select 6 * 7 as n")
    assert done.returncode == 0 and "42" in done.stdout, done
    w.refused(token, "was not accepted", "replayed")


def adv_083_a_token_for_somebody_else(w):
    """For the cluster itself, and for another service: neither says that it is for us."""
    for audience in (None, "https://vault.example"):
        w.refused(w.cluster.token("shop", "web", w.web, audience=audience), "another audience", "audience")
    w.refused(w.cluster.token("shop", "other"), "was not accepted", "unmapped", user="other")


def adv_090_a_pod_that_is_gone(w):
    """Its token still verifies; the cluster says no."""
    pod = ("web-1", w.cluster.pod("shop", "web-1", "web"))
    tokens = [w.cluster.token("shop", "web", pod) for _ in range(3)]
    w.accepted(tokens[0])
    w.cluster.remove("shop", "pods", "web-1")
    w.refused(tokens[1], "was not accepted", "not_vouched")
    done = w.log_in("late", tokens[2])
    assert done.returncode != 0 and "not accepted" in done.stderr, done
    # One that is made again under its name is another one.
    w.cluster.pod("shop", "web-1", "web")
    w.refused(tokens[1], "was not accepted", "not_vouched")


def adv_090_an_account_that_is_gone(w):
    """And one that is made again under its name is another one."""
    token = w.cluster.token("shop", "batch")
    w.cluster.remove("shop", "serviceaccounts", "batch")
    w.refused(token, "was not accepted", "not_vouched", user="batch")
    w.cluster.account("shop", "batch")
    w.refused(token, "was not accepted", "not_vouched", user="batch")
    w.accepted(w.cluster.token("shop", "batch"), user="batch")


def a_gateway_that_may_not_ask(w):
    """Nobody comes in, whatever is configured for a cluster that cannot be reached: this one can."""
    w.cluster.forbid_reviews()

    def noticed():
        # The API server's own rules take a moment.
        return "cannot check logins now" in w.psql(w.cluster.token("shop", "web", w.web))
    try:
        harness.wait_for("the API server to refuse reviews", noticed, pause=0.5)
        for gateway in (w.strict, w.lenient):
            w.refused(w.cluster.token("shop", "web", w.web), "cannot check logins now", "review_unavailable", gateway=gateway)
    finally:
        w.cluster.allow_reviews("gateway", "countersign")
    harness.wait_for("the API server to allow reviews", lambda: w.psql(w.cluster.token("shop", "web", w.web)) == "42", pause=0.5)


def adv_003_a_cluster_that_hangs_or_is_down(w):
    """Fails closed, unless it was configured to go by the signature."""
    tokens = [w.cluster.token("shop", "web", w.web) for _ in range(5)]

    def both(strict, lenient):
        w.refused(strict, "cannot check logins now", "review_unavailable")
        w.accepted(lenient, gateway=w.lenient)
    w.cluster.process.send_signal(signal.SIGSTOP)
    try:
        both(tokens[0], tokens[1])
    finally:
        w.cluster.process.send_signal(signal.SIGCONT)
    w.box.stop(w.cluster.process)
    both(tokens[2], tokens[3])
    w.cluster.start_apiserver()
    w.accepted(tokens[4])
    w.accepted(tokens[0])


def adv_090_live_sessions_of_a_pod_that_is_gone(w):
    """A session by the token and one by a login of it end within a minute or so, and the login with them."""
    said = w.live.end()
    assert "FATAL" in said and "not accepted" in said, said
    done = w.cli("doomed", "whoami")
    assert done.returncode != 0, done
    reasons = w.reasons()
    assert "not_vouched" in reasons or "login_ended" in reasons, reasons


def doom(w):
    """Sessions of a pod that goes, so that their end need not be waited for."""
    pod = ("doomed", w.cluster.pod("shop", "doomed", "web"))
    done = w.log_in("doomed", w.cluster.token("shop", "web", pod))
    assert done.returncode == 0, done
    w.live = Live(w, w.cluster.token("shop", "web", pod), "web")
    w.cluster.remove("shop", "pods", "doomed")


# The sessions that are to end must do so while the cluster can be asked.
CASES = [a_pods_token_is_the_password, an_accounts_own_token_is_the_password, a_token_is_exchanged, adv_083_a_token_for_somebody_else,
         adv_090_a_pod_that_is_gone, adv_090_an_account_that_is_gone, adv_090_live_sessions_of_a_pod_that_is_gone, a_gateway_that_may_not_ask,
         adv_003_a_cluster_that_hangs_or_is_down]


def main():
    """Starts, plays."""
    binary, etcd, apiserver = sys.argv[1:4]
    results = harness.Results()
    box = harness.Box("kubernetes")
    try:
        world = World(box, binary, etcd, apiserver)
        doom(world)
    except (harness.HarnessError, AssertionError) as e:
        results.add("setting up", e)
        return results.finish()
    for check in CASES:
        try:
            check(world)
            results.add(check.__name__)
        except AssertionError as e:
            results.add(check.__name__, str(e) or traceback.format_exc()[-2500:])
        except Exception:  # pylint: disable=broad-except
            results.add(check.__name__, traceback.format_exc()[-2500:])
    status = results.finish()
    box.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
