"""Pages for people: repositories, tags, and what is in a manifest, rendered here."""

# General layout. A module imports only from those above it:
#
#   limits         how much of a thing is shown
#   formats        texts of others, sizes and times as people read them
#   manifests      what a manifest says, as far as it is shown
#   images         what an image's configuration says
#   references     what clients call an image, and the commands that fetch it
#   addresses      where each page is, and what an address names
#   assets         style, script and icon
#   rendering      from templates to answers; the one module that imports Jinja
#   showing        a function for each page
#   site           finds the page of a request; all that is imported before the first one
#
# A page shows what the API would answer to the same client, and asks the same stores.

from __future__ import annotations

from storagedriver_registry.pages.site import Site

__all__ = ["Site"]
