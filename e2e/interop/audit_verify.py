"""Checks an audit log from the outside, written from the documents alone.

It shares no code with Palisade and needs nothing but Python: RFC 6962 for the tree, RFC 8032 for
Ed25519, C2SP signed-note, tlog-checkpoint, tlog-cosignature and tlog-proof for the rest,
docs/audit-format.md for the lines of the log.

    audit_verify.py log LINES.jsonl CHECKPOINT LOG_KEY [WITNESS_KEY]
    audit_verify.py proof FILE LOG_KEY [WITNESS_KEY]
    audit_verify.py consistency LINES.jsonl OLD_CHECKPOINT NEW_CHECKPOINT LOG_KEY

It prints one JSON object and ends with 0 if all holds, else with 1.
"""

import base64
import binascii
import hashlib
import json
import sys


class Wrong(Exception):
    """Something does not hold."""


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def decode(text):
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Wrong(f"no base64: {error}") from error


# The tree of RFC 6962, 2.1, as it is defined there.


def leaf_hash(body):
    return sha256(b"\0", body)


def split(count):
    return 1 << ((count - 1).bit_length() - 1)


def root(leaves):
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return leaves[0]
    at = split(len(leaves))
    return sha256(b"\1", root(leaves[:at]), root(leaves[at:]))


def included(leaf, index, size, path):
    """The root that a path leads to (RFC 6962, 2.1.1, read from the root down)."""
    if index >= size:
        raise Wrong("the tree has no such record")
    if size == 1:
        if path:
            raise Wrong("the path is too long")
        return leaf
    if not path:
        raise Wrong("the path is too short")
    at = split(size)
    if index < at:
        return sha256(b"\1", included(leaf, index, at, path[:-1]), path[-1])
    return sha256(b"\1", path[-1], included(leaf, index - at, size - at, path[:-1]))


# Ed25519, verification only, as RFC 8032, 5.1 defines it; points are (x, y, z, t) with xy = zt.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def same(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def point(data):
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise Wrong("no point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point(bytes([0x58] + [0x66] * 31))


def is_signed(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    right = add(point(signature[:32]), times(challenge, point(public)))
    return scalar < ORDER and same(times(scalar, BASE), right)


# Keys and signatures.


class Key:
    def __init__(self, text):
        name, ident, encoded = text.split("+", 2)
        data = decode(encoded)
        self.name, self.kind, self.public = name, data[0], data[1:]
        self.ident = sha256(name.encode(), b"\n", data)[:4]
        if self.ident.hex() != ident:
            raise Wrong("the key's identifier does not fit")

    def check(self, text, signatures):
        """Returns the time of a cosignature, or 0."""
        for name, data in signatures:
            if (name, data[:4]) == (self.name, self.ident):
                time, signature = 0, data[4:]
                signed = text.encode()
                if self.kind == 4:
                    time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                    signed = f"cosignature/v1\ntime {time}\n".encode() + signed
                if not is_signed(self.public, signed, signature):
                    raise Wrong(f"the signature of {self.name} does not fit")
                return time
        raise Wrong(f"not signed by {self.name}")


def checkpoint(note, log_key, witness_key=None):
    """Returns size and root of a checkpoint whose signatures hold."""
    text, below = note.rsplit("\n\n", 1)
    text += "\n"
    signatures = []
    for line in below.splitlines():
        dash, name, encoded = line.split(" ")
        if dash != "\u2014":
            raise Wrong("no signature line")
        signatures.append((name, decode(encoded)))
    origin, size, encoded = text.split("\n")[:3]
    key = Key(log_key)
    if origin != key.name:
        raise Wrong("a checkpoint of another log")
    key.check(text, signatures)
    if witness_key and Key(witness_key).check(text, signatures) == 0:
        raise Wrong("the witness names no time")
    return int(size), decode(encoded)


# The lines of the log.


def leaves(path):
    """Reads JSON lines; checks the chain and returns the hashes of the records."""
    found, previous = [], bytes(32)
    with open(path, "rb") as lines:
        for line in lines:
            head = json.loads(line)
            # The body stands in the line byte for byte, behind number and hashes.
            body = b'{"' + line.rstrip(b"\n").split(b'","', 2)[2]
            leaf = leaf_hash(body)
            number = len(found) + 1
            if head["seq"] != number or head["prev_hash"] != previous.hex():
                raise Wrong(f"record {number} does not continue the one before")
            previous = sha256(
                b"palisade.audit.v2\0", number.to_bytes(8, "big"), previous, leaf
            )
            if head["hash"] != previous.hex():
                raise Wrong(f"record {number} is not what its hash sealed")
            found.append(leaf)
    return found


def check_log(path, note, log_key, witness_key=None):
    size, signed = checkpoint(open(note, encoding="utf-8").read(), log_key, witness_key)
    found = leaves(path)
    if len(found) < size:
        raise Wrong(f"{size} records were signed and {len(found)} are there")
    if root(found[:size]) != signed:
        raise Wrong("the records are not those that were signed")
    return {"records": len(found), "size": size}


def check_proof(path, log_key, witness_key=None):
    head, note = open(path, encoding="utf-8").read().split("\n\n", 1)
    title, extra, index, *hashes = head.split("\n")
    if title != "c2sp.org/tlog-proof@v1":
        raise Wrong("no proof")
    body, index = decode(extra.removeprefix("extra ")), int(index.removeprefix("index "))
    size, signed = checkpoint(note, log_key, witness_key)
    if included(leaf_hash(body), index, size, [decode(line) for line in hashes]) != signed:
        raise Wrong("the path leads to another root")
    return {"seq": index + 1, "size": size, "record": json.loads(body)}


def check_consistency(path, old, new, log_key):
    found = leaves(path)
    sizes = []
    for note in (old, new):
        size, signed = checkpoint(open(note, encoding="utf-8").read(), log_key)
        if len(found) < size or root(found[:size]) != signed:
            raise Wrong(f"the checkpoint of {size} records does not fit the log")
        sizes.append(size)
    return {"old": sizes[0], "new": sizes[1]}


def main(verb, *arguments):
    checks = {"log": check_log, "proof": check_proof, "consistency": check_consistency}
    try:
        print(json.dumps({"ok": True, **checks[verb](*arguments)}))
    except (Wrong, ValueError, LookupError, OSError) as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
