#!/usr/bin/env python3
"""What is told outside, end to end: suite.py --binary FILE [NAME…]. The last line is "N passed, N failed"."""
import argparse
import email
import email.policy
import json
import sys
import traceback

import world as w
from world import Fleet, down, harness, held, until, wire

CASES = []


def case(function):
    CASES.append(function)
    return function


def answered(fleet, session, review, *verbs):
    for who, verb in zip(("rita", "rolf"), verbs):
        status, said = fleet.one.call(who, "POST", f"/v1/reviews/{review}/{verb}")
        assert status == 200, said
    return session.until_ready()


def arrives(fleet, name, about, kind=None, n=1, seconds=20):
    until(f"{name} hears of {kind or 'it'} {n} times", lambda: len(fleet.hooks.of(name, kind, about)) >= n, seconds)
    return fleet.hooks.of(name, kind, about)


@case
def a_held_statement_is_told_everywhere_and_updated_in_place(fleet):
    session, review = held(fleet, fleet.two, "update orders set note = 'a secret <!channel>' where id = 3")
    hook = arrives(fleet, "hook", review, "review.asked")[0]["body"]
    data = hook["data"]
    assert (hook["schema"], data["identity"], data["target"], data["reviewers"]) == (1, "dora", "shop", "2 of reviewers"), hook
    assert data["link"].endswith(f"/console/inbox/{review}") and data["text"] is None, data
    slack = arrives(fleet, "slack", review)[0]
    assert slack["path"] == "/slack/chat.postMessage" and slack["body"]["channel"] == "C0DBA"
    assert "update orders set note = ? where id = ?" in slack["text"], slack["text"]
    buttons = [e for b in slack["body"]["blocks"] if b["type"] == "actions" for e in b["elements"]]
    assert len(buttons) == 1 and buttons[0]["url"] == data["link"], "a link, no more: nobody decides in Slack"
    card = arrives(fleet, "teams", review)[0]["body"]["attachments"][0]["content"]
    assert card["actions"][0]["url"] == data["link"]
    mails = until("the mail comes", lambda: [m for m in fleet.mailbox.mails if review.encode() in m[0].content], 20)
    envelope, encrypted, authenticated = mails[0]
    assert encrypted and authenticated and envelope.rcpt_tos == ["dba@example.org", "ops@example.org"]
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["Subject"] == "A statement waits for you: dora on shop" and "Approve" not in mail["Subject"]
    answered(fleet, session, review, "approve", "approve")
    update = arrives(fleet, "slack", review, n=2)[1]
    assert update["path"] == "/slack/chat.update" and update["body"]["ts"] == slack["ts"], update
    assert "Approved" in update["text"] and "rita, rolf" in update["text"], update["text"]
    ended = arrives(fleet, "hook", review, "review.answered")[0]["body"]["data"]
    assert ended["ended"] == {"status": "approved", "by": ["rita", "rolf"]} and ended["thread"] == data["thread"]
    everything = json.dumps([s["text"] for s in fleet.hooks.sent]) + str([m[0].content for m in fleet.mailbox.mails])
    assert "a secret" not in everything and "channel>" not in everything, "no constant is told"
    session.close()


@case
def two_gateways_tell_each_thing_once(fleet):
    session, review = held(fleet, fleet.one, "update orders set note = 'once' where id = 4")
    arrives(fleet, "hook", review, "review.asked")
    answered(fleet, session, review, "deny")
    arrives(fleet, "hook", review, "review.answered")
    until("all is sent", lambda: not fleet.notices("?status=waiting")["notices"], 30)
    ids = [s["headers"]["webhook-id"] for s in fleet.hooks.of("hook")]
    assert len(ids) == len(set(ids)), "both watch, one sends"
    assert len(fleet.hooks.of("hook", None, review)) == 2 and len(fleet.hooks.of("teams", None, review)) == 1
    session.close()


@case
def a_receiver_that_is_down_hears_of_it_when_it_is_up_and_nobody_else_waits(fleet):
    with down(fleet.hooks, "hook"):
        session, review = held(fleet, fleet.one, "update orders set note = 'down' where id = 5")
        arrives(fleet, "slack", review)
        trouble = lambda: [r for r in fleet.notices()["receivers"] if r["name"] == "hook" and r["failing_since"]]
        failing = until("it shows", trouble, 30)[0]
        assert failing["error"] == "127.0.0.1 answered 503", failing
        assert not fleet.hooks.of("hook", None, review)
    arrives(fleet, "hook", review, "review.asked", seconds=60)
    until("it is well again", lambda: not trouble(), 30)
    answered(fleet, session, review, "deny")
    session.close()


@case
def kill_9_in_between_loses_nothing(fleet):
    with down(fleet.hooks, "hook"), down(fleet.hooks, "slack"):
        session, review = held(fleet, fleet.two, "update orders set note = 'killed' where id = 6")
        of_it = lambda: [n for n in fleet.notices("?status=waiting")["notices"] if n["receiver"] == "hook" and n["tries"] > 0]
        until("it was tried", of_it, 30)
        fleet.one.kill()
        fleet.two.kill()
        fleet.one.start()
        fleet.two.start()
    arrives(fleet, "hook", review, "review.asked", seconds=90)
    arrives(fleet, "slack", review, seconds=90)
    assert len({s["headers"]["webhook-id"] for s in fleet.hooks.of("hook", "review.asked", review)}) == 1


@case
def five_hundred_alerts_are_few_messages(fleet):
    before = len(fleet.hooks.of("hook", "alert"))
    session = fleet.one.connect()
    for _ in range(500):
        session.query("select count(*) from customers")
    session.close()
    arrives(fleet, "hook", "staff-is-watched", "alert", n=before + 1)
    counted = lambda: [n for n in fleet.notices("?receiver=hook&limit=1000")["notices"] if n["kind"] == "alert" and n["more"] >= 450]
    # They are told of in windows of ten minutes: most are in one of them.
    until("the others are counted", lambda: sum(n["more"] for n in fleet.notices("?receiver=hook&limit=1000")["notices"] if n["kind"] == "alert") >= 498, 30)
    said = fleet.hooks.of("hook", "alert")[before:]
    assert 1 <= len(said) <= 4, [s["text"] for s in said]
    assert said[0]["body"]["data"]["severity"] == "high" and "staff-is-watched" in said[0]["body"]["data"]["rules"], said[0]
    assert said[0]["body"]["data"]["link"].split("/console/sessions/")[1]
    assert len(counted()) <= 2


@case
def locks_and_broken_glass_are_told(fleet):
    status, lock = fleet.two.call("lars", "POST", "/v1/locks", {"matcher": {"name": "mallory"}, "reason": "stolen laptop <!here>"})
    assert status == 201, lock
    added = arrives(fleet, "hook", "stolen laptop", "lock.added")[0]["body"]["data"]
    assert "lars" in added["identity"] and "mallory" in added["what"], added
    assert fleet.one.call("lars", "DELETE", f"/v1/locks/{lock['id']}?reason=found")[0] == 200
    arrives(fleet, "hook", "found", "lock.ended")
    ask = {"target": "shop", "actions": ["connect", "read"], "reason": "the site is down <!channel>](http://evil.example)", "at_once": True}
    status, grant = fleet.one.call("olga", "POST", "/v1/grants", ask)
    assert status == 201, grant
    glass = arrives(fleet, "hook", grant["id"], "grant.break-glass")[0]["body"]["data"]
    assert glass["severity"] == "critical" and glass["text"] is None, glass
    chat = arrives(fleet, "slack", grant["id"])[0]["text"]
    assert "the site is down &lt;!channel&gt;](http[:]//evil.example)" in chat and "<!" not in chat, chat
    said = [s for s in fleet.hooks.of("hook") if "mallory" in s["text"] or grant["id"] in s["text"]]
    assert sorted(s["body"]["type"] for s in said) == ["grant.break-glass", "lock.added", "lock.ended"], "each once, none as an alert besides"


@case
def names_write_no_headers_and_no_markup(fleet):
    evil = "eve<!channel>"
    harness.ACCOUNTS[evil] = {"groups": ["dbas"], "kind": "human"}
    try:
        fleet.one.add_account(evil)
    except harness.HarnessError:
        # Such a name cannot be had at all.
        evil = None
    status, lock = fleet.one.call("lars", "POST", "/v1/locks", {"matcher": {"name": "x\r\nBcc: spy@example.org"}, "reason": "a\r\nSubject: b"})
    if status == 201:
        arrives(fleet, "hook", "Subject: b", "lock.added")
        fleet.one.call("lars", "DELETE", f"/v1/locks/{lock['id']}?reason=over")
    for envelope, *_ in fleet.mailbox.mails:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert mail["Bcc"] is None and len(mail.get_all("Subject")) == 1
    for sent in fleet.hooks.of("slack"):
        assert "<" not in sent["text"], sent["text"]


@case
def a_test_is_sent_and_what_became_of_it_is_told_to_who_may(fleet):
    test = lambda who, name: fleet.two.call(who, "POST", "/v1/notices/test", {"receiver": name})
    status, said = test("lars", "hook")
    assert (status, said["status"]) == (200, "sent"), said
    assert len(fleet.hooks.of("hook", "test", said["id"])) == 1
    assert test("lars", "nobody")[0] == 404 and test("dora", "hook")[0] in (200, 403) and test("rita", "hook")[0] == 403
    with down(fleet.hooks, "teams"):
        status, said = test("lars", "teams")
        assert (status, said["status"], said["error"]) == (200, "waiting", "127.0.0.1 answered 503"), said
    status, again = fleet.one.call("lars", "POST", f"/v1/notices/{said['id']}/retry")
    assert status == 200, again
    until("it is sent", lambda: [n for n in fleet.notices("?receiver=teams&status=sent")["notices"] if n["id"] == said["id"]], 90)
    assert fleet.one.call("lars", "POST", f"/v1/notices/{said['id']}/retry")[0] == 409
    assert fleet.one.call("rita", "GET", "/v1/notices")[0] == 403


@case
def a_receiver_hears_what_it_chose(fleet):
    kinds = {name: {n["kind"] for n in fleet.notices(f"?receiver={name}&limit=1000")["notices"]} for name in ("slack", "teams", "mail", "elsewhere")}
    assert kinds["elsewhere"] == set(), "nothing is about its targets"
    assert kinds["teams"] <= {"review.asked", "test"} and kinds["mail"] <= {"review.asked", "alert"}, kinds
    assert "alert" not in kinds["slack"] and "lock.added" not in kinds["slack"], kinds


@case
def adv_no_secret_of_a_receiver_is_in_any_log_or_answer(fleet):
    seen = fleet.logs() + json.dumps(fleet.notices("?limit=1000")) + fleet.server.sql("select string_agg(n::text, '') from notices n", dbname="store")
    for name, secret in {"webhook": w.WEBHOOK_SECRET, "old": w.OLD_SECRET, "slack": w.SLACK_TOKEN, "mail": w.MAIL_PASSWORD, "path": w.PATH_SECRET}.items():
        assert secret not in seen and secret.split("_")[-1] not in seen, f"the secret of {name} is to be seen"
    assert "secret words of the receiver" not in seen, "what a receiver answers is not shown"
    assert "a secret" not in seen or "a secret <!channel>" not in json.dumps(fleet.notices("?limit=1000"))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary")
    p.add_argument("names", nargs="*")
    arguments = p.parse_args()
    fleet, passed, failed = Fleet(arguments.binary), 0, 0
    try:
        for function in CASES:
            if arguments.names and function.__name__ not in arguments.names:
                continue
            try:
                function(fleet)
                passed += 1
                print(f"ok    {function.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {function.__name__}\n{traceback.format_exc()[-2500:]}", flush=True)
    finally:
        if failed:
            print(fleet.logs()[-3000:])
        fleet.box.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
