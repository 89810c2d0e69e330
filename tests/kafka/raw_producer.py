"""Writes what confluent_kafka can't: a header name that is not UTF-8, straight through librdkafka."""

from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka
import pytest

_PRODUCER, _TOPIC, _VALUE, _FLAGS, _HEADER, _END = 0, 1, 4, 7, 9, 0
_COPY = 2


def produce_with_header_names(bootstrap_servers: str, topic: str, value: bytes, names: list[bytes]) -> None:
    """One record with a header of each name, valued b"v". Skips where librdkafka is no file of its own."""
    library = librdkafka()
    error = ctypes.create_string_buffer(512)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"bootstrap.servers", bootstrap_servers.encode(), error, 512)
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, ctypes.c_void_p(config), error, 512))
    words: list[object] = [ctypes.c_int(_TOPIC), topic.encode()]
    words += [
        ctypes.c_int(_VALUE),
        value,
        ctypes.c_size_t(len(value)),
        ctypes.c_int(_FLAGS),
        ctypes.c_int(_COPY),
    ]
    for name in names:
        words += [ctypes.c_int(_HEADER), name, b"v", ctypes.c_ssize_t(1)]
    assert library.rd_kafka_producev(client, *words, ctypes.c_int(_END)) == 0
    assert library.rd_kafka_flush(client, 30_000) == 0
    library.rd_kafka_destroy(client)


def librdkafka() -> ctypes.CDLL:
    """The library confluent_kafka uses; skips where it is not a file of its own."""
    beside = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    found = sorted(beside.glob("librdkafka*"))
    if not found:
        pytest.skip("this build of confluent_kafka has no librdkafka file beside it")
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_set.argtypes = [ctypes.c_void_p, *[ctypes.c_char_p] * 3, ctypes.c_size_t]
    library.rd_kafka_new.restype = ctypes.c_void_p
    return library
