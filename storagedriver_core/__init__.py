"""storagedriver: one small async contract for content storage, and what every driver needs."""

# General layout. A module imports only from those above it:
#
#   _errors                             the error tree
#   _types, _capabilities, _paths       what calls are given and return; the path rules
#   _driver, _blocking                  the contract that authors fulfil
#   _hashing, _hash_queue, _token,
#   _parts, _uploader, _writer          resumable writers over the upload calls
#   _reader, _storage, _sync            the portable layer that users hold
#   middleware                          drivers around drivers
#   hookspecs, hooks, _plugins          what plugins register, and how they are found
#   _config                             YAML to a Storage
#   cli                                 the `storagedriver` command; nothing here imports it
#
# Everything public is exported here; drivers, the testsuite and the registry import nothing else.

from __future__ import annotations
