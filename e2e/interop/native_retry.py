"""Publishes with idempotency keys; and, after the gate was killed, publishes all of it again.

It takes `{"count": n, "known": {item: message id} or null}`. Without anything known it publishes and
ends in the middle of the outcomes, with those that it has read. With something known it publishes
the same again, takes what the receiver is handed, and answers with both.
"""

import json
import os
import sys

import wire
from test_native import Native, publish

BATCH = 50


def batches(count):
    items = [publish(n, {"n": n}, idempotency_key=f"key-{n}") for n in range(count)]
    return [items[at : at + BATCH] for at in range(0, count, BATCH)]


def outcome(one):
    return {"id": one.accepted.message_id, "duplicate": one.accepted.duplicate, "code": one.refused.code}


def main():
    question = json.load(sys.stdin)
    count, known = question["count"], question["known"]
    alice = Native(wire.Agent("alice"))
    for items in batches(count):
        alice.put(publishes=items)
    if known is None:
        first = alice.outcomes(count // 3)
        print(json.dumps({str(item): outcome(one) for item, one in first.items()}), flush=True)
        # No time to hear of the others.
        os._exit(0)
    outcomes = alice.outcomes(count)
    bob = Native(wire.Agent("bob"))
    delivered = []
    while len(delivered) < count:
        deliveries = bob.deliveries(1)
        bob.put(acks=[one.delivery_id for one in deliveries])
        delivered.extend([json.loads(one.payload)["n"], one.message_id] for one in deliveries)
    extra = [one.message_id for frame in bob.end() for one in frame.deliveries]
    answer = {str(item): outcome(one) for item, one in outcomes.items()}
    print(json.dumps({"outcomes": answer, "delivered": delivered, "extra": extra}), flush=True)
    os._exit(0)


main()
