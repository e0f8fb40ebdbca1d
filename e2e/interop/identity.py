"""Asks a gate with many certificates and says what came of it, as one JSON object.

The question is a list of [name, certificate, key]; an empty certificate stands for none.
"""

import json
import os
import socket
import ssl
import sys

import grpc
import wire
from wire import mas


def credentials(cert, key):
    read = lambda name: open(name, "rb").read()
    if not cert:
        return grpc.ssl_channel_credentials(read("ca.pem"))
    return grpc.ssl_channel_credentials(read("ca.pem"), read(key), read(cert))


def ask(cert, key):
    """Returns the status and text that a session and a call end with."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(os.environ["GATE_ADDR"], credentials(cert, key), own) as channel:
        stub = wire.mas_grpc.RuntimeServiceStub(channel)
        hello = mas.ClientEvent(hello=mas.Hello(instance_id="one"))
        answers = []
        for call in [
            lambda: next(iter(stub.Transport(iter([hello]), timeout=wire.DEADLINE))).welcome.agent_id,
            lambda: stub.GetState(mas.GetStateRequest(), timeout=wire.DEADLINE) and "state",
        ]:
            try:
                answers.append(["OK", call()])
            except grpc.RpcError as error:
                # What the network says differs from machine to machine.
                is_network = error.code() == grpc.StatusCode.UNAVAILABLE
                answers.append([error.code().name, "" if is_network else error.details()])
        return answers


def old_tls(version):
    """Tells how a handshake ends that offers no more than a version."""
    context = ssl.create_default_context(cafile="ca.pem")
    context.load_cert_chain("alice.pem", "alice.key")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    host, port = os.environ["GATE_ADDR"].split(":")
    with socket.create_connection((host, int(port)), timeout=wire.DEADLINE) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=host) as tls:
                tls.recv(1)
                return tls.version()
        except (ssl.SSLError, ConnectionError):
            return "refused"


def main():
    answers = {name: ask(cert, key) for name, cert, key in json.load(sys.stdin)}
    answers["TLS 1.2"] = old_tls(ssl.TLSVersion.TLSv1_2)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
