"""The broken drivers, a module for each group of cases."""

from __future__ import annotations

from ._mutation import Mutation
from .concurrency import MUTATIONS as CONCURRENCY
from .content import MUTATIONS as CONTENT
from .deleting import MUTATIONS as DELETING
from .errors import MUTATIONS as ERRORS
from .faults import MUTATIONS as FAULTS
from .layering import MUTATIONS as LAYERING
from .listing import MUTATIONS as LISTING
from .model import MUTATIONS as MODEL
from .moving import MUTATIONS as MOVING
from .names import MUTATIONS as NAMES
from .parts import MUTATIONS as PARTS
from .publishing import MUTATIONS as PUBLISHING
from .purging import MUTATIONS as PURGING
from .ranges import MUTATIONS as RANGES
from .remote import MUTATIONS as REMOTE
from .resources import MUTATIONS as RESOURCES
from .resume import MUTATIONS as RESUME
from .stat import MUTATIONS as STAT
from .writers import MUTATIONS as WRITERS

MUTATIONS: tuple[Mutation, ...] = (
    *NAMES,
    *CONTENT,
    *RANGES,
    *WRITERS,
    *PARTS,
    *RESUME,
    *PUBLISHING,
    *LISTING,
    *STAT,
    *MOVING,
    *DELETING,
    *CONCURRENCY,
    *ERRORS,
    *FAULTS,
    *RESOURCES,
    *REMOTE,
    *PURGING,
    *LAYERING,
    *MODEL,
)
