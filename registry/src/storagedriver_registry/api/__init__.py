"""The registry's HTTP API, on plain ASGI."""

# General layout. A module imports only from those above it:
#
#   descriptors                 what the table of the API is made of
#   codes, routes               the table: errors, and resources with all that they take and answer
#   errors                      errors that clients are told, and how others map to them
#   addresses                   who asks
#   body, request, response     HTTP over ASGI
#   urls                        the URLs in answers
#   conditions, paging          what headers and queries ask for
#   validation                  what a pushed manifest must not lack
#   services                    what handlers work with
#   base, blobs, uploads,
#   manifests, referrers,
#   tags, catalog, openapi      a module for each resource
#   router                      from a path to its handler

from __future__ import annotations
