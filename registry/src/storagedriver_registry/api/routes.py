"""The resources of the API, each with its template; patterns and URLs come from it.

Source: distribution-spec, "Endpoints".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Wide, so that a malformed part is told apart from a resource that does not exist.
_PARAMETERS = {"name": ".+", "reference": "[^/]+", "digest": "[^/]+", "upload_id": "[^/]+"}


@dataclass(frozen=True)
class Route:
    """One resource.

    Attributes:
        name: What it is called.
        template: Its path; `{…}` stands for a parameter.
        pattern: Matches its paths.
    """

    name: str
    template: str
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.sub(
            r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{_PARAMETERS[found[1]]})", self.template
        )
        object.__setattr__(self, "pattern", re.compile(pattern, re.DOTALL))

    def path(self, **parameters: object) -> str:
        """Give the path of one resource of this kind."""
        return self.template.format(**parameters)


BASE = Route("base", "/v2/")
CATALOG = Route("catalog", "/v2/_catalog")
TAGS = Route("tags", "/v2/{name}/tags/list")
MANIFEST = Route("manifest", "/v2/{name}/manifests/{reference}")
REFERRERS = Route("referrers", "/v2/{name}/referrers/{digest}")
UPLOADS = Route("uploads", "/v2/{name}/blobs/uploads/")
UPLOAD = Route("upload", "/v2/{name}/blobs/uploads/{upload_id}")
BLOB = Route("blob", "/v2/{name}/blobs/{digest}")
