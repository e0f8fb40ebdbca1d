"""The client of mas-framework 0.4.5, as it is on PyPI, against a gate.

Its server and its Redis parts are not used.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import unittest

import grpc
from mas import Agent, TlsClientConfig
from pydantic import BaseModel

DEADLINE = 20


class Order(BaseModel):
    item: str
    count: int


class Memory(BaseModel):
    visits: int = 0
    name: str = ""


class Recorder(Agent):
    """Keeps what it gets, and answers what it knows."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.got = asyncio.Queue()

    async def on_message(self, message):
        await self.got.put(message)

    @Agent.on("order", model=Order)
    async def on_order(self, message, order):
        await self.got.put((message, order))

    @Agent.on("double")
    async def on_double(self, message, _model):
        await message.reply("doubled", {"value": message.data["value"] * 2, "by": self.instance_id})

    @Agent.on("fail")
    async def on_fail(self, message, _model):
        raise ValueError("canary-handler-text")


class Mas(unittest.IsolatedAsyncioTestCase):
    def make(self, name, kind=Recorder, **options):
        tls = TlsClientConfig("ca.pem", f"{name}.pem", f"{name}.key")
        return kind(name, server_addr=os.environ["GATE_ADDR"], tls=tls, **options)

    async def start(self, name, **options):
        agent = self.make(name, **options)
        await agent.start()
        self.addAsyncCleanup(self.end, agent)
        return agent

    async def end(self, agent):
        with contextlib.suppress(Exception):
            await agent.stop()

    async def next(self, agent):
        return await asyncio.wait_for(agent.got.get(), DEADLINE)

    async def dead_letters(self, target):
        """Returns why messages to an agent died, as the operator's command line says."""
        words = ["dlq", "list", "--json", "--target", target, "--dir", "."]
        words += ["--addr", os.environ["GATE_ADDR"]]
        listing = await asyncio.create_subprocess_exec(
            os.environ["GATE_BINARY"], *words, stdout=asyncio.subprocess.PIPE
        )
        lines, _ = await listing.communicate()
        return {json.loads(line)["reason"] for line in lines.splitlines()}

    async def expect(self, call, status, text):
        with self.assertRaises(grpc.RpcError) as caught:
            await call
        error = caught.exception
        self.assertEqual((error.code(), error.details()), (status, text))

    def test_it_is_the_release_from_pypi(self):
        self.assertEqual(importlib.metadata.version("mas-framework"), "0.4.5")

    async def test_a_message_reaches_its_handler(self):
        alice, bob = await self.start("alice"), await self.start("bob")
        await alice.send("bob", "greet", {"text": "häl\n\"lo\" 😀", "n": 1.5, "deep": [{"a": None}]})
        message = await self.next(bob)
        self.assertEqual(message.message_type, "greet")
        self.assertEqual(message.data["text"], "häl\n\"lo\" 😀")
        self.assertEqual(message.data["deep"], [{"a": None}])
        self.assertEqual((message.sender_id, message.target_id), ("alice", "bob"))
        self.assertEqual(message.meta.sender_instance_id, alice.instance_id)
        await alice.send("bob", "order", {"item": "tea", "count": 2})
        message, order = await self.next(bob)
        self.assertEqual(order, Order(item="tea", count=2))

    async def test_both_ask_and_both_reply(self):
        alice, bob = await self.start("alice"), await self.start("bob")
        for asker, asked in [(alice, "bob"), (bob, "alice")]:
            reply = await asker.request(asked, "double", {"value": 21}, timeout=DEADLINE)
            self.assertEqual(reply.data["value"], 42)
            self.assertEqual((reply.sender_id, reply.message_type), (asked, "doubled"))
            self.assertTrue(reply.meta.is_reply)
        many = [alice.request("bob", "double", {"value": n}, timeout=DEADLINE) for n in range(20)]
        replies = await asyncio.gather(*many)
        self.assertEqual([one.data["value"] for one in replies], [2 * n for n in range(20)])

    async def test_a_request_to_nobody_times_out(self):
        alice = await self.start("alice")
        with self.assertRaises(asyncio.TimeoutError):
            await alice.request("absent", "double", {"value": 1}, timeout=0.3)

    async def test_what_was_sent_while_away_is_there_on_return(self):
        alice = await self.start("alice")
        for number in range(3):
            await alice.send("carol", "note", {"number": number})
        carol = await self.start("carol")
        self.assertEqual([(await self.next(carol)).data["number"] for _ in range(3)], [0, 1, 2])

    async def test_two_instances_share_and_replies_find_the_asker(self):
        first, second = await self.start("dave"), await self.start("dave")
        alice = await self.start("alice")
        for number in range(10):
            await alice.send("dave", "note", {"number": number})
        got = set()
        while len(got) < 10:
            one, two = asyncio.create_task(first.got.get()), asyncio.create_task(second.got.get())
            done, rest = await asyncio.wait(
                {one, two}, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED
            )
            self.assertTrue(done, "nothing came")
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            fresh = {task.result().data["number"] for task in done}
            self.assertFalse(got & fresh, "a message came twice")
            got |= fresh
        for asker in [first, second]:
            reply = await asker.request("alice", "double", {"value": 4}, timeout=DEADLINE)
            self.assertEqual(reply.data["value"], 8)
            self.assertEqual(reply.meta.reply_to_instance_id, asker.instance_id)

    async def test_connected_agents_are_discovered(self):
        alice = await self.start("alice")
        await self.start("bob")
        found = {one["id"]: one for one in await alice.discover()}
        self.assertEqual(found["bob"]["capabilities"], ["qa"])
        self.assertEqual(found["bob"]["metadata"], {"team": "blue"})
        self.assertEqual(found["bob"]["status"], "ACTIVE")
        self.assertNotIn("absent", found)
        self.assertEqual([one["id"] for one in await alice.discover(["qa"])], ["bob"])
        self.assertEqual(await alice.discover(["nothing"]), [])

    async def test_state_is_kept_over_a_restart_of_the_agent(self):
        erin = await self.start("erin", state_model=Memory)
        self.assertEqual(erin.state, Memory())
        await erin.update_state({"visits": 3, "name": "Erin"})
        await erin.stop()
        erin = await self.start("erin", state_model=Memory)
        self.assertEqual(erin.state, Memory(visits=3, name="Erin"))
        await erin.reset_state()
        await erin.refresh_state()
        self.assertEqual(erin.state, Memory())

    async def test_a_failed_handler_makes_a_dead_letter(self):
        alice, frank = await self.start("alice"), await self.start("frank")
        await alice.send("frank", "fail", {"why": "handler raises"})
        await alice.send("frank", "order", {"item": 1, "wrong": "shape"})
        await alice.send("frank", "note", {"the": "next"})
        # They are dead, and not in the way.
        message = await self.next(frank)
        self.assertEqual(message.data, {"the": "next"})
        kinds = ["ValidationError", "ValueError"]
        expected = {f"refused: handler_error:{kind}" for kind in kinds}
        async with asyncio.timeout(DEADLINE):
            while await self.dead_letters("frank") != expected:
                await asyncio.sleep(0.02)

    async def test_refusals_are_those_that_it_knows(self):
        alice, slow = await self.start("alice"), await self.start("slow")
        denied = (grpc.StatusCode.PERMISSION_DENIED, "not_authorized")
        await self.expect(alice.send("eve", "note", {}), *denied)
        await self.expect(alice.request("nobody", "note", {}), *denied)
        await slow.send("alice", "note", {})
        limited = (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
        await self.expect(slow.send("alice", "note", {}), *limited)
        blocked = (grpc.StatusCode.PERMISSION_DENIED, "dlp_blocked")
        await self.expect(alice.send("bob", "note", {"password": "correct horse"}), *blocked)

    async def test_an_agent_that_stopped_is_gone_at_once(self):
        alice, bob = await self.start("alice"), await self.start("bob")
        self.assertIn("bob", [one["id"] for one in await alice.discover()])
        await bob.stop()
        async with asyncio.timeout(DEADLINE):
            while "bob" in [one["id"] for one in await alice.discover()]:
                await asyncio.sleep(0.02)

    async def test_a_stranger_is_not_welcomed(self):
        stranger = self.make("stranger")
        self.addAsyncCleanup(self.end, stranger)
        # Its start waits 10 s for a welcome; the stream itself ends at once.
        starting = asyncio.create_task(stranger.start())
        async with asyncio.timeout(DEADLINE):
            while stranger._transport_task is None or not stranger._transport_task.done():
                await asyncio.sleep(0.02)
        self.assertFalse(stranger._transport_ready.is_set())
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


if __name__ == "__main__":
    # It logs each handler that fails, with its stack.
    logging.disable(logging.CRITICAL)
    unittest.main(verbosity=1)
