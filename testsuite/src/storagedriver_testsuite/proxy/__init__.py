"""A proxy in front of an HTTP server, in a process of its own, that makes faults by rule."""

# General layout. A module imports only from those above it:
#
#   _rules      what a rule and an entry of the log are; the proxy and the cases share it
#   _http       heads and bodies of HTTP/1.1 messages
#   _faults     which rule acts on which request, and what it does to an answer's body
#   _relay      one connection of a client, passed on to the server
#   __main__    the process, and its control by lines of JSON
#   _client     the process as a case sees it

from __future__ import annotations

from storagedriver_testsuite.proxy._client import Proxy
from storagedriver_testsuite.proxy._rules import Action, Exchange, Fault

__all__ = ["Action", "Exchange", "Fault", "Proxy"]
