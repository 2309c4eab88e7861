"""The scene of the adversarial tests: a server that logs every statement, a gateway, and the checks that all attacks share."""

import json
import re
import time

import harness
import wire
from attacks import FILE, MARKED, TRAPS

# What the gateway asks on its own behalf, on the client's session at the target: it names its statements like this.
HOUSEKEEPING = "_countersign"
DENIED = "42501"
POLICY = harness.POLICY + """
@id("staff-by-the-handful") @limit("rows=20")
permit (principal in Group::"analysts", action == Action::"read", resource)
when { context.relations.contains("public.staff") };

@id("nobody-takes-a-role")
forbid (principal, action, resource)
when { context.settings.containsAny(["role", "session_authorization", "row_security", "session_replication_role"]) };
"""


class Scene:
    """Everything the tests stand on."""

    def __init__(self, box, binary, control):
        self.box, self.control = box, control
        self.server = harness.Postgres(box, "pg", settings={"max_connections": 2300, "max_prepared_transactions": 5, "wal_level": "logical", "max_wal_senders": 5}).create()
        self.server.load_fixture("shop", superuser=True)
        self.files = box.folder("files", harness.Postgres.USER)
        self.server.sql(TRAPS + "select lo_from_bytea(4710, 'kept'); alter large object 4710 owner to shop_app; truncate audit_log;", "shop")
        self.server.sql(f"grant {harness.ROLE} to postgres")
        self.server.sql(f"do $$ declare r record; begin for r in select oid::regclass as n from pg_class where relnamespace = 'evil'::regnamespace and relkind in ('r') loop execute 'alter table ' || r.n || ' owner to {harness.ROLE}'; end loop; end $$", "shop")
        self.marks, self.counter, self.binary, self.more_recorded = [], 0, binary, []
        self.gateway = None if control else harness.Gateway(box, self.server, binary, dbname="shop", policy=POLICY)
        self.log_start = self.server.settled_log()[1]

    # -- connections ------------------------------------------------------------------------------------------------

    def connect(self, account="ana", **more):
        """A session through the gateway."""
        return wire.Connection(self.gateway.endpoint(account), **more)

    def memory(self):
        """Private bytes of the gateway."""
        return harness.private_bytes(self.gateway.process.pid)

    def mark(self):
        """A word that no other statement holds."""
        self.counter += 1
        return f"mark{self.counter:05d}x"

    def admin(self, text, dbname="shop"):
        """Asks the server itself."""
        return self.server.sql(text, dbname).strip()

    # -- what every denial must look like ---------------------------------------------------------------------------

    def logged(self, word, since):
        """True when a word reached the server's log from the gateway's role."""
        entries, _ = self.server.settled_log(since)
        return [e for e in entries if e.get("user") == harness.ROLE and word in json.dumps(e)]

    def offset(self):
        """Where the log ends now."""
        return self.server.log_entries(self.log_start)[1]

    def refused(self, messages, states=(DENIED,), allow_before=False):
        """Checks that the answer is one refusal and nothing else happened."""
        errors = [wire.fields(p) for t, p in messages if t == b"E"]
        assert errors, f"no error came back: {[t for t, _ in messages]}"
        assert len(errors) == 1, f"several errors: {errors}"
        assert errors[0].get("C") in states, f"refused with {errors[0].get('C')} ({errors[0].get('M')}), not {states}"
        if not allow_before:
            done = [t for t, _ in messages if t in (b"C", b"D", b"T")]
            assert not done, f"something of it ran: {done}"
        return errors[0]

    def in_sync(self, connection, status=b"I"):
        """Checks that the session is usable and each answer belongs to its question."""
        assert connection.status == status, f"the session is in state {connection.status!r}, not {status!r}"
        if status == b"I":
            for i in range(3):
                value = connection.value(f"select {self.counter + i}")
                assert value == str(self.counter + i), f"out of sync: asked for {self.counter + i}, got {value}"

    def ask(self, connection, text, form):
        """Sends a statement as a simple or an extended query, and gives the answer."""
        connection.send(wire.query(text) if form == "simple" else wire.extended(text))
        return connection.until_ready()

    # -- attacks ----------------------------------------------------------------------------------------------------

    def attack(self, attack, form):
        """Plays one attack, through the gateway or (as a control) straight at the server."""
        mark = self.mark()
        steps = [self._filled(s) for s in attack.steps]
        effect = self._filled(attack.effect)
        marked = [*steps[:-1], f"{steps[-1]} /* {mark} */" if not re.search(r"/\*$", steps[-1]) else steps[-1]]
        if effect == MARKED:
            self.admin("truncate audit_log")
        if form == "control":
            return self._control(marked, effect, attack.account)
        since = self.offset()
        connection = self.connect(attack.account)
        try:
            refusals = []
            for step in marked:
                messages = self.ask(connection, step, form if step is marked[-1] else "simple")
                errors = [wire.fields(p) for t, p in messages if t == b"E"]
                if attack.any_step and errors:
                    refusals += errors
                    assert errors[0]["C"] in attack.states, f"refused with {errors[0]}"
                elif step is marked[-1] and not attack.any_step:
                    refusals.append(self.refused(messages, attack.states))
                else:
                    assert not errors, f"a harmless step was refused: {step!r}: {errors}"
            assert refusals, "no step was refused"
            if connection.status != b"I":
                connection.query("rollback")
            self.in_sync(connection)
        finally:
            connection.close()
        if effect:
            assert self.admin(effect) != "t", "the attack had its effect"
        if not attack.any_step:
            found = self.logged(mark, since) if mark in marked[-1] else []
            assert not found, f"it reached the server: {found[0].get('message')}"
            if mark in marked[-1]:
                self.marks.append((mark, attack.account, marked[-1]))
        return None

    def _filled(self, text):
        return (text.replace(FILE, str(self.files / "attack")).replace("@FOLDER@", str(self.files)).replace("@DATABASE@", "shop")
                .replace("@SOCKET@", str(self.server.folder)).replace("@PORT@", str(self.server.port)))

    def _control(self, steps, effect, _account):
        if not effect:
            raise harness.Skipped("has no effect to look for")
        database = f"control_{self.counter}"
        self.admin(f"create database {database} template shop", "postgres")
        connection = wire.Connection(self.server.endpoint(database))
        before = self.admin(effect.replace("shop", database), database)
        for step in steps:
            connection.send(wire.query(step.replace("dbname=shop", f"dbname={database}").replace("shop.public", f"{database}.public")))
            connection.until_ready()
        connection.close()
        after = self.admin(effect, database)
        self._clean_up(database)
        for path in self.files.iterdir():
            path.unlink()
        assert before != "t" and after == "t", f"at the server itself the effect was {before!r} before and {after!r} after: the test proves nothing"

    def _clean_up(self, database):
        """Takes back what a control changed beyond its own database."""
        for name in self.admin("select gid from pg_prepared_xacts", database).split():
            self.admin(f"rollback prepared '{name}'", database)
        for name in self.admin("select subname from pg_subscription", database).split():
            self.admin(f"alter subscription {name} set (slot_name = none);\ndrop subscription {name}", database)
        self.admin(f"drop database {database} with (force);\ndrop database if exists stolen;\ndrop role if exists thief;\n"
                   f"alter system reset all;\nalter role {harness.ROLE} reset all;\n"
                   "select pg_drop_replication_slot(slot_name) from pg_replication_slots;", "postgres")

    # -- after everything -------------------------------------------------------------------------------------------

    def closing_checks(self):
        """Compares the record with what was tried and with what the server itself saw."""
        try:
            recorded = self.gateway.statements()
        except harness.HarnessError as e:
            return [("adv_004_record", "the export", lambda: fail(e))]
        return [
            ("adv_004_denied_is_recorded_as_denied", f"{len(self.marks)} denied statements", lambda: self.denied_in_record(recorded)),
            ("adv_004_shown_as_denied", "sessions list and show", self.shown_as_denied),
            ("adv_001_everything_that_ran_is_recorded", "server log against the record", lambda: self.log_in_record(recorded)),
            ("adv_008_no_secret_anywhere", "log, recordings, store, exports", self.no_secrets),
        ]

    def denied_in_record(self, recorded):
        """Each denied statement is there once for each try, as denied, under the right name."""
        assert self.marks, "nothing was denied"
        for mark, account, text in self.marks:
            found = [r for r in recorded if mark in r["text"]]
            assert found, f"not in the record: {text[:200]!r}"
            wrong = [r for r in found if r["decision"] != "deny"]
            assert not wrong, f"recorded as {wrong[0]['decision']}: {text[:200]!r}"
            who = {r["identity"] for r in found} - {None}
            assert who <= {account}, f"recorded under {who}, tried by {account}"
        return f"{len(self.marks)} of {len(self.marks)}"

    def shown_as_denied(self):
        """What people see says the same."""
        mark, account, _ = self.marks[0]
        session = next(r["session"] for r in self.gateway.statements() if mark in r["text"])
        shown = self.gateway.command("sessions", "show", session, "--full")
        assert mark in shown and "denied" in shown.lower(), f"sessions show does not say denied: {shown[:800]}"
        timeline = json.loads(self.gateway.command("sessions", "show", session, "--output", "json"))["timeline"]
        decisions = [found for item in timeline for found in decisions_of(item, mark)]
        assert decisions and set(decisions) == {"deny"}, f"sessions show --output json says {decisions}"
        listed = self.gateway.command("sessions", "list", "--denied", "--identity", account, "--limit", "10000")
        assert session[:10] in listed, f"sessions list --denied does not list {session}"

    def log_in_record(self, recorded):
        """Every statement in the server's log from the gateway's role is in the record as allowed."""
        entries, _ = self.server.settled_log(self.log_start)
        allowed = {r["text"].strip("\0") for r in recorded + self.more_recorded if r["decision"] == "allow"}
        seen = missing = 0
        first = None
        for e in entries:
            text = statement_in(e)
            if text is None or e.get("user") != harness.ROLE or HOUSEKEEPING in e.get("message", "")[:200]:
                continue
            seen += 1
            if text not in allowed:
                missing += 1
                first = first or text
        assert seen > 100, f"only {seen} statements in the server log: the comparison says nothing"
        assert not missing, f"{missing} of {seen} statements reached the server without a record, the first: {first[:300]!r}"
        return f"{seen} statements"

    def no_secrets(self):
        """Neither the target's password nor a token nor a login password is in anything that the gateway wrote."""
        words = [harness.ROLE_PASSWORD, "a password of the tests", *self.gateway.tokens.values()]
        looked = 0
        for path in [self.gateway.log, *self.gateway.data.rglob("*")]:
            if path.is_file():
                looked += 1
                data = path.read_bytes()
                for word in words:
                    assert word.encode() not in data, f"{path} holds a secret ({word[:6]}...)"
        return f"{looked} files"

    def idle_since(self, word, seconds=10, what=""):
        """Waits until no backend runs a statement with the word."""
        ask = f"select count(*) from pg_stat_activity where state = 'active' and query like '%{word}%' and pid <> pg_backend_pid()"
        deadline = time.monotonic() + seconds
        while self.admin(ask) != "0":
            assert time.monotonic() < deadline, f"after {seconds} s the statement still runs at the server {what}"
            time.sleep(0.05)


def statement_in(entry):
    """The statement of a log entry; None when it is about something else."""
    message = entry.get("message", "")
    found = re.match(r"(?:statement|execute (?:fetch from )?[^:]*|fastpath function call): (.*)", message, re.S)
    return found.group(1) if found else None


def decisions_of(item, word):
    """The decisions in a part of the timeline that is about a statement with the word."""
    if isinstance(item, dict):
        if "decision" in item and word in json.dumps(item):
            return [item["decision"]]
        return [found for value in item.values() for found in decisions_of(value, word)]
    if isinstance(item, list):
        return [found for value in item for found in decisions_of(value, word)]
    return []


def fail(problem):
    """Raises as a failed check."""
    raise AssertionError(str(problem))
