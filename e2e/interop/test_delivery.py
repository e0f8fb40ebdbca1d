"""From the queue to the receiver: envelopes, acknowledgements, retries, dead letters, bounds."""

import json
import re
import threading

import grpc
import wire
from grpc import StatusCode as Code
from wire import GateTest, admin, mas

META = [
    "version",
    "correlation_id",
    "expects_reply",
    "is_reply",
    "sender_instance_id",
    "reply_to_instance_id",
    "traceparent",
    "tracestate",
    "hops",
]
ENVELOPE = ["sender_id", "target_id", "message_type", "data", "meta", "timestamp", "message_id"]


class Envelopes(GateTest):
    def test_an_envelope_has_the_fields_of_mas_in_their_order(self):
        sender, receiver = self.open("a1"), self.open("b1")
        message = sender.send("b1", {"n": 1}, kind="greet")
        got = receiver.take()
        self.assertEqual(list(got.envelope), ENVELOPE)
        self.assertEqual(list(got.meta), META)
        self.assertEqual(got.envelope["sender_id"], "a1")
        self.assertEqual(got.envelope["target_id"], "b1")
        self.assertEqual(got.envelope["message_type"], "greet")
        self.assertEqual(got.message_id, message)
        self.assertIsInstance(got.envelope["timestamp"], float)
        expected = dict.fromkeys(META) | {
            "version": 1,
            "expects_reply": False,
            "is_reply": False,
            "sender_instance_id": sender.instance,
            "hops": 0,
        }
        self.assertEqual(got.meta, expected)

    def test_requests_and_replies_are_marked(self):
        asker, asked = self.open("a1"), self.open("b1")
        response = asker.ask("b1", {"q": 1})
        got = asked.take()
        self.assertEqual(got.meta["correlation_id"], response.correlation_id)
        self.assertEqual((got.meta["expects_reply"], got.meta["is_reply"]), (True, False))
        self.assertRegex(response.correlation_id, "^[0-9a-f]{32}$")
        asked.reply(response.correlation_id, {"a": 1})
        got = asker.take()
        self.assertEqual(got.meta["correlation_id"], response.correlation_id)
        self.assertEqual((got.meta["expects_reply"], got.meta["is_reply"]), (False, True))
        self.assertEqual(got.meta["reply_to_instance_id"], asker.instance)

    def test_a_payload_travels_as_it_was_written(self):
        sender, receiver = self.open("a1"), self.open("b1")
        payload = '{"a": 1.0, "b":-0.0,"c":1e-07, "big": 123456789012345678901234567890, "é":"\\u00e9\\n\\u0000😀"}'
        sender.send("b1", text=payload, kind='say "hi"\n')
        got = receiver.take()
        self.assertIn(payload, got.text)
        self.assertEqual(got.envelope["message_type"], 'say "hi"\n')

    def test_trace_context_crosses(self):
        sender, receiver = self.open("a1"), self.open("b1")
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        trace = (("traceparent", parent), ("tracestate", "a=b"))
        sender.agent.mas.Send(sender.letter("b1"), metadata=trace, timeout=wire.DEADLINE)
        meta = receiver.take().meta
        self.assertEqual((meta["traceparent"], meta["tracestate"]), (parent, "a=b"))

    def test_ids_cannot_be_guessed(self):
        sender, receiver = self.open("a1"), self.open("b1")
        ids = []
        for _ in range(20):
            ids.append(sender.send("b1"))
            ids.append(receiver.take().id)
        self.assertEqual(len(set(ids)), 40)
        for one in ids:
            self.assertRegex(one, "^[0-9a-f]{32}$")
        # Every digit is drawn, but for the one that says which kind of UUID it is.
        drawn = sum(len({one[at] for one in ids}) > 1 for at in range(32))
        self.assertGreaterEqual(drawn, 31)

    def test_messages_of_one_sender_arrive_in_order(self):
        sender = self.open("a2")
        sent = [sender.send("b2", {"number": number}) for number in range(100)]
        receiver = self.open("b2")
        self.assertEqual([receiver.take().message_id for _ in sent], sent)

    def test_what_a_receiver_can_take_is_delivered_and_nothing_larger(self):
        # gRPC takes 4 MiB by default, and the envelope is inside a message.
        sender, receiver = self.open("a3"), self.open("b3")
        low, high = 4 * wire.MIB - 4096, 4 * wire.MIB
        refused = ""
        while high - low > 1:
            middle = (low + high) // 2
            text = '{"a":"' + "x" * (middle - 8) + '"}'
            try:
                sender.send("b3", text=text)
                self.assertEqual(len(receiver.take().data["a"]), middle - 8)
                low = middle
            except grpc.RpcError as error:
                self.assertEqual(error.code(), Code.RESOURCE_EXHAUSTED)
                refused = error.details()
                high = middle
        self.assertEqual(refused, "envelope_too_large")
        # The session is still the same one.
        sender.send("b3", {"after": "the border"})
        self.assertEqual(receiver.take().data, {"after": "the border"})


class Acknowledgements(GateTest):
    def test_a_sender_can_ask_what_became_of_a_message(self):
        sender = self.open("a4")
        message = sender.send("b4")
        self.assertEqual(sender.agent.state_of(message), "QUEUED")
        receiver = self.open("b4")
        delivery = receiver.next()
        self.assertEqual(sender.agent.state_of(message), "DELIVERED")
        self.assertEqual(sender.agent.status(message).attempts, 1)
        delivery.ack()
        sender.agent.wait_state(message, "ACKNOWLEDGED")
        # Nobody else learns of it, the receiver included, and neither of what never was.
        self.assertEqual(receiver.agent.state_of(message), "UNSPECIFIED")
        for unknown in ["0" * 32, "", "x", "ü" * 100]:
            self.assertEqual(sender.agent.state_of(unknown), "UNSPECIFIED")

    def test_what_was_not_acknowledged_comes_again_after_a_disconnect(self):
        sender, first = self.open("a5"), self.open("b5")
        message = sender.send("b5", {"again": True})
        before = first.next()
        first.cancel()
        second = self.open("b5")
        after = second.take()
        self.assertEqual(after.message_id, message)
        self.assertEqual(after.text, before.text)
        self.assertNotEqual(after.id, before.id)
        sender.agent.wait_state(message, "ACKNOWLEDGED")
        self.assertEqual(sender.agent.status(message).attempts, 2)

    def test_a_message_refused_for_now_comes_again_and_then_dies(self):
        sender, receiver = self.open("a6"), self.open("b6")
        message = sender.send("b6", {"try": "me"})
        seen = set()
        # delivery.max_attempts of the configuration.
        for _ in range(3):
            delivery = receiver.next()
            self.assertEqual(delivery.message_id, message)
            seen.add(delivery.id)
            delivery.nack("busy", retryable=True)
        self.assertEqual(len(seen), 3)
        sender.agent.wait_state(message, "DEAD_LETTERED")
        status = sender.agent.status(message)
        self.assertEqual((status.attempts, status.reason), (3, "attempts_exhausted"))

    def test_another_message_passes_one_that_waits_for_its_retry(self):
        sender, receiver = self.open("a6"), self.open("b6")
        first = sender.send("b6", {"number": 1})
        receiver.next().nack("later", retryable=True)
        second = sender.send("b6", {"number": 2})
        self.assertEqual(receiver.take().message_id, second)
        self.assertEqual(receiver.take().message_id, first)

    def test_a_dead_letter_keeps_its_payload_and_can_be_replayed(self):
        sender, receiver = self.open("a7"), self.open("b7")
        operator = self.agent("operator").admin
        message = sender.send("b7", {"keep": "me"})
        delivery = receiver.next()
        delivery.nack("handler_error:ValueError")
        sender.agent.wait_state(message, "DEAD_LETTERED")
        listed = operator.ListDeadLetters(admin.ListDeadLettersRequest(target_id="b7")).letters
        self.assertEqual([one.message_id for one in listed], [message])
        letter = listed[0]
        self.assertEqual((letter.sender_id, letter.target_id), ("a7", "b7"))
        why = "refused: handler_error:ValueError"
        self.assertEqual((letter.reason, letter.attempts), (why, 1))
        # The receiver's own words are for operators.
        self.assertEqual(sender.agent.status(message).reason, "refused")
        shown = operator.ShowDeadLetter(admin.ShowDeadLetterRequest(message_id=message))
        self.assertEqual(shown.envelope_json, delivery.text)
        operator.ReplayDeadLetter(admin.ReplayDeadLetterRequest(message_id=message))
        again = receiver.take()
        self.assertEqual((again.message_id, again.data), (message, {"keep": "me"}))
        sender.agent.wait_state(message, "ACKNOWLEDGED")
        for call, request in [
            (operator.ShowDeadLetter, admin.ShowDeadLetterRequest(message_id=message)),
            (operator.ReplayDeadLetter, admin.ReplayDeadLetterRequest(message_id=message)),
            (operator.DropDeadLetter, admin.DropDeadLetterRequest(message_id="x")),
        ]:
            with self.refused(Code.NOT_FOUND, "not_found"):
                call(request, timeout=wire.DEADLINE)

    def test_a_dropped_dead_letter_is_gone(self):
        sender, receiver = self.open("a7"), self.open("b7")
        operator = self.agent("operator").admin
        message = sender.send("b7", {"drop": "me"})
        receiver.next().nack()
        sender.agent.wait_state(message, "DEAD_LETTERED")
        operator.DropDeadLetter(admin.DropDeadLetterRequest(message_id=message))
        listed = operator.ListDeadLetters(admin.ListDeadLettersRequest(target_id="b7")).letters
        self.assertNotIn(message, [one.message_id for one in listed])

    def test_answers_to_unknown_deliveries_are_ignored(self):
        sender, receiver = self.open("a8"), self.open("b8")
        for strange in ["0" * 32, "", "x", "é" * 500]:
            receiver.put(ack=mas.Ack(delivery_id=strange))
            receiver.put(nack=mas.Nack(delivery_id=strange, reason="?"))
        message = sender.send("b8")
        delivery = receiver.next()
        # Of another session: it holds nothing of this one.
        other = self.open("b8")
        other.put(nack=mas.Nack(delivery_id=delivery.id, reason="not mine"))
        delivery.ack()
        delivery.ack()
        delivery.nack("too late")
        sender.agent.wait_state(message, "ACKNOWLEDGED")

    def test_a_session_holds_no_more_than_the_limit(self):
        sender, receiver = self.open("a9"), self.open("b9")
        # delivery.max_in_flight of the configuration.
        sent = [sender.send("b9", {"number": number}) for number in range(12)]
        held = [receiver.next() for _ in range(8)]
        self.assertEqual(sender.agent.state_of(sent[8]), "QUEUED")
        self.assertTrue(receiver.is_quiet())
        held[0].ack()
        ninth = receiver.next()
        self.assertEqual(ninth.message_id, sent[8])
        self.assertEqual(sender.agent.state_of(sent[9]), "QUEUED")
        for delivery in [*held[1:], ninth]:
            delivery.ack()
        self.assertEqual([receiver.take().message_id for _ in range(3)], sent[9:])

    def test_a_slow_handler_is_not_handed_its_message_again(self):
        # delivery.reclaim_idle_ms is short; only another session may get it, once that is over.
        sender, slow = self.open("a10"), self.open("b10")
        message = sender.send("b10")
        delivery = slow.next()
        marker = self.open("a10")
        other = self.open("b10")
        taken = other.next()
        self.assertEqual(taken.message_id, message)
        self.assertNotEqual(taken.id, delivery.id)
        taken.ack()
        marker.agent.wait_state(message, "ACKNOWLEDGED")
        delivery.nack("too late, it is not mine any more")
        self.assertEqual(marker.agent.state_of(message), "ACKNOWLEDGED")
        self.assertTrue(slow.is_quiet())

    def test_a_request_that_nobody_took_in_time_expires(self):
        asker = self.open("a11")
        message = asker.ask("b11", timeout_ms=100).message_id
        wire.eventually(
            lambda: asker.agent.state_of(message) in ("EXPIRED", "DEAD_LETTERED"), "it expired"
        )
        receiver = self.open("b11")
        asker.send("b11", {"the": "next"})
        self.assertEqual(receiver.take().data, {"the": "next"})

    def test_each_message_goes_to_one_of_several_instances(self):
        sender = self.open("a12")
        receivers = [self.open("b12") for _ in range(3)]
        sent = {sender.send("b12", {"number": number}) for number in range(30)}
        got, lock = [], threading.Lock()

        def read(receiver):
            try:
                while True:
                    one = receiver.take().message_id
                    with lock:
                        got.append(one)
            except (grpc.RpcError, EOFError):
                pass

        readers = [threading.Thread(target=read, args=(one,), daemon=True) for one in receivers]
        for reader in readers:
            reader.start()
        wire.eventually(lambda: len(got) >= 30, "all have arrived")
        self.assertEqual((len(got), set(got)), (30, sent))


class Pattern(GateTest):
    def test_a_masked_value_leaves_the_rest_as_it_was(self):
        sender, receiver = self.open("a1"), self.open("b1")
        sender.send("b1", text='{"n": 1.50, "ssn":"536-22-8145", "z": [1,  2]}')
        got = receiver.take()
        self.assertNotIn("536-22-8145", got.text)
        self.assertTrue(re.search(r'\{"n": 1\.50, "ssn":"[^"]*", "z": \[1,  2\]\}', got.text), got.text)
        self.assertEqual(json.loads(got.text)["data"]["n"], 1.5)


if __name__ == "__main__":
    wire.main()
