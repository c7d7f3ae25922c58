#!/usr/bin/env python3
"""Emits to Socket.IO clients through PostgreSQL, in the transaction of whoever calls it. Written from docs/PROTOCOL.md.

    emitter.py postgresql://localhost/app --to news headline '{"text": "It works"}'
"""
import argparse, hashlib, json, secrets
import psycopg2


def dumps(value):
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def units(text):  # What JavaScript counts.
    return len(text.encode("utf-16-le")) // 2


class Emitter:
    def __init__(self, connection, prefix="socket.io"):
        self.connection, self.prefix = connection, prefix

    def emit(self, event, *args, to=(), exclude=(), nsp="/", **flags):
        channel = f"{self.prefix}:{nsp}"
        if len(channel.encode()) > 63:
            channel = f"{self.prefix}:#{hashlib.sha256(channel.encode()).hexdigest()[:32]}"
        message = {"emit": [event, *args], "except": exclude, "nsp": nsp, "id": secrets.token_hex(8), **flags}
        payloads = [dumps({**message, "to": to} if to else message)]
        if len(payloads[0].encode()) > 7999:
            header = dumps({"t": 3, "n": nsp, "r": to, "x": exclude, "f": flags})
            body = "2" + ("" if nsp == "/" else nsp + ",") + dumps([event, *args])
            payloads = self.chunks(f"{units(header)},{units(body)};{header}{body}".encode())
        with self.connection.cursor() as cursor:
            for payload in payloads:
                cursor.execute("select pg_notify(%s, %s)", (channel, payload))

    def chunks(self, record):
        uid, pieces = secrets.token_hex(8), []
        while record:
            end = min(7900, len(record))
            while end < len(record) and record[end] & 0xC0 == 0x80:  # Inside a character.
                end -= 1
            pieces.append(record[:end].decode())
            record = record[end:]
        return [f"1c{uid}{i + 1},,{i}/{len(pieces)};{piece}" for i, piece in enumerate(pieces)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Emits an event to Socket.IO clients.")
    parser.add_argument("uri")
    parser.add_argument("event")
    parser.add_argument("args", nargs="*", type=json.loads, help="arguments of the event, as JSON")
    parser.add_argument("--to", action="append", default=[], help="a room; may be repeated")
    parser.add_argument("--nsp", default="/")
    parser.add_argument("--prefix", default="socket.io")
    given = parser.parse_args()
    with psycopg2.connect(given.uri) as connection:
        Emitter(connection, given.prefix).emit(given.event, *given.args, to=given.to, nsp=given.nsp)
