"""A small token server for tests and small sites."""

# General layout. A module imports only from those above it:
#
#   policy             who may do what
#   settings           its configuration file
#   signing            the key, and what it signs
#   app                HTTP: Docker's token protocol
#   running            all of it, served

from __future__ import annotations
