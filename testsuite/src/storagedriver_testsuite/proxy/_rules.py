"""What the proxy is told to do, and what it tells."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal[
    "reset_before",
    "reset_during",
    "reset_after",
    "answer",
    "slow",
    "drip",
    "truncate",
    "shorten",
    "corrupt",
    "corrupt_request",
    "ignore_range",
    "hang",
    "pass",
]
"""What happens to a request or its answer.

```text
reset_before     the connection is reset before anything is passed on
reset_during     … after half of the request's body; before anything, if it has none
reset_after      … after the server has answered, and nothing of that is passed on
answer           the rule's own answer comes in the server's place; with `acts`, after the server's
slow             the answer waits for `seconds`
drip             the answer's body comes in pieces of `size` bytes, with `seconds` between
truncate         the answer's head comes whole, its body only up to `size` bytes; then it closes
shorten          … with a Content-Length that says so
corrupt          the middle byte of the answer's body is another one
corrupt_request  the middle byte of the request's body is another one
ignore_range     a range is answered with status 200 and the whole, which passed before under a
                 rule of this kind
hang             nothing comes, until the rules are cleared
pass             nothing; a rule of this kind counts, and those after it do not see the request
```
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule: what is done to which requests. The first rule that fits acts.

    Attributes:
        action: What happens.
        method: Regular expression that the whole method must match.
        target: Regular expression that is searched in `METHOD /path?query`, as these are sent.
        nth: The first one of the matching requests on which the rule acts, from 1.
        times: On how many from there it acts; None for all.
        acts: Whether the server gets the request before the rule's own answer comes.
        seconds: For `slow` and `drip`.
        size: Bytes, for `drip`, `truncate` and `shorten`; None for half of the body.
        status: Of the rule's own answer, as `headers` and `body`.
    """

    action: Action
    method: str = ".*"
    target: str = ""
    nth: int = 1
    times: int | None = 1
    acts: bool = False
    seconds: float = 0.0
    size: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` takes."""
        return {
            **dataclasses.asdict(self),
            "headers": dict(self.headers),
            "body": base64.b64encode(self.body).decode(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Fault:
        """Read what `to_json` gave."""
        return cls(**{**values, "body": base64.b64decode(values["body"])})


@dataclass(slots=True)
class Exchange:
    """One request that reached the proxy, as the log has it.

    Attributes:
        method: Method.
        path: Path, as it was sent.
        query: Query, without the values that hold signatures and credentials.
        status: Status of the answer that the client got; 0 if it got none.
        sent: Bytes of the request's body that the proxy has passed on or taken.
        received: Bytes of the answer's body that the client was sent.
        fault: The action of the rule that acted, or an empty text.
    """

    method: str
    path: str
    query: str = ""
    status: int = 0
    sent: int = 0
    received: int = 0
    fault: str = ""
