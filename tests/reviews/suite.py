#!/usr/bin/env python3
"""Statements that wait for people, end to end: suite.py BINARY [NAME…]. The last line is "N passed, N failed"."""
import json
import pathlib
import signal
import ssl
import subprocess
import sys
import traceback
import urllib.error
import urllib.request

from world import HERE, Heard, Held, World, pause, psql, until

sys.path.insert(0, str(HERE.parent / "conformance"))

CASES = []


def case(function):
    CASES.append(function)
    return function


def answer(world, who, verb, held, *more):
    return world.people[who].run("reviews", verb, held.review, *more)


def note(world, n):
    return world.ask(f"select coalesce(note, '-') from orders where id = {n}")


@case
def two_people_approve_and_it_runs_once(world):
    before = note(world, 1)
    held = psql(world, "update orders set note = 'approved' where id = 1", "select 'after'")
    held.hears("NOTICE", held.review, "2 of reviewers", "countersign reviews approve " + held.review)
    world.people["rita"].run("reviews", "show", held.review).exits(0).says("dora", "update orders set note = 'approved'", "may answer").fits()
    world.people["rita"].run("reviews", "list").exits(0).says(held.review, "pending", "dora").fits()
    answer(world, "rita", "approve", held, "--comment", "looks right").exits(0).says("rita", "looks right", "pending")
    pause(1.5)
    assert held.waits() and note(world, 1) == before, "one of two is not enough"
    answer(world, "rita", "approve", held).exits(1).complains("one person counts once")
    answer(world, "rolf", "approve", held).exits(0).says("approved")
    held.ends(0, "UPDATE 1", "after")
    assert note(world, 1) == "approved"
    world.people["rita"].run("reviews", "show", held.review).exits(0).says("used", "approved by")
    shown = world.operate("sessions", "show", session(world, held)).exits(0)
    shown.says("HOLD", "order-changes-need-two", f"review {held.review}: waits for 2 of reviewers", "approved by", "released", "1 changed")


def session(world, held):
    said = world.people["rita"].run("reviews", "show", held.review, "--output", "json").exits(0).out
    return json.loads(said)["session"]


@case
def a_denied_statement_leaves_the_session_usable(world):
    held = psql(world, "update orders set note = 'denied' where id = 2", "select 'still here'")
    answer(world, "rolf", "approve", held).exits(0)
    answer(world, "rita", "deny", held, "--comment", "not on a Friday").exits(0).says("denied")
    held.ends(0, "ERROR", "42501", "was denied by rita", "not on a Friday", "still here")
    assert note(world, 2) != "denied"
    world.operate("sessions", "show", session(world, held)).exits(0).says("denied by rita: not on a Friday", "withheld")


@case
def a_batch_of_pgjdbc_waits_for_each_of_its_statements(world):
    import drivers

    command = drivers.java(pathlib.Path(HERE / "Client.java"), "java-reviews")
    held = Held(world, "dora", *command, "3")
    for who in ("rita", "rolf"):
        answer(world, who, "approve", held).exits(0)
    held.ends(0, "changed [1]", "usable")
    assert note(world, 3) == "by pgjdbc"
    # The second would wait while the first one's locks are held: refused, and the batch with it.
    held = Held(world, "dora", *command, "4", "5")
    for who in ("rita", "rolf"):
        answer(world, who, "approve", held).exits(0)
    held.ends(0, "refused 42501", "a transaction is open", "usable")
    assert note(world, 4) != "by pgjdbc", "the batch is one transaction"


@case
def nobody_answers_their_own_nor_who_is_not_asked(world):
    held = psql(world, "update orders set note = 'own' where id = 6", person="rolf")
    world.people["rolf"].run("reviews", "approve", held.review).exits(1).complains("403", "what they asked for themselves")
    world.people["lena"].run("reviews", "show", held.review).exits(4).complains("404")
    world.people["mona"].run("reviews", "approve", held.review).exits(4)
    world.people["rita"].run("reviews", "withdraw", held.review).exits(1).complains("only who asked")
    world.people["rita"].run("reviews", "approve", held.review, "--action", "0" * 64).exits(1).complains("409")
    world.people["rolf"].run("reviews", "withdraw", held.review).exits(0).says("withdrawn")
    held.ends(1, "was withdrawn")
    world.people["rita"].run("reviews", "approve", held.review).exits(1).complains("it was withdrawn")
    assert note(world, 6) != "own"


@case
def one_person_fills_one_place_whatever_groups_they_are_in(world):
    held = psql(world, "update products set name = name where id = 1")
    answer(world, "rolf", "approve", held).exits(0).says("pending")
    pause(1.5)
    assert held.waits(), "rolf is a reviewer and a lead, and one person"
    answer(world, "lena", "approve", held).exits(0).says("approved")
    held.ends(0, "UPDATE 1")


@case
def a_transaction_is_refused_unless_the_rule_allows_it(world):
    done = world.people["dora"].run("connect", "shop", "--", "psql", "-X", "-v", "VERBOSITY=verbose", "-c",
                                    "begin", "-c", "update orders set note = 'tx' where id = 7", "-c", "rollback")
    done.exits(0).complains("42501", "a transaction is open").says("ROLLBACK")
    held = psql(world, "begin", "update products set name = name where id = 1", "commit")
    for who in ("rita", "lena"):
        answer(world, who, "approve", held).exits(0)
    held.ends(0, "UPDATE 1", "COMMIT")


@case
def too_late_is_too_late(world):
    held = psql(world, "update staff set salary = salary where id = 1", "select 'after'")
    held.ends(0, "57014", "was not approved in time", "after")
    answer(world, "rita", "approve", held).exits(1).complains("its time has passed")


@case
def cancel_takes_it_back(world):
    held = psql(world, "update orders set note = 'cancel' where id = 8", "select 'after'")
    client = subprocess.run(["pgrep", "-P", str(held.process.pid), "psql"], capture_output=True, check=True).stdout
    subprocess.run(["kill", "-INT", client.decode().split()[0]], check=True)
    held.hears("57014")
    held.process.wait(60)
    world.people["rita"].run("reviews", "show", held.review).exits(0).says("withdrawn", "the client cancelled it")
    answer(world, "rita", "approve", held).exits(1)


@case
def a_client_that_goes_takes_it_back(world):
    held = psql(world, "update orders set note = 'gone' where id = 9")
    held.process.send_signal(signal.SIGKILL)
    held.process.wait(60)
    over = lambda: "withdrawn" in world.people["rita"].run("reviews", "show", held.review).exits(0).out or None
    until("it is withdrawn", over, 30)
    answer(world, "rita", "approve", held).exits(1)


@case
def a_logged_out_approver_does_not_count(world):
    held = psql(world, "update orders set note = 'logged out' where id = 10")
    ruth = world.operate("accounts", "add", "ruth", "--group=reviewers").exits(0) and world.person("ruth")
    ruth.run("reviews", "approve", held.review).exits(0)
    ruth.run("logout").exits(0)
    answer(world, "rita", "approve", held).exits(0)
    voided = lambda: "may not approve any more" in world.people["rita"].run("reviews", "show", held.review).exits(0).out or None
    until("ruth does not count", voided, 30)
    assert held.waits(), "one of two is left"
    answer(world, "rolf", "approve", held).exits(0)
    held.ends(0, "UPDATE 1")


@case
def a_lock_after_the_answer_takes_it_back(world):
    held = psql(world, "update orders set note = 'locked' where id = 12")
    world.operate("accounts", "add", "ruben", "--group=reviewers").exits(0)
    ruben = world.person("ruben")
    ruben.run("reviews", "approve", held.review).exits(0)
    lock = json.loads(world.operate("locks", "add", "--identity", "ruben", "--reason", "laptop stolen", "--output", "json").exits(0).out)
    lock = lock["locks"][0]["id"]
    until("the lock is known", lambda: ruben.run("reviews", "list").code != 0 or None, 30)
    answer(world, "rita", "approve", held).exits(0)
    voided = lambda: "may not approve any more" in world.people["rita"].run("reviews", "show", held.review).exits(0).out or None
    until("ruben does not count", voided, 30)
    assert held.waits(), "one of two is left"
    again = ["login", "--workload", "--gateway", world.url, "--ca", world.ca, "--token-env", "TOKEN"]
    fresh = lambda: {"TOKEN": world.operate("token", "ruben").exits(0).out.strip()}
    ruben.run(*again, env=fresh()).exits(1).complains("locked out by lock " + lock)
    answer(world, "rolf", "approve", held).exits(0)
    held.ends(0, "UPDATE 1")
    world.operate("locks", "remove", lock, "--reason", "found again").exits(0)
    # Another process took the lock away: the gateway hears of it with its next look into the store.
    until("the lock is gone", lambda: ruben.run(*again, env=fresh()).code == 0 or None, 30)


@case
def a_lock_on_who_asked_ends_the_wait(world):
    world.operate("accounts", "add", "dirk", "--group=dbas").exits(0)
    world.people["dirk"] = world.person("dirk")
    held = psql(world, "update orders set note = 'cut' where id = 13", person="dirk")
    answer(world, "rita", "approve", held).exits(0)
    world.operate("locks", "add", "--identity", "dirk", "--reason", "drill").exits(0)
    held.process.wait(60)
    assert "locked out by lock" in held.said, held.said
    over = lambda: "withdrawn" in world.people["rita"].run("reviews", "show", held.review).exits(0).out or None
    until("it is withdrawn", over, 30)
    answer(world, "rolf", "approve", held).exits(1)
    assert note(world, 13) != "cut"


ON_CALL = ["--rule", "on-call-works", "--actions", "connect,read,write,execute"]


def shop(world, who, *sql, code=0):
    words = [w for s in sql for w in ("-c", s)]
    return world.people[who].run("connect", "shop", "--", "psql", "-X", "-v", "VERBOSITY=verbose", "-A", "-t", *words).exits(code)


def granted(world, who, *options):
    said = world.people[who].run("request", "shop", *ON_CALL, "--reason", "ticket 4711", *options, "--output", "json").exits(0).out
    grant = json.loads(said)["id"]
    for reviewer in ("rita", "rolf"):
        world.people[reviewer].run("reviews", "approve", grant).exits(0)
    return grant


@case
def a_grant_lasts_from_its_first_use_to_its_end_and_not_longer(world):
    shop(world, "olga", "select 1", code=2).complains("countersign request shop --actions connect")
    world.people["olga"].run("request", "shop", *ON_CALL, "--for", "2h", "--reason", "x").exits(1).complains("at most 3600 s")
    world.people["mona"].run("request", "shop", *ON_CALL, "--reason", "x").exits(1).complains("no rule offers you connect")
    world.people["olga"].run("request", "nowhere", *ON_CALL, "--reason", "x").exits(4)
    grant = granted(world, "olga", "--for", "12s")
    world.people["olga"].run("grants", "list").exits(0).says(grant, "given", "shop").fits()
    world.people["rita"].run("reviews", "show", grant).exits(0).says("access to shop: connect, read, write, execute", "ticket 4711").fits()
    shop(world, "olga", "update orders set note = 'granted' where id = 14").says("UPDATE 1")
    assert note(world, 14) == "granted"
    world.people["olga"].run("grants", "show", grant).exits(0).says("active", "rita", "rolf").fits()
    cut = shop(world, "olga", "select 'before'", "select pg_sleep(600)", code=2)
    cut.says("before").complains("57P01", f"grant {grant} has come to its end")
    shop(world, "olga", "update orders set note = 'late' where id = 14", code=2)
    assert note(world, 14) == "granted"
    world.people["olga"].run("grants", "show", grant).exits(0).says("over")


@case
def a_grant_of_two_uses_is_used_twice(world):
    grant = granted(world, "olga", "--uses", "2")
    done = shop(world, "olga", *[f"update orders set note = 'use {n}' where id = 15" for n in (1, 2, 3)], code=1)
    done.complains("42501", "countersign request shop --actions write")
    assert done.out.count("UPDATE 1") == 2, done
    assert note(world, 15) == "use 2"
    world.people["olga"].run("grants", "show", grant).exits(0).says("used up", "2 of 2")
    world.people["olga"].run("grants", "revoke", grant, "--reason", "done").exits(0)


@case
def who_said_yes_is_found_and_it_ends_with_the_sessions_that_live_by_it(world):
    grant = granted(world, "omar")
    words = ["begin", "update orders set note = 'half' where id = 17", "select pg_sleep(600)"]
    asleep = world.people["omar"].start("connect", "shop", "--", "psql", "-X", *[w for s in words for w in ("-c", s)])
    until("it is used", lambda: "active" in world.people["omar"].run("grants", "show", grant).out or None, 30)
    world.people["olga"].run("grants", "show", grant).exits(4)
    world.people["olga"].run("grants", "revoke", grant, "--reason", "x").exits(4)
    world.people["rolf"].run("grants", "list", "--answered-by", "rita", "--since", "1h").exits(0).says(grant).fits()
    world.people["rolf"].run("reviews", "list", "--all", "--answered-by", "rita", "--since", "1h").exits(0).says(grant, "used").fits()
    world.people["mona"].run("grants", "revoke", "--answered-by", "rita", "--reason", "x").exits(0).says("there was none to end")
    world.people["mona"].run("grants", "revoke", "--answered-by", "rita", "--everybody", "--reason", "x").exits(1).complains("403")
    world.people["rolf"].run("grants", "revoke", "--answered-by", "rita", "--since", "1h", "--reason", "her laptop is gone").exits(0).says(grant)
    _, err = asleep.communicate(timeout=60)
    assert asleep.returncode == 2 and f"grant {grant} has come to its end" in err.decode(), err
    shop(world, "omar", "select 1", code=2)
    shown = json.loads(world.people["omar"].run("grants", "show", grant, "--output", "json").exits(0).out)
    assert (shown["state"], shown["ended_why"]) == ("ended", "her laptop is gone"), shown
    # Nothing of it runs at the target any more: its row is free, and as it was before.
    assert note(world, 17) != "half"
    other = granted(world, "olga", "--uses", "1")
    shop(world, "olga", "update orders set note = 'whole' where id = 17").says("UPDATE 1")
    world.people["olga"].run("grants", "revoke", other, "--reason", "done").exits(0)


@case
def of_several_sessions_at_once_one_has_the_last_use(world):
    grant = granted(world, "olga", "--uses", "1")
    one = lambda: world.people["olga"].start("connect", "shop", "--", "psql", "-X", "-c", "update orders set note = coalesce(note, '') || '!' where id = 18")
    before = note(world, 18).strip("-")
    all_of_them = [(p, *p.communicate(timeout=60)) for p in [one() for _ in range(5)]]
    did = [out for _, out, _ in all_of_them if b"UPDATE 1" in out]
    assert len(did) == 1, all_of_them
    assert note(world, 18) == before + "!"
    world.people["olga"].run("grants", "revoke", grant, "--reason", "done").exits(0)


@case
def nobody_gives_a_grant_to_themselves(world):
    world.operate("accounts", "add", "rosa", "--group=reviewers", "--group=oncall").exits(0)
    rosa = world.people["rosa"] = world.person("rosa")
    asked = rosa.run("request", "shop", *ON_CALL, "--reason", "mine", "--output", "json").exits(0).out
    grant = json.loads(asked)["id"]
    rosa.run("reviews", "approve", grant).exits(1).complains("nobody answers what they asked for")
    world.people["rita"].run("reviews", "approve", grant).exits(0)
    rosa.run("grants", "show", grant).exits(0).says("requested")
    shop(world, "rosa", "select 1", code=2)
    world.people["rolf"].run("reviews", "approve", grant).exits(0)
    shop(world, "rosa", "select 1")


@case
def a_lock_suspends_a_grant_and_a_restart_does_not_lose_it(world):
    world.operate("accounts", "add", "oleg", "--group=oncall").exits(0)
    oleg = world.people["oleg"] = world.person("oleg")
    grant = granted(world, "oleg", "--uses", "3")
    asleep = oleg.start("connect", "shop", "--", "psql", "-X", "-c", "select 'on'", "-c", "select pg_sleep(600)")
    until("it is used", lambda: "1 of 3" in oleg.run("grants", "show", grant).out or None, 30)
    lock = json.loads(world.operate("locks", "add", "--identity", "oleg", "--reason", "drill", "--output", "json").exits(0).out)
    _, err = asleep.communicate(timeout=60)
    assert asleep.returncode == 2 and b"locked out by lock" in err, err
    shop(world, "oleg", "select 1", code=2).complains("locked out by lock")
    oleg.run("request", "shop", "--actions", "connect,read,write", "--at-once", "--reason", "x").exits(1).complains("locked out by lock")
    oleg.run("grants", "list").exits(1)
    world.operate("locks", "remove", lock["locks"][0]["id"], "--reason", "over").exits(0)
    until("the lock is gone", lambda: oleg.run("grants", "list").code == 0 or None, 30)
    world.restart()
    done = shop(world, "oleg", *[f"update orders set note = 'use {n}' where id = 19" for n in (2, 3, 4)], code=1)
    done.says("UPDATE 1").complains("42501")
    assert note(world, 19) == "use 3", "what was used before is used"
    world.people["oleg"].run("grants", "show", grant).exits(0).says("3 of 3")


@case
def glass_is_broken_at_once_and_looked_at_afterwards(world):
    break_glass = ["request", "shop", "--actions", "connect,read,write", "--at-once", "--reason", "the site is down", "--output", "json"]
    world.people["mona"].run(*break_glass).exits(1).complains("no rule offers you")
    grant = json.loads(world.people["omar"].run(*break_glass).exits(0).out)["id"]
    shop(world, "omar", "update orders set note = 'glass' where id = 16").says("UPDATE 1")
    shop(world, "omar", "drop table orders", code=1).complains("42501")
    assert "severity=Critical" in (world.dir / "demo.log").read_text(), "people are told"
    world.people["omar"].run(*break_glass).exits(1).complains("409", "waits for its review")
    world.people["omar"].run("reviews", "withdraw", grant).exits(1)
    world.people["lena"].run("reviews", "list").exits(0).says(grant)
    world.people["lena"].run("reviews", "deny", grant, "--comment", "the site was fine").exits(0)
    until("it has ended", lambda: world.people["omar"].run("connect", "shop", "--", "psql", "-c", "select 1").code == 2 or None, 30)
    world.people["omar"].run("grants", "show", grant).exits(0).says("ended", "lena")
    again = json.loads(world.people["omar"].run(*break_glass).exits(0).out)["id"]
    world.people["lena"].run("reviews", "approve", again).exits(0)
    shop(world, "omar", "update orders set note = 'glass again' where id = 16").says("UPDATE 1")


@case
def an_api_key_is_made_used_and_revoked(world):
    dora, mona = world.people["dora"], world.people["mona"]
    create = ["api-keys", "create", "--name", "nightly", "--scope", "locks.list,recordings.list", "--expires", "2h"]
    mona.run(*create).exits(1).complains("no rule allows it")
    dora.run(*create[:-1], "91d").exits(1).complains("7776000")
    dora.run("api-keys", "create", "--name", "x", "--scope", "locks.lst", "--expires", "2h").exits(1).complains("locks.list, ")
    made = dora.run(*create).exits(0).complains("it is not shown again")
    key = made.out.strip()
    assert key.startswith("csk_") and "\n" not in key and key not in made.err, made
    id = key[4:30]
    trusted = ssl.create_default_context(cafile=world.ca)

    def status(path):
        request = urllib.request.Request(world.url + path, headers={"Authorization": f"Bearer {key}"})
        try:
            return urllib.request.urlopen(request, context=trusted, timeout=30).status
        except urllib.error.HTTPError as no:
            return no.code

    assert (status("/v1/locks"), status("/v1/recordings"), status("/v1/sessions")) == (200, 200, 403)
    listed = dora.run("api-keys", "list").exits(0).says(id, "nightly", "dora", "ENDS").out
    assert all(len(line) <= 80 for line in listed.splitlines()), listed
    mona.run("api-keys", "list", "--all").exits(0).says("there are no API keys that you may see")
    mona.run("api-keys", "revoke", id, "--reason", "x").exits(4)
    dora.run("api-keys", "revoke", id, "--reason", "done").exits(0).says("revoked", "done")
    assert status("/v1/locks") == 401
    dora.run("api-keys", "list").exits(0).says("there are no API keys in force")
    dora.run("api-keys", "list", "--all").exits(0).says(id, "revoked ", "nightly")
    shown = json.loads(dora.run("api-keys", "list", "--all", "--output", "json").exits(0).out)["keys"]
    assert [k["id"] for k in shown] == [id] and key not in json.dumps(shown), shown


@case
def a_watched_list_tells_what_changes(world):
    watching = {noun: Heard(world.people["rita"].start(noun, "list", "--watch")) for noun in ("reviews", "grants")}
    stranger = Heard(world.people["mona"].start("grants", "list", "--watch"))
    try:
        for one in (*watching.values(), stranger):
            until("the first list", lambda one=one: one.said or None, 30)
        said = world.people["olga"].run("request", "shop", *ON_CALL, "--reason", "watched", "--output", "json").exits(0).out
        grant = json.loads(said)["id"]
        for one in watching.values():
            one.hears(grant)
        world.people["olga"].run("grants", "revoke", grant, "--reason", "done").exits(0)
        assert grant not in stranger.said, stranger.said
    finally:
        for one in (*watching.values(), stranger):
            one.process.terminate()
            one.process.wait(30)


@case
def a_restart_loses_no_request_and_the_retry_runs_once(world):
    statement = "update orders set note = coalesce(note, '') || '+' where id = 11"
    before = note(world, 11).strip("-")
    held = psql(world, statement)
    answer(world, "rita", "approve", held).exits(0)
    world.restart()
    held.process.wait(60)
    assert "shutting down while review " + held.review in held.said, held.said
    answer(world, "rolf", "approve", held).exits(0).says("approved")
    done = world.people["dora"].run("connect", "shop", "--", "psql", "-X", "-c", statement)
    done.exits(0).says("UPDATE 1").complains("takes up review " + held.review)
    assert note(world, 11) == before + "+"
    again = psql(world, statement)
    assert again.review != held.review, "it was good once"
    answer(world, "rita", "deny", again).exits(0)
    again.ends(1, "denied by rita")
    assert note(world, 11) == before + "+"


def main():
    binary, only = sys.argv[1], sys.argv[2:]
    world, failed, passed = World(binary), 0, 0
    try:
        world.start()
        for function in CASES:
            if only and function.__name__ not in only:
                continue
            try:
                function(world)
                passed += 1
                print(f"ok    {function.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {function.__name__}\n{traceback.format_exc()}", flush=True)
        if failed:
            print((world.dir / "demo.log").read_text()[-6000:])
    finally:
        world.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
