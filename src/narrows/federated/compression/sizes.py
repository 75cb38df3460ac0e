"""How many bytes a message's content is when it is sent."""

from typing import Any

from flwr.app import RecordDict


def wire_bytes(content: RecordDict) -> int:
    """Of all its records as Flower serialises them, each once."""
    return sum(_serialised(record) for record in content.values())


def _serialised(part: Any) -> int:
    return len(part.deflate()) + sum(_serialised(child) for child in (part.children or {}).values())
