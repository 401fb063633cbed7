"""Logging: lines of fields, in the forms that docker/distribution writes them."""

# General layout. A module imports only from those above it:
#
#   events          messages with fields, and the fields of the request that is at work
#   formatters      from records to lines
#   setting_up      the process's handler

from __future__ import annotations

from storagedriver_registry.logs.events import Event, Fields, FieldSource, current_request
from storagedriver_registry.logs.setting_up import LEVELS, set_up_logging

__all__ = ["LEVELS", "Event", "FieldSource", "Fields", "current_request", "set_up_logging"]
