"""Copying images between places."""

from __future__ import annotations

from storagedriver_registry.client.transfer.copying import (
    CopyReport,
    copy,
    read_through,
    read_whole,
)
from storagedriver_registry.client.transfer.events import OnEvent, TransferEvent
from storagedriver_registry.client.transfer.journal import Journal
from storagedriver_registry.client.transfer.places import Blob, Chunks, Outcome, Source, Target
from storagedriver_registry.client.transfer.plans import Plan, plan
from storagedriver_registry.client.transfer.repositories import RepositoryPlace

__all__ = [
    "Blob",
    "Chunks",
    "CopyReport",
    "Journal",
    "OnEvent",
    "Outcome",
    "Plan",
    "RepositoryPlace",
    "Source",
    "Target",
    "TransferEvent",
    "copy",
    "plan",
    "read_through",
    "read_whole",
]
