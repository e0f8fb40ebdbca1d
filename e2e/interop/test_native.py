"""The native session: publishes, deliveries and answers in frames, made from the contract alone."""

import json
import queue
import threading

import grpc
import wire
from wire import DEADLINE, GateTest, bus


class Native:
    """A native session of an agent."""

    def __init__(self, agent, instance=None, **hello):
        self._out, self._in = queue.Queue(), queue.Queue()
        self.instance = instance or wire.instance_id()
        self.put(hello=bus.Hello(instance_id=self.instance, **hello))
        self.call = agent.bus.Session(iter(self._out.get, None))
        threading.Thread(target=self._read, daemon=True).start()
        self.welcome = self.next().welcome

    def put(self, **frame):
        self._out.put(bus.ClientFrame(**frame))

    def _read(self):
        try:
            for frame in self.call:
                self._in.put(frame)
            self._in.put(None)
        except grpc.RpcError as error:
            self._in.put(error)

    def next(self):
        """Waits for the next frame."""
        frame = self._in.get(timeout=DEADLINE)
        if isinstance(frame, grpc.RpcError):
            raise frame
        if frame is None:
            raise EOFError("the gate ended the session")
        return frame

    def outcomes(self, count):
        """Waits for so many outcomes; returns them by item."""
        found = {}
        while len(found) < count:
            found.update((one.item, one) for one in self.next().outcomes)
        return found

    def deliveries(self, count):
        """Waits for so many deliveries."""
        found = []
        while len(found) < count:
            found.extend(self.next().deliveries)
        return found

    def end(self):
        """Ends the client's side; returns the frames that still come."""
        self._out.put(None)
        frames = []
        while True:
            try:
                frames.append(self.next())
            except EOFError:
                # Whoever asks again gets the same answer.
                self._in.put(None)
                return frames


def publish(item, data, target="bob", **more):
    payload = json.dumps(data).encode()
    return bus.Publish(item=item, target_id=target, message_type="note", payload=payload, **more)


class Sessions(GateTest):
    def native(self, name, **hello):
        """Opens a session that ends with the test, when what it said has reached the gate."""
        session = Native(self.agent(name), **hello)
        self.addCleanup(session.end)
        return session

    def test_batches_pass_and_are_acknowledged_in_batches(self):
        alice, bob = self.native("alice"), self.native("bob")
        self.assertEqual((alice.welcome.agent_id, alice.welcome.instance_id), ("alice", alice.instance))
        alice.put(publishes=[publish(n, {"n": n}) for n in range(50)])
        outcomes = alice.outcomes(50)
        deliveries = bob.deliveries(50)
        self.assertEqual([json.loads(one.payload) for one in deliveries], [{"n": n} for n in range(50)])
        ids = [outcomes[n].accepted.message_id for n in range(50)]
        self.assertEqual([one.message_id for one in deliveries], ids)
        bob.put(acks=[one.delivery_id for one in deliveries])
        asker = self.agent("alice")
        for message in ids:
            asker.wait_state(message, "ACKNOWLEDGED")
        self.assertEqual(bob.end(), [])

    def test_a_retry_returns_the_original_outcome_and_makes_no_message(self):
        alice, bob = self.native("alice"), self.native("bob")
        alice.put(publishes=[publish(1, {"n": 1}, idempotency_key="one")])
        first = alice.outcomes(1)[1].accepted
        alice.put(publishes=[
            publish(2, {"n": 1}, idempotency_key="one"),
            publish(3, {"n": 2}, idempotency_key="one"),
            publish(4, {"n": 3}, idempotency_key="two"),
        ])
        outcomes = alice.outcomes(3)
        self.assertEqual(outcomes[2].accepted.message_id, first.message_id)
        self.assertEqual((first.duplicate, outcomes[2].accepted.duplicate), (False, True))
        self.assertEqual(outcomes[3].refused.code, "idempotency_key_reused")
        self.assertFalse(outcomes[4].accepted.duplicate)
        deliveries = bob.deliveries(2)
        self.assertEqual([json.loads(one.payload)["n"] for one in deliveries], [1, 3])
        bob.put(acks=[one.delivery_id for one in deliveries])

    def test_both_services_reach_each_other(self):
        native, session = self.native("alice"), self.open("bob")
        native.put(publishes=[publish(1, {"n": 1}, kind=bus.MESSAGE_KIND_REQUEST)])
        correlation = native.outcomes(1)[1].accepted.correlation_id
        asked = session.take()
        self.assertEqual(asked.meta["correlation_id"], correlation)
        session.reply(correlation, {"n": 2})
        reply = native.deliveries(1)[0]
        self.assertEqual((reply.kind, reply.correlation_id), (bus.MESSAGE_KIND_REPLY, correlation))
        self.assertEqual(json.loads(reply.payload), {"n": 2})
        native.put(acks=[reply.delivery_id])

    def test_a_refused_delivery_comes_again_with_another_number(self):
        alice, bob = self.native("alice"), self.native("bob")
        alice.put(publishes=[publish(1, {})])
        first = bob.deliveries(1)[0]
        bob.put(nacks=[bus.Nack(delivery_id=first.delivery_id, reason="later", retryable=True)])
        again = bob.deliveries(1)[0]
        self.assertEqual((again.message_id, again.attempt), (first.message_id, 2))
        self.assertNotEqual(again.delivery_id, first.delivery_id)
        bob.put(acks=[again.delivery_id])


if __name__ == "__main__":
    wire.main()
