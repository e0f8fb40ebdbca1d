"""Runs the MAS server of mas-framework for `palisade bench compare mas`.

Usage: mas_server.py FOLDER, with ca.pem, server.pem and server.key in it. The agent `echo` may
message itself without limit. Needs a Redis on its usual port, or MAS_REDIS_URL. Prints its
address and its process id when it listens, and ends with its standard input.
"""

import asyncio
import os
import sys
from pathlib import Path

from mas import MASServer, MASServerSettings, TlsConfig
from mas.gateway.config import GatewaySettings, RateLimitSettings, RedisSettings
from mas.server.types import AgentDefinition

AGENT = "echo"
UNLIMITED = 1_000_000_000


async def main(folder: Path) -> None:
    redis = os.environ.get("MAS_REDIS_URL", "redis://127.0.0.1:6379")
    tls = TlsConfig(
        server_cert_path=str(folder / "server.pem"),
        server_key_path=str(folder / "server.key"),
        client_ca_path=str(folder / "ca.pem"),
    )
    server = MASServer(
        settings=MASServerSettings(
            redis_url=redis,
            listen_addr="127.0.0.1:0",
            tls=tls,
            agents={AGENT: AgentDefinition(agent_id=AGENT, capabilities=[], metadata={})},
        ),
        gateway=GatewaySettings(
            redis=RedisSettings(url=redis),
            rate_limit=RateLimitSettings(per_minute=UNLIMITED, per_hour=UNLIMITED),
        ),
    )
    await server.start()
    await server.authz.add_permission(AGENT, AGENT)
    print(server.bound_addr, os.getpid(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


asyncio.run(main(Path(sys.argv[1])))
