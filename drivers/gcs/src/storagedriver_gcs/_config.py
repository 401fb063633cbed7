"""Parameters of the driver."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class GcsConfig(BaseModel):
    """Where the objects are."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
