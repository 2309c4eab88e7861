"""psql with X.509-SVIDs and JWT-SVIDs through the gateway. SPIFFE's own library wrote the bundles and found every document valid."""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
import harness  # noqa: E402

WEB, ID = "td.example/ns/shop/sa/web", "spiffe://td.example/ns/shop/sa/web"
POLICY = """
@id("web")
permit (principal, action, resource)
when { principal.kind == "machine" && principal.claims.spiffe_path == "/ns/shop/sa/web" && principal.claims.spiffe_trust_domain == "td.example" };
"""


def main():
    """Mints, starts, plays."""
    binary, minter = sys.argv[1:3]
    results = harness.Results(False)
    box = harness.Box("spiffe")
    folder = box.folder("svids")
    subprocess.run([minter, folder], check=True, timeout=60)
    server = harness.Postgres(box, "pg", log_statements=False).create()
    server.sql(f"create role {harness.ROLE} login password '{harness.ROLE_PASSWORD}';")
    server.sql(f"create database shop owner {harness.ROLE};")
    settings = f'[[spiffe]]\ntrust_domain = "td.example"\naudiences = ["countersign"]\nbundle_file = "{folder}/ours-bundle.json"\n'
    gateway = harness.Gateway(box, server, binary, policy=POLICY, settings=settings)

    def psql(user, certificate=None, token=None):
        way = {"host": "127.0.0.1", "port": gateway.strict_port, "user": user, "dbname": gateway.TARGET, "sslmode": "verify-full",
               "sslrootcert": gateway.authority(), "sslcert": folder / "none", "sslkey": folder / "none"}
        if certificate:
            way |= {"sslcert": folder / f"{certificate}-svid.pem", "sslkey": folder / f"{certificate}-key.pem"}
        env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        if token:
            env["PGPASSWORD"] = (folder / f"{token}-token").read_text()
        done = subprocess.run(["psql", "-wXAtc", "select 6 * 7", " ".join(f"{k}={v}" for k, v in way.items())],
                              env=env, capture_output=True, timeout=60, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else done.stderr.decode()

    for what, want, got in [
        ("X.509-SVID, by name", "42", lambda: psql(WEB, certificate="ours")),
        ("X.509-SVID, by SPIFFE ID", "42", lambda: psql(ID, certificate="ours")),
        ("JWT-SVID as the password", "42", lambda: psql(WEB, token="ours")),
        ("X.509-SVID, as somebody else", "the user name given is", lambda: psql("dora", certificate="ours")),
        ("X.509-SVID by somebody else's authority", "certificate was not accepted", lambda: psql(WEB, certificate="forged")),
        ("X.509-SVID of another trust domain", "no password supplied", lambda: psql(WEB, certificate="foreign")),
        ("JWT-SVID by somebody else's key", "was not accepted", lambda: psql(WEB, token="forged")),
        ("JWT-SVID of another trust domain", "issuer is not known", lambda: psql(WEB, token="foreign")),
        ("nothing", "no password supplied", lambda: psql(WEB)),
    ]:
        said = got()
        right = said == want if want == "42" else want in said
        results.add(what, None if right else f"not {want!r}: {said}")
    status = results.finish()
    box.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
