"""What an operator can ask, and that nobody else can."""

import wire
from grpc import StatusCode as Code
from wire import GateTest, admin


class Operator(GateTest):
    def change(self, verb, subject, *objects):
        value = admin.PolicyVerb.Value(f"POLICY_VERB_{verb}")
        request = admin.ChangePolicyRequest(verb=value, subject=subject, objects=objects)
        return self.agent("operator").admin.ChangePolicy(request, timeout=wire.DEADLINE)

    def entry(self, name):
        agents = self.agent("operator").admin.ListAgents(admin.ListAgentsRequest()).agents
        return next(one for one in agents if one.agent_id == name)

    def may(self, sender, target):
        """Tells whether a message passes, and takes it."""
        try:
            sender.send(target.agent.name)
        except wire.grpc.RpcError as error:
            self.assertEqual(error.details(), "not_authorized")
            return False
        target.take()
        return True

    def test_a_rule_is_in_force_when_the_call_returns(self):
        sender, target = self.open("carol"), self.open("dave")
        self.assertFalse(self.may(sender, target))
        for verb, expected in [
            ("ALLOW", True),
            ("BLOCK", False),
            ("ALLOW", False),
            ("UNBLOCK", True),
            ("DISALLOW", False),
        ]:
            answer = self.change(verb, "carol", "dave")
            self.assertEqual(self.may(sender, target), expected, verb)
            self.assertTrue(answer.policy_revision)
        # Said again it changes nothing.
        first = self.change("DISALLOW", "carol", "dave")
        self.assertFalse(first.changed)
        again = self.change("ALLOW", "carol", "dave")
        self.assertTrue(again.changed)
        self.assertNotEqual(first.policy_revision, again.policy_revision)
        self.change("DISALLOW", "carol", "dave")

    def test_a_star_allows_all_and_a_block_wins(self):
        sender, target, other = self.open("erin"), self.open("dave"), self.open("bob")
        self.change("ALLOW", "erin", "*")
        self.assertTrue(self.may(sender, target))
        self.change("BLOCK", "erin", "dave")
        self.assertFalse(self.may(sender, target))
        self.assertTrue(self.may(sender, other))
        self.change("UNBLOCK", "erin", "dave")
        self.change("DISALLOW", "erin", "*")
        self.assertFalse(self.may(sender, other))

    def test_a_role_grants_and_never_widens_a_block(self):
        sender, target = self.open("frank"), self.open("dave")
        self.change("ROLE_CREATE", "writers", "send:da*")
        self.assertFalse(self.may(sender, target))
        self.change("ASSIGN", "frank", "writers")
        self.assertTrue(self.may(sender, target))
        self.change("BLOCK", "frank", "dave")
        self.assertFalse(self.may(sender, target))
        self.change("UNBLOCK", "frank", "dave")
        self.change("REVOKE", "writers", "send:da*")
        self.assertFalse(self.may(sender, target))
        self.change("GRANT", "writers", "send:*")
        self.assertTrue(self.may(sender, target))
        self.change("UNASSIGN", "frank", "writers")
        self.assertFalse(self.may(sender, target))
        self.change("ASSIGN", "frank", "writers")
        self.change("ROLE_DELETE", "writers")
        self.assertFalse(self.may(sender, target))

    def test_a_change_that_makes_no_sense_is_refused(self):
        for verb, subject, objects in [
            ("UNSPECIFIED", "carol", ["dave"]),
            ("ALLOW", "carol", []),
            ("ALLOW", "carol", ["not an id"]),
            ("ALLOW", "not an id", ["dave"]),
            ("GRANT", "no-such-role", ["send:*"]),
            ("ASSIGN", "carol", ["no-such-role"]),
        ]:
            with self.subTest(verb=verb, subject=subject):
                with self.refused(Code.INVALID_ARGUMENT, "invalid_field"):
                    self.change(verb, subject, *objects)

    def test_limits_are_set_and_cleared(self):
        operator = self.agent("operator").admin
        sender, target = self.open("grace"), self.open("bob")

        def limit(limits):
            request = admin.SetLimitsRequest(agent_id="grace", limits=limits)
            operator.SetLimits(request, timeout=wire.DEADLINE)

        self.assertTrue(self.may(sender, target))
        limit(admin.Limits(per_minute=1, per_hour=1000))
        self.assertEqual(self.entry("grace").limits.per_minute, 1)
        with self.refused(Code.RESOURCE_EXHAUSTED, "rate_limited"):
            sender.send("bob")
        limit(admin.Limits(per_minute=0, per_hour=0))
        with self.refused(Code.RESOURCE_EXHAUSTED, "rate_limited"):
            sender.send("bob")
        limit(None)
        self.assertTrue(self.may(sender, target))
        with self.refused(Code.NOT_FOUND, "not_found"):
            operator.SetLimits(admin.SetLimitsRequest(agent_id="nobody"), timeout=wire.DEADLINE)

    def test_agents_are_listed_with_what_they_have(self):
        session = self.open("alice", "listed")
        entry = self.entry("alice")
        self.assertEqual(entry.status, "ACTIVE")
        self.assertIn("listed", entry.instances)
        self.assertEqual(list(entry.capabilities), ["qa"])
        self.assertEqual(list(entry.allow), ["bob"])
        self.assertEqual((entry.limits.per_minute, entry.limits.per_hour), (1000, 2000))
        session.send("bob", {"queued": True})
        self.assertEqual(self.entry("bob").queued, 1)
        self.open("bob").take()
        wire.eventually(lambda: self.entry("bob").queued == 0, "it was taken")

    def test_an_agent_cannot_administer(self):
        stub = self.agent("alice").admin
        for call, request in [
            (stub.ListAgents, admin.ListAgentsRequest()),
            (stub.ChangePolicy, admin.ChangePolicyRequest(verb=1, subject="alice", objects=["*"])),
            (stub.SetLimits, admin.SetLimitsRequest(agent_id="alice")),
            (stub.ListDeadLetters, admin.ListDeadLettersRequest()),
            (stub.ShowDeadLetter, admin.ShowDeadLetterRequest(message_id="0" * 32)),
            (stub.ReplayDeadLetter, admin.ReplayDeadLetterRequest(message_id="0" * 32)),
            (stub.DropDeadLetter, admin.DropDeadLetterRequest(message_id="0" * 32)),
        ]:
            with self.refused(Code.PERMISSION_DENIED, "wrong_principal"):
                call(request, timeout=wire.DEADLINE)

    def test_an_operator_is_no_agent(self):
        operator = self.agent("operator")
        with self.refused(Code.PERMISSION_DENIED, "wrong_principal"):
            operator.open()
        with self.refused(Code.PERMISSION_DENIED, "wrong_principal"):
            operator.mas.GetState(wire.mas.GetStateRequest(), timeout=wire.DEADLINE)


if __name__ == "__main__":
    wire.main()
