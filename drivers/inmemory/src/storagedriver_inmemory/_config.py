"""Parameters of the driver."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class InMemoryConfig(BaseModel):
    """The driver takes no parameters: each instance has a store of its own."""

    model_config = ConfigDict(extra="forbid")
