"""The provider's keys: rotated and revoked while sessions run, out of reach for a while, back again. Nothing fails open."""

import contextlib
import signal
import time

import harness
from people import open_session
from scene import KEYS_AGE_S, KEYS_REFRESH_S, SECONDS_MAX, SHORT_LOGIN_S, TARGET, b64

# A fetch that failed a few times is tried again after this long, in seconds.
AGAIN_SECONDS_MAX = 90


def cases(scene):
    """In order: each begins with the keys that the one before left."""
    return [(f.__name__, lambda f=f: f(scene)) for f in (
        the_provider_hangs, adv_090_keys_are_rotated_and_revoked_while_sessions_run, a_removed_person_is_out_when_the_login_ends, the_provider_is_down_and_comes_back)]


@contextlib.contextmanager
def stopped(process):
    """The provider hangs for a while: it takes connections and answers none."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def within(scene, token, seconds, what):
    """Waits until the token is accepted."""
    said = []

    def accepted():
        said[:] = [scene.accepted(token)]
        return said[0] is True
    try:
        harness.wait_for(what, accepted, seconds, pause=0.5)
    except harness.HarnessError as e:
        raise AssertionError(f"{e}: {said[0]}") from e


def the_provider_hangs(scene):
    """Whoever is known, or comes with a key that is known, does not wait for it; a key that is not known is refused after a while."""
    session = open_session(scene, "ana")
    try:
        tokens = [scene.provider.token() for _ in range(3)]
        within(scene, tokens[0], SECONDS_MAX, "a token")
        known = time.monotonic()
        forged = ".".join([b64(b'{"alg":"ES256","typ":"at+jwt","kid":"ES256-9"}'), *tokens[1].split(".")[1:]])
        with stopped(scene.provider.process):
            # Past the refresh, which hangs, and well before the limit.
            time.sleep(KEYS_REFRESH_S + 2)
            answer = scene.accepted(tokens[1])
            if time.monotonic() - known < KEYS_AGE_S - KEYS_REFRESH_S:
                assert answer is True, f"a cached key waits for the provider: {answer}"
            scene.refused(forged)
            assert session.ask("select 1") == "1"
            assert scene.whoami("ana")["name"] == "ana"
        within(scene, tokens[2], AGAIN_SECONDS_MAX, "the provider answers again")
    finally:
        session.close()


def adv_090_keys_are_rotated_and_revoked_while_sessions_run(scene):
    """A new key is published and signs: sessions that are there do not notice. The old one is taken away while its tokens are still good:
    what came of them ends, and what came of the new one does not."""
    old = [scene.provider.token() for _ in range(3)]
    by_old, by_new = open_session(scene, "ana"), None
    try:
        assert by_old.ask("select 1") == "1"
        assert scene.accepted(old[0]) is True
        scene.provider.stop()
        scene.provider.start("2,1")
        new = scene.provider.token()
        # A kid that is not known leads to a fetch, but not more often than the gateway's limit says.
        within(scene, new, SECONDS_MAX, "a token by the new key")
        assert scene.accepted(old[1]) is True, "the old key is still published"
        assert by_old.ask("select 2") == "2"
        scene.log_in("di", "--no-browser")
        by_new = open_session(scene, "di")
        assert by_new.ask("select 1") == "1"
        scene.provider.stop()
        scene.provider.start("2")
        said = by_old.ends(after=KEYS_REFRESH_S)
        assert "FATAL" in said and "revoked" in said, said
        assert by_new.ask("select 2") == "2"
        for token in old:
            scene.refused(token)
        assert scene.accepted(new) is True
        done = scene.cli("ana", "whoami", check=False)
        assert done.returncode != 0 and "has ended" in done.stderr, done.stderr
        scene.log_in("ana", "--no-browser")
        assert scene.whoami("ana")["name"] == "ana"
    finally:
        by_old.close()
        if by_new:
            by_new.close()


def a_removed_person_is_out_when_the_login_ends(scene):
    """The gateway hears nothing of a removal at the provider, so that the login's life is the limit, in mid-session, too."""
    said = scene.eve.ends(SHORT_LOGIN_S)
    assert "FATAL" in said, said
    done = scene.cli("eve", "exec", TARGET, "-c", "select 1", check=False)
    # Said by the command once the certificate has ended, by the gateway until then.
    assert done.returncode != 0 and "log in again" in done.stderr.lower(), done.stderr


def the_provider_is_down_and_comes_back(scene):
    """Cached keys live on for as long as the configuration says and not longer; logins are the gateway's own and go on."""
    session = open_session(scene, "ana")
    try:
        assert session.ask("select 1") == "1"
        tokens = [scene.provider.token() for _ in range(3)]
        within(scene, tokens[0], SECONDS_MAX, "a token")
        known = time.monotonic()
        scene.provider.stop()
        # Past the refresh, which fails, and well before the limit.
        time.sleep(KEYS_REFRESH_S + 2)
        answer = scene.accepted(tokens[1])
        # The keys may be as old as a refresh when they are used for the last time before the provider stops.
        if time.monotonic() - known < KEYS_AGE_S - KEYS_REFRESH_S:
            assert answer is True, f"cached keys do not live on: {answer}"
        time.sleep(max(0.0, known + KEYS_AGE_S + 2 - time.monotonic()))
        for token in tokens:
            problems = scene.refused(token)
            assert "reach" in problems or "unavailable" in problems or "issuer" in problems, problems
        assert session.ask("select 2") == "2", "a login lives on"
        scene.short.kill()
        scene.short.start()
        assert "reached" in scene.refused(tokens[2], gateway=scene.short), "a gateway starts without the provider, and lets nobody in"
        assert scene.whoami("ana")["name"] == "ana"
        scene.provider.start("2")
        within(scene, tokens[2], AGAIN_SECONDS_MAX, "the provider is back")
    finally:
        session.close()
