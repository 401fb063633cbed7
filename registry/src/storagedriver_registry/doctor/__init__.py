"""`registry doctor`: what stands against serving with a configuration."""

# General layout. A module imports only from those above it:
#
#   findings        what is found, and how it is printed
#   sharing         what several servers need of each other
#   others          everything else
#   command         the command; the storage is examined by the core, as in `storagedriver doctor`

from __future__ import annotations
