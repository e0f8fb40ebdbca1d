"""Every refusal of the MAS service: status and text, as deployed clients match on them."""

import json
import time

import grpc
import wire
from grpc import StatusCode as Code
from wire import GateTest, mas


class Transport(GateTest):
    def refused_stream(self, events, text, status=Code.INVALID_ARGUMENT, name="alice"):
        with self.refused(status, text):
            self.first_of(self.agent(name).transport(events))

    def test_a_stream_without_an_event_misses_its_hello(self):
        self.refused_stream([], "missing_hello")

    def test_a_stream_begins_with_its_hello(self):
        for event in [
            mas.ClientEvent(heartbeat=mas.Heartbeat()),
            mas.ClientEvent(ack=mas.Ack(delivery_id="0" * 32)),
            mas.ClientEvent(),
        ]:
            self.refused_stream([event], "expected_hello")

    def test_an_instance_id_has_1_to_32_letters_digits_hyphens_and_underscores(self):
        for instance in ["", "a b", "a" * 33, "a\n", "\n", "é", "a:b", "a/b", "a\0"]:
            hello = mas.ClientEvent(hello=mas.Hello(instance_id=instance))
            self.refused_stream([hello], "invalid_instance_id")
        for instance in ["a", "A-b_9", "a" * 32]:
            session = self.agent("alice").open(instance)
            self.assertEqual(session.welcome.instance_id, instance)
            session.half_close()

    def test_an_instance_connects_once_and_the_older_session_stays(self):
        first = self.open("alice", "twin")
        with self.refused(Code.FAILED_PRECONDITION, "instance_already_connected"):
            self.agent("alice").open("twin")
        sender = self.open("bob")
        sender.send("alice", {"to": "the first"})
        self.assertEqual(first.take().data, {"to": "the first"})

    def test_an_agent_off_the_allowlist_gets_nothing_at_all(self):
        # Also before its instance id is looked at.
        for instance in ["fine", "not fine"]:
            hello = mas.ClientEvent(hello=mas.Hello(instance_id=instance))
            self.refused_stream([hello], "agent_not_allowlisted", Code.UNAUTHENTICATED, "stranger")
        stranger = self.agent("stranger")
        for call, request in [
            (stranger.mas.Discover, mas.DiscoverRequest()),
            (stranger.mas.GetState, mas.GetStateRequest()),
            (stranger.mas.UpdateState, mas.UpdateStateRequest(updates={"a": "b"})),
            (stranger.mas.ResetState, mas.ResetStateRequest()),
            (stranger.mas.Send, mas.SendRequest(target_id="bob", instance_id="i")),
            (stranger.bus.MessageStatus, wire.bus.MessageStatusRequest(message_id="0" * 32)),
            (stranger.admin.ListAgents, wire.admin.ListAgentsRequest()),
        ]:
            with self.refused(Code.UNAUTHENTICATED, "agent_not_allowlisted"):
                call(request, timeout=wire.DEADLINE)


class Senders(GateTest):
    """Send, Request and Reply check the same things in the same order."""

    def calls(self, agent, instance, data_json="{}", target="bob", correlation="0" * 32):
        send = mas.SendRequest(target_id=target, data_json=data_json, instance_id=instance)
        ask = mas.RequestRequest(target_id=target, data_json=data_json, instance_id=instance)
        reply = mas.ReplyRequest(
            correlation_id=correlation, data_json=data_json, instance_id=instance
        )
        return [(agent.mas.Send, send), (agent.mas.Request, ask), (agent.mas.Reply, reply)]

    def each_refused(self, calls, status, text):
        for call, request in calls:
            with self.refused(status, text):
                call(request, timeout=wire.DEADLINE)

    def test_the_instance_is_checked_first_and_then_its_session(self):
        agent = self.agent("alice")
        for instance in ["", "a b", "a" * 33, "a\n"]:
            calls = self.calls(agent, instance, data_json="{")
            self.each_refused(calls, Code.INVALID_ARGUMENT, "invalid_instance_id")
        calls = self.calls(agent, "nobody", data_json="{", correlation="")
        self.each_refused(calls, Code.FAILED_PRECONDITION, "session_not_connected")
        # A session of another agent does not help.
        session = self.open("bob", "bobs-own")
        calls = self.calls(agent, session.instance)
        self.each_refused(calls, Code.FAILED_PRECONDITION, "session_not_connected")

    def test_a_session_counts_for_every_connection_of_its_agent(self):
        session, receiver = self.open("alice"), self.open("bob")
        other = self.agent("alice")
        other.mas.Send(session.letter("bob", {"over": "another"}), timeout=wire.DEADLINE)
        self.assertEqual(receiver.take().data, {"over": "another"})

    def test_a_payload_must_be_one_json_object(self):
        session = self.open("alice")
        for text, reason in [
            ("{", "invalid_json"),
            ("nope", "invalid_json"),
            ("{} {}", "invalid_json"),
            ("\ufeff{}", "invalid_json"),
            ("{'a': 1}", "invalid_json"),
            ('{"a": 01}', "invalid_json"),
            ('{"a": "\t"}', "invalid_json"),
            ('{"a": NaN}', "invalid_json"),
            ('{"a": Infinity}', "invalid_json"),
            ('{"a": 1e400}', "invalid_json"),
            ("[]", "payload_must_be_object"),
            ("null", "payload_must_be_object"),
            ("1", "payload_must_be_object"),
            ('"text"', "payload_must_be_object"),
            ('{"a": 1, "a": 2}', "duplicate_key"),
            ('{"a": {"b": 1, "\\u0062": 2}}', "duplicate_key"),
            ('{"a": "\\ud800"}', "lone_surrogate"),
            ('{"\\udc00": 1}', "lone_surrogate"),
            ('{"a": ' + "9" * 4301 + "}", "number_too_long"),
            ('{"a": ' + "[" * 100 + "]" * 100 + "}", "payload_too_deep"),
            ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "payload_too_deep"),
            ('{"a":' * 100_000 + "1" + "}" * 100_000, "payload_too_deep"),
            ('{"a": ' + "[" * 100_000, "payload_too_deep"),
            ('{"a": [' + "1," * 70_000 + "1]}", "too_many_members"),
        ]:
            calls = self.calls(session.agent, session.instance, data_json=text)
            with self.subTest(text=text[:40]):
                # The payload is checked before a correlation is looked for.
                self.each_refused(calls, Code.INVALID_ARGUMENT, reason)

    def test_the_metadata_of_a_refusal_says_what_was_wrong_and_where(self):
        session = self.open("alice")
        with self.refused(Code.INVALID_ARGUMENT, "duplicate_key") as caught:
            session.send("bob", text='{"a": 1, "a": "secret-value"}')
        said = wire.metadata(caught.exception)
        self.assertEqual(said["palisade-code"], "duplicate_key")
        self.assertEqual(said["palisade-decision"], "INVALID")
        self.assertIn("byte 9", said["palisade-reason"])
        self.assertNotIn("secret-value", str(said))

    def test_an_empty_payload_is_the_empty_object(self):
        session, receiver = self.open("alice"), self.open("bob")
        session.send("bob", text="")
        self.assertEqual(receiver.take().data, {})
        session.send("bob", text=" \n {} \t ")
        self.assertEqual(receiver.take().data, {})

    def test_denied_blocked_and_unknown_targets_get_one_answer(self):
        session = self.open("alice")
        for target in ["eve", "mallory", "nobody", "", "bob:one", "bob\n", "b" * 65, "*"]:
            for call, request in self.calls(session.agent, session.instance, target=target)[:2]:
                with self.subTest(target=target):
                    with self.refused(Code.PERMISSION_DENIED, "not_authorized"):
                        call(request, timeout=wire.DEADLINE)

    def test_a_message_of_more_than_4_mib_is_resource_exhausted(self):
        session = self.open("alice")
        text = json.dumps({"a": "x" * (5 * wire.MIB)})
        for call, request in self.calls(session.agent, session.instance, data_json=text):
            with self.assertRaises(grpc.RpcError) as caught:
                call(request, timeout=wire.DEADLINE)
            self.assertEqual(caught.exception.code(), Code.RESOURCE_EXHAUSTED)
        # The same connection and session go on.
        receiver = self.open("bob")
        session.send("bob", {"after": "the large one"})
        self.assertEqual(receiver.take().data, {"after": "the large one"})

    def test_compression_is_not_accepted(self):
        # What is small on the wire could be large in memory.
        session = self.open("alice")
        letter = session.letter("bob", {"zeros": "0" * 100_000})
        for algorithm in [grpc.Compression.Gzip, grpc.Compression.Deflate]:
            with self.subTest(algorithm=algorithm), self.assertRaises(grpc.RpcError) as caught:
                session.agent.mas.Send(letter, timeout=wire.DEADLINE, compression=algorithm)
            self.assertEqual(caught.exception.code(), Code.UNIMPLEMENTED)

    def test_a_message_type_has_a_bound(self):
        session = self.open("alice")
        with self.refused(Code.INVALID_ARGUMENT, "message_type_too_long"):
            session.send("bob", kind="x" * 257)


class Policy(GateTest):
    def test_sensitive_content_is_blocked(self):
        session = self.open("alice")
        for data in [
            {"password": "correct horse"},
            {"text": "\nAKIAIOSFODNN7EXAMPLE"},
            {"key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"},
        ]:
            with self.subTest(data=data):
                with self.refused(Code.PERMISSION_DENIED, "dlp_blocked"):
                    session.send("bob", data)

    def test_over_a_limit_the_wait_is_told(self):
        session, receiver = self.open("slow"), self.open("bob")
        for number in range(3):
            session.send("bob", {"number": number})
            receiver.take()
        for call in [session.send, session.ask]:
            with self.refused(Code.RESOURCE_EXHAUSTED, "rate_limited") as caught:
                call("bob", {"number": 4})
            wait = int(wire.metadata(caught.exception)["retry-after-ms"])
            self.assertTrue(50_000 < wait <= 60_001, wait)

    def test_what_a_later_stage_refuses_counts_and_what_an_earlier_one_refuses_does_not(self):
        session, receiver = self.open("frugal"), self.open("bob")
        other = self.open("frugal")
        denied = (Code.PERMISSION_DENIED, "not_authorized")
        for _ in range(5):
            with self.refused(*denied):
                session.send("eve")
            with self.refused(Code.INVALID_ARGUMENT, "invalid_json"):
                session.send("bob", text="{")
        # Limits are those of the agent, over its instances, its sends, requests and replies.
        session.send("bob")
        receiver.take()
        with self.refused(Code.PERMISSION_DENIED, "dlp_blocked"):
            other.send("bob", {"password": "correct horse"})
        other.ask("bob")
        receiver.take()
        correlation = receiver.ask("frugal").correlation_id
        request = wire.eventually(
            lambda: next((one for one in (session, other) if not one.is_quiet()), None),
            "one of them has the request",
        )
        request.take()
        session.reply(correlation)
        receiver.take()
        # Four are counted; what is refused now is not, so that the fifth never comes.
        for _ in range(3):
            with self.refused(Code.RESOURCE_EXHAUSTED, "rate_limited"):
                session.send("bob")

    def test_no_text_holds_up_the_gate(self):
        session, receiver = self.open("alice"), self.open("bob")
        for piece in ["eyJ-", "a.", "a@", "4-", "password:", "(", "1 "]:
            text = json.dumps({"t": piece * (1_000_000 // len(piece))})
            started = time.monotonic()
            try:
                session.send("bob", text=text)
                receiver.take()
            except grpc.RpcError as error:
                self.assertEqual(error.details(), "dlp_blocked", piece)
            # A pattern that looks back takes hours.
            self.assertLess(time.monotonic() - started, 10, piece)

    def test_a_target_that_keeps_refusing_is_left_alone(self):
        session, broken = self.open("carol"), self.open("broken")
        for _ in range(3):
            message = session.send("broken")
            broken.next().nack("cannot")
            session.agent.wait_state(message, "DEAD_LETTERED")
        with self.refused(Code.FAILED_PRECONDITION, "circuit_open") as caught:
            session.send("broken")
        self.assertGreater(int(wire.metadata(caught.exception)["retry-after-ms"]), 0)
        # One sender cannot cut a target off for the others.
        other = self.open("dave")
        other.send("broken", {"from": "dave"})
        self.assertEqual(broken.take().data, {"from": "dave"})


class Replies(GateTest):
    def test_a_reply_names_its_request(self):
        session = self.open("bob")
        with self.refused(Code.INVALID_ARGUMENT, "missing_correlation_id"):
            session.reply("")
        for correlation in ["0" * 32, "x", "f" * 33, "a\nb"]:
            with self.refused(Code.INVALID_ARGUMENT, "unknown_correlation_id"):
                session.reply(correlation)

    def test_only_the_asked_agent_may_reply_and_the_request_stays_open(self):
        asker, asked, third = self.open("alice"), self.open("bob"), self.open("carol")
        correlation = asker.ask("bob").correlation_id
        asked.take()
        with self.refused(Code.PERMISSION_DENIED, "reply_sender_mismatch"):
            third.reply(correlation)
        with self.refused(Code.PERMISSION_DENIED, "reply_sender_mismatch"):
            asker.reply(correlation)
        asked.reply(correlation, {"answer": 1})
        self.assertEqual(asker.take().data, {"answer": 1})
        # It is used up now.
        with self.refused(Code.INVALID_ARGUMENT, "unknown_correlation_id"):
            asked.reply(correlation)

    def test_a_late_reply_is_told_so(self):
        asker, asked = self.open("alice"), self.open("bob")
        correlation = asker.ask("bob", timeout_ms=200).correlation_id
        asked.take()
        third = self.open("carol")

        def is_late():
            try:
                third.reply(correlation)
            except grpc.RpcError as error:
                # Who may reply is checked before the time.
                self.assertEqual(error.details(), "reply_sender_mismatch")
            try:
                # Refused for another reason as long as there is time, so that it stays open.
                asked.agent.mas.Reply(
                    mas.ReplyRequest(
                        correlation_id=correlation,
                        data_json='{"password": "correct horse"}',
                        instance_id=asked.instance,
                    ),
                    timeout=wire.DEADLINE,
                )
            except grpc.RpcError as error:
                return error.details() != "dlp_blocked" and error

        error = wire.eventually(is_late, "the request is over")
        answer = (Code.FAILED_PRECONDITION, "correlation_id_expired")
        self.assertEqual((error.code(), error.details()), answer)


if __name__ == "__main__":
    wire.main()
