"""Requests and replies, discovery and state."""

import threading

import grpc
import wire
from grpc import StatusCode as Code
from wire import GateTest, admin, mas


class Replies(GateTest):
    def test_a_reply_goes_to_the_instance_that_asked(self):
        asked = self.open("bob")
        askers = [self.open("alice") for _ in range(3)]
        correlations = [one.ask("bob", {"by": one.instance}).correlation_id for one in askers]
        for _ in askers:
            request = asked.take()
            asked.reply(request.meta["correlation_id"], request.data)
        for asker, correlation in zip(askers, correlations):
            reply = asker.take()
            self.assertEqual(reply.data, {"by": asker.instance})
            self.assertEqual(reply.meta["correlation_id"], correlation)
            self.assertEqual(reply.meta["reply_to_instance_id"], asker.instance)
            self.assertTrue(asker.is_quiet())

    def test_any_instance_of_the_asked_agent_may_reply(self):
        asker, first, second = self.open("alice"), self.open("bob"), self.open("bob")
        correlation = asker.ask("bob").correlation_id
        busy = lambda: [one for one in (first, second) if not one.is_quiet()]
        wire.eventually(busy, "one of them has the request")[0].take()
        second.reply(correlation, {"from": "second"})
        self.assertEqual(asker.take().data, {"from": "second"})

    def test_of_racing_replies_one_wins(self):
        asker, asked = self.open("alice"), self.open("bob")
        for _ in range(5):
            correlation = asker.ask("bob").correlation_id
            asked.take()
            outcomes, start = [], threading.Barrier(6)

            def race():
                start.wait()
                try:
                    outcomes.append(asked.reply(correlation))
                except grpc.RpcError as error:
                    outcomes.append((error.code(), error.details()))

            racers = [threading.Thread(target=race) for _ in range(6)]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
            lost = (Code.INVALID_ARGUMENT, "unknown_correlation_id")
            won = [one for one in outcomes if one != lost]
            self.assertEqual(len(won), 1, outcomes)
            self.assertEqual(asker.take().message_id, won[0])
        self.assertTrue(asker.is_quiet())

    def test_a_reply_needs_a_rule_and_a_refused_one_does_not_use_up_the_request(self):
        asker, asked = self.open("carol"), self.open("dave")
        operator = self.agent("operator").admin
        correlation = asker.ask("dave").correlation_id
        asked.take()
        with self.refused(Code.PERMISSION_DENIED, "not_authorized"):
            asked.reply(correlation)
        allow = admin.ChangePolicyRequest(
            verb=admin.POLICY_VERB_ALLOW, subject="dave", objects=["carol"]
        )
        operator.ChangePolicy(allow, timeout=wire.DEADLINE)
        with self.refused(Code.PERMISSION_DENIED, "dlp_blocked"):
            asked.reply(correlation, {"password": "correct horse"})
        asked.reply(correlation, {"second": "try"})
        self.assertEqual(asker.take().data, {"second": "try"})

    def test_a_reply_waits_for_the_instance_that_asked(self):
        asker, asked = self.open("alice", "comes-back"), self.open("bob")
        correlation = asker.ask("bob").correlation_id
        asked.take()
        asker.half_close()
        # Another instance is there and gets nothing.
        other = self.open("alice", "another")
        asked.reply(correlation, {"for": "comes-back"})
        again = self.open("alice", "comes-back")
        self.assertEqual(again.take().data, {"for": "comes-back"})
        self.assertTrue(other.is_quiet())

    def test_a_message_cannot_be_put_into_an_instances_own_queue(self):
        receiver, sender = self.open("bob", "private"), self.open("alice")
        with self.refused(Code.PERMISSION_DENIED, "not_authorized"):
            sender.send("bob:private")
        self.assertTrue(receiver.is_quiet())


class Discovery(GateTest):
    def find(self, name, *capabilities):
        request = mas.DiscoverRequest(capabilities=capabilities)
        return self.agent(name).mas.Discover(request, timeout=wire.DEADLINE).agents

    def test_who_may_be_messaged_and_is_connected_is_found(self):
        wire.eventually(lambda: not self.find("seeker"), "those of other tests have left")
        self.open("north"), self.open("south"), self.open("hidden"), self.open("stranger")
        found = self.find("seeker")
        self.assertEqual({one.agent_id for one in found}, {"north", "south"})
        self.assertEqual({one.status for one in found}, {"ACTIVE"})
        north = next(one for one in found if one.agent_id == "north")
        self.assertEqual(list(north.capabilities), ["qa", "Translate"])
        self.assertEqual(wire.json.loads(north.metadata_json), {"floor": 3, "names": ["n", "ü"]})

    def test_one_of_the_capabilities_is_enough_and_letters_count(self):
        self.open("north"), self.open("south")
        for asked, expected in [
            (["qa"], {"north", "south"}),
            (["Translate"], {"north"}),
            (["translate"], set()),
            (["Translate", "count"], {"north", "south"}),
            (["nothing"], set()),
            ([""], set()),
        ]:
            found = {one.agent_id for one in self.find("seeker", *asked)}
            self.assertEqual(found, expected, asked)

    def test_a_star_finds_everybody_but_the_blocked(self):
        star = self.open("star")
        self.open("north"), self.open("hidden")
        found = {one.agent_id for one in self.find("star")}
        self.assertLessEqual({"star", "north"}, found)
        self.assertNotIn("hidden", found)
        star.half_close()
        wire.eventually(
            lambda: "star" not in {one.agent_id for one in self.find("star")}, "it has left"
        )


class State(GateTest):
    def state(self, name):
        answer = self.agent(name).mas.GetState(mas.GetStateRequest(), timeout=wire.DEADLINE)
        return dict(answer.state)

    def update(self, name, **updates):
        request = mas.UpdateStateRequest(updates=updates)
        self.agent(name).mas.UpdateState(request, timeout=wire.DEADLINE)

    def test_fields_are_set_one_by_one_and_reset_together(self):
        self.assertEqual(self.state("alice"), {})
        self.update("alice", a="1", b="")
        self.update("alice", b="2", **{"": "empty key"})
        self.update("alice")
        expected = {"a": "1", "b": "2", "": "empty key"}
        self.assertEqual(self.state("alice"), expected)
        # Nobody else sees it.
        self.assertEqual(self.state("bob"), {})
        self.agent("alice").mas.ResetState(mas.ResetStateRequest(), timeout=wire.DEADLINE)
        self.assertEqual(self.state("alice"), {})

    def test_concurrent_updates_lose_nothing(self):
        def write(number):
            self.update("carol", **{f"field-{number}": str(number)})

        writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        self.assertEqual(self.state("carol"), {f"field-{n}": str(n) for n in range(8)})

    def test_a_state_has_a_bound(self):
        self.update("dave", kept="yes")
        with self.refused(Code.RESOURCE_EXHAUSTED, "state_too_large"):
            self.update("dave", **{f"f{number}": "x" * 50_000 for number in range(6)})
        self.assertEqual(self.state("dave"), {"kept": "yes"})


if __name__ == "__main__":
    wire.main()
