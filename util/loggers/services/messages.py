"""Messages between a training and the process of a logger: a line of JSON each, images within."""

import base64
import json
from typing import Any

import numpy as np


def pack(message: Any) -> bytes:
    """message: None, or dicts, lists, texts and numbers, among them uint8 arrays."""
    return json.dumps(message, default=_as_dict).encode() + b"\n"


def unpack(line: bytes) -> Any:
    """What `pack` was given, with lists in place of tuples. Raises ValueError for a line cut short."""
    return json.loads(line, object_hook=_as_array)


def _as_dict(array: np.ndarray) -> dict[str, Any]:
    return {"shape": array.shape, "uint8": base64.b64encode(array.tobytes()).decode()}


def _as_array(found: dict[str, Any]) -> Any:
    if found.keys() != {"shape", "uint8"}:
        return found
    return np.frombuffer(base64.b64decode(found["uint8"]), np.uint8).reshape(found["shape"])
