"""Events of what happens to content, sent to others in docker/distribution's envelope."""

# General layout. A module imports only from those above it:
#
#   counting        who counts what becomes of events
#   endpoints       to whom which events are sent
#   events          what an event says
#   queue           events on disk, that wait to be sent
#   journal         puts them there, those of several requests together
#   posting         one request to an endpoint
#   sending         sends an endpoint what waits for it, in order
#   recording       from a request and its answer to events
#   notifier        all of it, for one registry

from __future__ import annotations

from storagedriver_registry.notifications.counting import EventCounter
from storagedriver_registry.notifications.notifier import Notifier, make_notifier

__all__ = ["EventCounter", "Notifier", "make_notifier"]
