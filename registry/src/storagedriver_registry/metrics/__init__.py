"""Metrics for Prometheus, with docker/distribution's names where it has the same."""

# General layout. A module imports only from those above it:
#
#   sharing         the directory in which several processes add up
#   meters          every metric
#   requests        measures requests
#   storing         measures the storage and its caches
#   notifying       counts notifications
#   proxying        counts what a proxy does
#
# Nothing but `sharing` is imported, and nothing is measured, unless it is asked for: so nothing is
# imported here.

from __future__ import annotations
