"""A gateway that is told to send traces, and a collector that takes them, is slow, or is not there."""

import argparse
import http.server
import pathlib
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "conformance")]

import harness
import wire
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SECRET = "8675309-not-for-collectors"


class Collector:
    """Takes what is sent to /v1/traces. `answer` is called for each request before it is answered."""

    def __init__(self, answer=lambda: 200):
        self.spans, self.requests, self.paths = [], 0, set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests += 1
                collector.paths.add((self.path, self.headers["content-type"]))
                self.send_response(answer())
                self.send_header("content-length", "0")
                self.end_headers()
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    service = attributes(resource.resource.attributes).get("service.name")
                    for scope in resource.scope_spans:
                        collector.spans += [(service, span) for span in scope.spans]

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def named(self, name):
        """The spans of this name with their attributes."""
        return [(s, attributes(s.attributes)) for _, s in self.spans if s.name == name]


def attributes(pairs):
    """Attributes as a dictionary."""
    return {p.key: getattr(p.value, p.value.WhichOneof("value")) for p in pairs}


def work(gateway):
    """A session with a statement that runs, one that fails, and one that is denied."""
    connection = wire.Connection(gateway.endpoint("ana"))
    connection.query("select name from customers where name = '" + SECRET + "' or id <= 3")
    connection.send(wire.query("select 1 / 0"))
    connection.until_ready()
    connection.send(wire.query("delete from customers"))
    connection.until_ready()
    connection.close()


def spans_tell_what_happened(box, server, binary):
    """Every statement is a span under its session's, and none holds a text or a value."""
    collector = Collector()
    gateway = harness.Gateway(box, server, binary, name="traced", telemetry=f'otlp_endpoint = "{collector.url}"')
    work(gateway)
    box.stop(gateway.process)
    assert collector.paths == {("/v1/traces", "application/x-protobuf")}, collector.paths
    sessions, actions = collector.named("session"), collector.named("action")
    assert {service for service, _ in collector.spans} == {"countersign"}
    assert len(sessions) == 1, f"{len(sessions)} sessions"
    session, facts = sessions[0]
    assert facts["identity"] == "ana" and facts["target"] == "shop", facts
    assert all(s.parent_span_id == session.span_id and s.trace_id == session.trace_id for s, _ in actions)
    assert all(session.start_time_unix_nano <= s.start_time_unix_nano <= s.end_time_unix_nano for s, _ in actions)
    done = [a for _, a in actions if a.get("status") == "done" and a["kind"] == "select"]
    failed = [(s, a) for s, a in actions if a.get("status") == "failed"]
    denied = [a for _, a in actions if "denied" in a]
    assert len(done) == 1 and done[0]["rows"] == 3 and done[0]["access"] == "read", done
    assert len(failed) == 1 and failed[0][1]["code"] == "22012", failed
    assert failed[0][0].status.code == 2, "a failed statement is not marked as an error"
    assert len(denied) == 1 and denied[0]["denied"] == "forbidden" and denied[0]["kind"] == "delete", denied
    assert SECRET not in str(collector.spans), "a value of a statement went to the collector"
    return f"{len(actions)} actions"


def a_collector_that_fails_or_hangs_holds_nobody_up(box, server, binary):
    """Sessions go on while nothing is taken, and the gateway still stops in time."""
    hold = threading.Event()
    for name, collector in (("refusing", Collector(lambda: 503)), ("hanging", Collector(lambda: hold.wait(60) and 200 or 500)), ("absent", None)):
        url = collector.url if collector else f"http://127.0.0.1:{harness.free_port()}"
        gateway = harness.Gateway(box, server, binary, name=name, telemetry=f'otlp_endpoint = "{url}"')
        for _ in range(3):
            work(gateway)
        began = time.monotonic()
        box.stop(gateway.process)
        assert time.monotonic() - began < harness.STOP_SECONDS_MAX, f"{name}: it did not stop"
    hold.set()


def an_address_that_is_none_is_refused(box, server, binary):
    """The start fails with the key's name."""
    try:
        harness.Gateway(box, server, binary, name="wrong", telemetry='otlp_endpoint = "collector:4318"')
    except harness.HarnessError as e:
        assert "otlp_endpoint" in str(e), e
        return
    raise AssertionError("it started")


def main():
    """Plays all."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--binary", help="the countersign binary (default: the newest in the target folder)")
    arguments = p.parse_args()
    results, box = harness.Results(), harness.Box("telemetry")
    server = harness.Postgres(box).create()
    server.load_fixture("shop")
    for test in (spans_tell_what_happened, a_collector_that_fails_or_hangs_holds_nobody_up, an_address_that_is_none_is_refused):
        try:
            results.add(test.__name__, None, test(box, server, arguments.binary) or "")
        except (AssertionError, harness.HarnessError) as e:
            results.add(test.__name__, e)
    status = results.finish()
    box.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
