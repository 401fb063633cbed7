"""Serving an ASGI application, in one process or in several."""

# General layout. A module imports only from those above it:
#
#   errors           what stops a start
#   options          how is served
#   sockets          the socket that is listened at
#   tls              what granian is told of TLS
#   signals          what stops a server
#   lifespan         starting the application up, and shutting it down
#   allocation       how much freed memory is kept
#   debug, pages     the server of small pages beside it, and what they show
#   http1            the server of HTTP/1.1 in the clear
#   granian_server   the server of TLS and HTTP/2
#   worker           one process that serves
#   worker_count     how many there are where nobody has said so
#   supervisor       the process that watches over several
#   running          from a configuration to all of these

from __future__ import annotations

from storagedriver_registry.serving.errors import StartError
from storagedriver_registry.serving.options import ServingOptions, TlsOptions
from storagedriver_registry.serving.running import serve, serve_application

__all__ = ["ServingOptions", "StartError", "TlsOptions", "serve", "serve_application"]
