"""Sessions: how they begin, what they ignore, and how they end."""

import contextlib
import os
import pathlib
import socket
import ssl
import time

import grpc
import wire
from grpc import StatusCode as Code
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import GateTest, admin, mas


class Sessions(GateTest):
    def instances(self, name):
        operator = self.agent("operator").admin
        agents = operator.ListAgents(admin.ListAgentsRequest(), timeout=wire.DEADLINE).agents
        return next(set(one.instances) for one in agents if one.agent_id == name)

    def test_the_welcome_names_agent_and_instance(self):
        session = self.open("alice", "one")
        self.assertEqual(session.welcome, mas.Welcome(agent_id="alice", instance_id="one"))

    def test_later_hellos_heartbeats_and_empty_events_are_ignored(self):
        session, sender = self.open("alice", "two"), self.open("bob")
        session.put(hello=mas.Hello(instance_id="three"))
        session.put(hello=mas.Hello(instance_id="not an id"))
        session.put(heartbeat=mas.Heartbeat())
        session.put()
        sender.send("alice", {"still": "here"})
        self.assertEqual(session.take().data, {"still": "here"})
        self.assertEqual(self.instances("alice"), {"two"})

    def test_an_agent_may_have_several_instances(self):
        sessions = [self.open("carol") for _ in range(5)]
        self.assertEqual(self.instances("carol"), {one.instance for one in sessions})

    def test_a_client_that_ends_its_side_ends_the_session(self):
        # It could acknowledge nothing any more.
        session, sender = self.open("dave", "again"), self.open("bob")
        message = sender.send("dave", {"not": "acknowledged"})
        session.next()
        session.half_close()
        with self.refused(Code.FAILED_PRECONDITION, "session_not_connected"):
            session.send("bob")
        self.assertEqual(self.instances("dave"), set())
        # The id is free again, and what was held comes again.
        second = self.open("dave", "again")
        self.assertEqual(second.take().message_id, message)

    def test_acknowledgements_before_the_end_of_a_session_count(self):
        sender, receiver = self.open("bob"), self.open("dave")
        sent = [sender.send("dave", {"number": number}) for number in range(20)]
        for _ in sent:
            receiver.take()
        receiver.half_close()
        for message in sent:
            sender.agent.wait_state(message, "ACKNOWLEDGED")

    def test_quick_clients_leave_no_session_behind(self):
        agent = self.agent("erin")
        for number in range(60):
            hello = mas.ClientEvent(hello=mas.Hello(instance_id=f"quick-{number}"))
            call = agent.mas.Transport(iter([hello]))
            if number % 3:
                with contextlib.suppress(grpc.RpcError):
                    next(iter(call))
            call.cancel()
        wire.eventually(lambda: not self.instances("erin"), "all sessions ended")

    def test_a_connection_that_breaks_ends_its_session(self):
        session = self.open("erin", "broken")
        session.agent.close()
        wire.eventually(lambda: not self.instances("erin"), "the session ended")

    def test_pings_of_a_client_do_not_cost_its_connection(self):
        options = [
            ("grpc.keepalive_time_ms", 50),
            ("grpc.keepalive_timeout_ms", 5000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        session = self.agent("alice", options).open()
        self.addCleanup(session.close)
        sender = self.open("bob")
        # Far more pings than those after which a server may call it too many.
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            sender.send("alice", {"ping": "pong"})
            self.assertEqual(session.take().data, {"ping": "pong"})
            time.sleep(0.1)
        self.assertIn(session.instance, self.instances("alice"))


class Strangers(GateTest):
    def test_a_peer_without_a_certificate_gets_no_answer(self):
        roots = pathlib.Path("ca.pem").read_bytes()
        credentials = grpc.ssl_channel_credentials(roots)
        channel = grpc.secure_channel(os.environ["GATE_ADDR"], credentials)
        self.addCleanup(channel.close)
        check = health_pb2_grpc.HealthStub(channel).Check
        with self.assertRaises(grpc.RpcError) as caught:
            check(health_pb2.HealthCheckRequest(), timeout=wire.DEADLINE)
        self.assertEqual(caught.exception.code(), Code.UNAVAILABLE)

    def test_noise_does_not_disturb_the_gate(self):
        host, port = os.environ["GATE_ADDR"].split(":")
        for noise in [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(10_000)]:
            with socket.create_connection((host, int(port)), timeout=wire.DEADLINE) as raw:
                raw.sendall(noise)
        context = ssl.create_default_context(cafile="ca.pem")
        context.load_cert_chain("alice.pem", "alice.key")
        for noise in [b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 9000]:
            with socket.create_connection((host, int(port)), timeout=wire.DEADLINE) as raw:
                with context.wrap_socket(raw, server_hostname=host) as tls:
                    tls.sendall(noise)
                    with contextlib.suppress(OSError):
                        while tls.recv(4096):
                            pass
        session = self.open("alice")
        self.assertEqual(session.welcome.agent_id, "alice")


class Health(GateTest):
    def test_every_service_says_that_it_serves(self):
        health = health_pb2_grpc.HealthStub(self.agent("alice").channel)
        for service in [
            "",
            "mas.runtime.v1.RuntimeService",
            "palisade.bus.v1.BusService",
            "palisade.admin.v1.AdminService",
        ]:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health.Check(request, timeout=wire.DEADLINE)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, service)
        with self.assertRaises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="no.such"), timeout=wire.DEADLINE)
        self.assertEqual(caught.exception.code(), Code.NOT_FOUND)

    def test_an_unknown_method_is_unimplemented(self):
        channel = self.agent("alice").channel
        for path in ["/mas.runtime.v1.RuntimeService/Nothing", "/a.b/C", "/"]:
            call = channel.unary_unary(path, bytes, bytes)
            with self.assertRaises(grpc.RpcError) as caught:
                call(b"", timeout=wire.DEADLINE)
            self.assertEqual(caught.exception.code(), Code.UNIMPLEMENTED)


if __name__ == "__main__":
    wire.main()
