"""Parameters of the driver."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class SqliteConfig(BaseModel):
    """Parameters of `sqlite`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="The database file; made if it is not there.")
    create: bool = Field(True, description="Whether a missing file is made, or refused.")
