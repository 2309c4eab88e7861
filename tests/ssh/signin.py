"""Logins that a person finishes in a browser, while the ssh client waits."""
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from world import PASSWORD, until

CASES = []


def case(function):
    CASES.append(function)
    return function


class Waiting:
    """An ssh that shows a link and waits."""

    def __init__(self, world, who, options=("-o", "KbdInteractiveDevices=browser"), command="echo ready"):
        self.stderr = world.folder / f"waiting-{time.monotonic_ns()}"
        port, destination = world.where(True, who)
        argv = ["ssh", "-o", "LogLevel=INFO", *world.options(True), "-o", "PreferredAuthentications=keyboard-interactive", *options, "-p", str(port),
                destination, command]
        # Where it asks something, it gets an empty line.
        environment = {**world.environment(), "SSH_TEST_TOKEN": ""}
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=open(self.stderr, "wb"), env=environment)

    def said(self):
        return self.stderr.read_text(errors="replace")

    def link(self):
        until(f"a link in {self.said()}", lambda: "Compare the code" in self.said() or self.process.poll() is not None)
        found = re.search(r"open (https://\S+/device\?user_code=([A-Z]{4}-[A-Z]{4}))", self.said())
        assert found, self.said()
        assert f"Compare the code there: {found[2]}" in self.said()
        return found[1]

    def ends(self, seconds=30):
        out, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, self.said()


class Browser:
    """A person's, elsewhere."""

    def __init__(self, world):
        self.world, self.cookie = world, ""

    def opens(self, url, **fields):
        # The gateway's door for this machine takes the same without TLS.
        url = f"http://127.0.0.1:{self.world.api}" + url[url.index("/device"):]
        data = urllib.parse.urlencode(fields).encode() if fields else None
        headers = {"content-type": "application/x-www-form-urlencoded", "cookie": self.cookie} if fields else {}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, data, headers))
        except urllib.error.HTTPError as refused:
            answer = refused
        self.cookie = (answer.headers.get("set-cookie") or self.cookie).split(";")[0]
        return answer.read().decode()

    def answers(self, link, answer, name="", password=""):
        field = lambda page, name: re.search(rf'name="{name}"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="{name}"', page)
        value = lambda page, name: next(g for g in field(page, name).groups() if g is not None)
        page = self.opens(link)
        code = link.split("=")[1]
        asks = self.opens("/device", form=value(page, "form"), user_code=code)
        done = self.opens("/device", form=value(asks, "form"), user_code=code, name=name, password=password, answer=answer)
        return asks, done


def sessions(world, who):
    listed = world.run("sessions", "list", "--config", "countersign.toml", "--identity", who, "--limit", "100", "--output", "json")
    return json.loads(listed)["sessions"]


@case
def a_person_signs_in_with_a_browser_while_ssh_waits(world):
    waiting = Waiting(world, "pia", command="echo ready; exit 3")
    link = waiting.link()
    # Longer than any other login may take.
    time.sleep(world.login_timeout_s + 1)
    assert waiting.process.poll() is None, waiting.said()
    asks, done = Browser(world).answers(link, "allow", "pia", PASSWORD)
    assert "open web-1 by SSH as pia" in asks and "127.0.0.1" in asks, asks
    assert "is signed in" in done, done
    code, out, said = waiting.ends()
    assert (code, out) == (3, b"ready\n"), (code, out, said)
    shown = world.run("sessions", "show", sessions(world, "pia")[0]["id"], "--config", "countersign.toml")
    assert "pia (human)" in shown and "echo ready" in shown, shown


@case
def an_empty_answer_to_the_question_asks_for_the_link(world):
    waiting = Waiting(world, "pia", options=())
    link = waiting.link()
    _, done = Browser(world).answers(link, "refuse")
    assert "was refused" in done, done
    code, out, said = waiting.ends()
    assert code == 255 and out == b"" and "refused in the browser" in said, (code, said)
    # A token still goes as it did.
    assert world.ssh(True, "echo ready", options=["-o", "PreferredAuthentications=keyboard-interactive"]).stdout == b"ready\n"


@case
def adv_084_nobody_but_the_connection_that_asked_profits(world):
    before = len(sessions(world, "pia")) + len(sessions(world, "rita"))
    # Somebody else signs in: neither of the two is let in.
    waiting = Waiting(world, "pia")
    Browser(world).answers(waiting.link(), "allow", "rita", PASSWORD)
    code, out, said = waiting.ends()
    assert code == 255 and out == b"" and "countersign: " in said, (code, out, said)
    # One of two connections is allowed: the other goes on waiting.
    first, second = Waiting(world, "pia"), Waiting(world, "pia")
    links = first.link(), second.link()
    assert links[0] != links[1]
    Browser(world).answers(links[0], "allow", "pia", PASSWORD)
    assert first.ends()[:2] == (0, b"ready\n")
    time.sleep(3)
    assert second.process.poll() is None, second.said()
    # It goes away, and is allowed then: nothing comes of it.
    second.process.kill()
    second.process.wait(10)
    time.sleep(4)
    Browser(world).answers(links[1], "allow", "pia", PASSWORD)
    time.sleep(3)
    assert len(sessions(world, "pia")) + len(sessions(world, "rita")) == before + 1


@case
def adv_084_a_wrong_password_in_the_browser_lets_nobody_in(world):
    waiting = Waiting(world, "pia")
    link = waiting.link()
    _, done = Browser(world).answers(link, "allow", "pia", "not it at all")
    assert "is signed in" not in done, done
    time.sleep(2)
    assert waiting.process.poll() is None, waiting.said()
    waiting.process.kill()
    waiting.process.wait(10)
