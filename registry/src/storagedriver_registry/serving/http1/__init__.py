"""HTTP/1.1 in the clear, on the event loop: httptools reads, uvloop sends.

Source: RFC 9110 and RFC 9112, and ASGI's "HTTP & WebSocket ASGI Message Format".
"""

# General layout. A module imports only from those above it:
#
#   blocks       memory for large bodies
#   sending      parts of files
#   exchange     one request and its answer, as an application sees them
#   head         what the head of a request says
#   reading      requests, made of bytes as they come
#   connection   one connection: in which order its requests are answered, and how it ends
#   accepting    connections that are taken, and shared with other processes
#   server       all connections of a process

from __future__ import annotations

from storagedriver_registry.serving.http1.server import Http1Server

__all__ = ["Http1Server"]
