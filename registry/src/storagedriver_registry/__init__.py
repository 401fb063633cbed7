"""OCI and Docker registry on a storage driver."""

# General layout. A module imports only from those above it:
#
#   digest, reference       digests, names, tags
#   manifest                what manifests are and refer to
#   storage                 what is stored, and where; knows nothing of HTTP
#   configuration           config.yml
#   api                     HTTP: routes, handlers, errors; plain ASGI
#   app                     all of it as one ASGI application
#   serving, cli            the `registry` command
#
# What is exported here is for embedding; everything else is the registry's own.

from __future__ import annotations

from storagedriver_registry.app import create_app
from storagedriver_registry.configuration import Configuration, load_configuration

__all__ = ["Configuration", "create_app", "load_configuration"]
