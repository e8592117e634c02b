"""Every declared type of the jobs' streams and states, made in functions.

PyFlink checks a declared type only when the first record passes, so they are kept in one place beside the constants
that name their fields. They are functions because a `Types...` object at module level would be pickled with the
operators of that module, which fails ("cannot pickle RLock").
"""

from __future__ import annotations

from pyflink.common.typeinfo import TypeInformation, Types

# Positions in an input row (`record_type`). Rows are read by position: attribute access looks the name up on every call.
TOPIC, PARTITION, OFFSET, KEY, VALUE = range(5)
RECORD_FIELDS = ("topic", "partition", "offset", "key", "value")

# Positions in an output row (`output_type`).
OUT_TOPIC, OUT_KEY, OUT_VALUE = range(3)
OUTPUT_FIELDS = ("topic", "key", "value")


def record_type() -> TypeInformation:
    """A Kafka record as read: topic, partition, offset, key, value (key and value may be None)."""
    return Types.ROW_NAMED(list(RECORD_FIELDS), [Types.STRING(), Types.INT(), Types.LONG(), bytes_type(), bytes_type()])


def output_type() -> TypeInformation:
    """A Kafka record to write: topic, key, value."""
    return Types.ROW_NAMED(list(OUTPUT_FIELDS), [Types.STRING(), bytes_type(), bytes_type()])


def bytes_type() -> TypeInformation:
    """Bytes in a stream's rows."""
    return Types.PRIMITIVE_ARRAY(Types.BYTE())


def state_bytes_type() -> TypeInformation:
    """Bytes in state. PRIMITIVE_ARRAY(BYTE) crashes there in thread mode."""
    return Types.PICKLED_BYTE_ARRAY()


def key_type() -> TypeInformation:
    """Flink keys: shard names and command ids."""
    return Types.STRING()
