"""Certificates towards targets: the gateway logs in with one of its own authority, and knows targets by theirs."""
import json
import re
import subprocess
from pathlib import Path

from world import until

CASES = []


def case(function):
    CASES.append(function)
    return function


def accepted(world, before):
    """What sshd said of logins since then: key id, serial and the authority's fingerprint of each."""
    said = (world.folder / "sshd.log").read_text(errors="replace")[before:]
    return re.findall(r"Accepted publickey for \S+ from \S+ port \d+ ssh2: ED25519-CERT SHA256:(\S+) ID (.*?) \(serial (\d+)\) CA ED25519 (SHA256:\S+)", said)


def latest(world, target):
    listed = world.run("sessions", "list", "--config", "countersign.toml", "--target", target, "--limit", "1", "--output", "json")
    return json.loads(listed)["sessions"][0]


@case
def a_session_logs_in_with_a_certificate_of_its_own(world):
    known = json.loads(world.run("credentials", "ssh-ca", "--config", "countersign.toml", "--output", "json"))
    listed = subprocess.run(["ssh-keygen", "-l", "-f", world.folder / "user-ca.pub"], capture_output=True, text=True, check=True).stdout
    assert known["fingerprint"] in listed, (known, listed)
    before = len((world.folder / "sshd.log").read_text(errors="replace"))
    keys = set()
    for n in range(2):
        done = world.ssh(True, f"echo ready-{n}; exit {n}", target="signed")
        assert (done.returncode, done.stdout, done.stderr) == (n, b"ready-%d\n" % n, b""), done
        key, said, serial, authority = accepted(world, before)[n]
        session = latest(world, "signed")
        assert said == f"countersign session={session['id']} identity=ana", (said, session)
        assert authority == known["fingerprint"]
        shown = world.run("sessions", "show", session["id"], "--config", "countersign.toml")
        assert f"certificate {serial}" in " ".join(shown.split()), (serial, shown)
        keys.add((key, serial))
    assert len(keys) == 2, "each session has its own key"
    # The name of somebody else, and a terminal, which a certificate has to allow.
    assert world.ssh(True, "echo ready", who="robot", target="signed").stdout == b"ready\n"
    assert accepted(world, before)[-1][1].endswith(" identity=robot")
    done = world.ssh(True, stdin=b"tty; exit 6\n", args=["-tt"], target="signed")
    assert done.returncode == 6 and b"/dev/pts/" in done.stdout, done


@case
def adv_008_the_authoritys_key_is_sealed_and_only_it_lets_in(world):
    file = world.folder / "user-ca.pub"
    line = file.read_text()
    other = (world.folder / "other-host.pub").read_text()
    try:
        file.write_text(other)
        assert b"does not accept the gateway's account" in world.refused("true", target="signed").stderr
    finally:
        file.write_text(line)
    assert world.ssh(True, "echo ready", target="signed").stdout == b"ready\n"
    # The server has the last word on whom it lets in.
    assert b"does not accept the gateway's account" in world.refused("true", target="signed-nobody").stderr
    kept = b"".join(f.read_bytes() for f in (world.folder / "data").rglob("*") if f.is_file())
    assert b"ssh_user_authority" in kept and b"OPENSSH PRIVATE KEY" not in kept and b"b3BlbnNzaC1rZXktdjE" not in kept


@case
def adv_060_a_target_is_known_by_its_authority(world):
    assert world.ssh(True, "echo ready", target="signed-by-name").stdout == b"ready\n"
    for target, why in [("signed-other-name", "other names"), ("signed-other-authority", "another authority")]:
        before = len((world.folder / "gateway.log").read_text())
        done = world.refused("true", target=target)
        assert b"does not have the host key" in done.stderr, done
        until(f"{why} of {target}", lambda: why in (world.folder / "gateway.log").read_text()[before:])
    # One that is over vouches for nobody.
    certificate = world.folder / "host-cert.pub"
    good = certificate.read_text()
    world.certify("host", certificate, "-V", "-2h:-1h")
    world.restart_sshd()
    try:
        before = len((world.folder / "gateway.log").read_text())
        world.refused("true", target="signed")
        until("why", lambda: "is over" in (world.folder / "gateway.log").read_text()[before:])
        # By its key alone it is still known where that is pinned.
        assert world.ssh(True, "echo ready", target="web-1").stdout == b"ready\n"
    finally:
        certificate.write_text(good)
        world.restart_sshd()
    assert world.ssh(True, "echo ready", target="signed").stdout == b"ready\n"


@case
def certificates_are_configured_or_refused(world):
    text = (world.folder / "countersign.toml").read_text()
    for change, said in [
        (("certificate = true", 'certificate = true\nkey = { file = "account" }'), "neither password nor key"),
        (("@cert-authority web-signed", "@cert-authority *"), "patterns"),
        (("[vault]\nkey = { file = \"vault.key\" }", ""), "there is no [vault]"),
    ]:
        assert change[0] in text, change
        Path(world.folder / "bent.toml").write_text(text.replace(*change, 1))
        done = subprocess.run([world.binary, "config", "check", "--config", "bent.toml"], cwd=world.folder, capture_output=True, text=True)
        assert done.returncode != 0 and said in done.stdout + done.stderr, (change, done)
