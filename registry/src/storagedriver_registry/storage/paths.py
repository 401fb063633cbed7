"""Every path below which the registry stores; no other module builds one.

```text
/docker/registry/v2/
├── repositories/<name>/
│   ├── _manifests/
│   │   ├── revisions/<algorithm>/<hex>/
│   │   │   ├── link
│   │   │   └── media-type                      ours: of a manifest that names no type itself
│   │   └── tags/<tag>/
│   │       ├── current/link
│   │       └── index/<algorithm>/<hex>/link
│   ├── _layers/<algorithm>/<hex>/link
│   ├── _referrers/<algorithm>/<hex>/           ours: the manifests whose subject has this digest,
│   │   └── <algorithm>-<hex>                   a file for each
│   └── _uploads/<id>/
│       ├── token                               ours: where the session stands, or its bytes
│       └── data                                where its bytes are completed, if not at the blob
├── blobs/<algorithm>/<first two hex>/<hex>/data
└── storagedriver/                              ours
    ├── upload-key                              signs sessions that hold nothing yet
    ├── fetched/                                what a proxy has fetched, and so may let go
    │   ├── blobs/<name>/_<algorithm>/<hex>
    │   └── manifests/<name>/_<algorithm>/<hex>
    └── garbage/
        ├── collector                           whose turn it is to collect
        ├── sign                                there while there may be markers below
        ├── blobs/<algorithm>/<first two hex>/<hex>
        └── revisions/<name>/_<algorithm>/<hex>
```

It is docker/distribution's layout, so that both can serve one directory or bucket. A link file
holds the digest that it points to as text. What is ours lies in files that distribution ignores:
it takes an upload without its own `startedat` file for none, reads no revision's files but `link`,
and looks into no directory of a repository that begins with `_` and is not its own.

Names, tags, digests and ids are checked before they come here.
"""

from __future__ import annotations

from storagedriver_registry.digest import Digest

_ROOT = "/docker/registry/v2"

REPOSITORIES = f"{_ROOT}/repositories"
"""The directory of all repositories; those with more than one component are nested."""

MANIFESTS = "_manifests"
"""The directory that makes another one a repository. Names of repositories begin with no `_`."""

UPLOADS = "_uploads"
"""The directory of a repository's upload sessions."""

UPLOAD_KEY = f"{_ROOT}/storagedriver/upload-key"
"""The key that signs upload sessions where none is configured."""

BLOBS = f"{_ROOT}/blobs"
"""The directory of all blobs."""

FETCHED_BLOBS = f"{_ROOT}/storagedriver/fetched/blobs"
"""The directory of the notes of blobs that a proxy has fetched."""

FETCHED_MANIFESTS = f"{_ROOT}/storagedriver/fetched/manifests"
"""The directory of the notes of manifests that a proxy has fetched."""

_GARBAGE = f"{_ROOT}/storagedriver/garbage"

GARBAGE_COLLECTOR = f"{_GARBAGE}/collector"
"""Says that a collector is at work."""

GARBAGE_SIGN = f"{_GARBAGE}/sign"
"""Is there while there may be markers of garbage."""

CONDEMNED_BLOBS = f"{_GARBAGE}/blobs"
"""The directory of the markers of blobs."""

CONDEMNED_REVISIONS = f"{_GARBAGE}/revisions"
"""The directory of the markers of revisions."""


def fetched_blob(name: str, digest: Digest) -> str:
    """The note that a repository's blob was fetched by a proxy."""
    return f"{FETCHED_BLOBS}/{name}/_{digest.algorithm}/{digest.hex}"


def fetched_manifest(name: str, digest: Digest) -> str:
    """The note that a repository's manifest was fetched by a proxy."""
    return f"{FETCHED_MANIFESTS}/{name}/_{digest.algorithm}/{digest.hex}"


def condemned_blob(digest: Digest) -> str:
    """The marker of a blob that may be garbage."""
    return f"{CONDEMNED_BLOBS}/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"


def condemned_revision(name: str, digest: Digest) -> str:
    """The marker of a repository's manifest that may be garbage."""
    return f"{CONDEMNED_REVISIONS}/{name}/_{digest.algorithm}/{digest.hex}"


def blob(digest: Digest) -> str:
    """The bytes of a blob or manifest."""
    return f"{_ROOT}/blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}/data"


def repository(name: str) -> str:
    """A repository; `""` gives the directory of all."""
    return f"{REPOSITORIES}/{name}" if name else REPOSITORIES


def parts(name: str) -> list[str]:
    """The directories of a repository, but for those of repositories that are nested in it."""
    kinds = (MANIFESTS, "_layers", "_referrers", UPLOADS)
    return [f"{REPOSITORIES}/{name}/{kind}" for kind in kinds]


def manifests(name: str) -> str:
    """The directory of a repository's revisions and tags."""
    return f"{REPOSITORIES}/{name}/{MANIFESTS}"


def layer_link(name: str, digest: Digest) -> str:
    """The link that makes a blob part of a repository."""
    return f"{REPOSITORIES}/{name}/_layers/{digest.algorithm}/{digest.hex}/link"


def revisions(name: str, algorithm: str) -> str:
    """The directory of a repository's manifests, for one algorithm of their digests."""
    return f"{manifests(name)}/revisions/{algorithm}"


def revision_link(name: str, digest: Digest) -> str:
    """The link that makes a manifest part of a repository."""
    # One step, since every request for a manifest comes here.
    return f"{REPOSITORIES}/{name}/{MANIFESTS}/revisions/{digest.algorithm}/{digest.hex}/link"


def revision_media_type(name: str, digest: Digest) -> str:
    """The media type that a manifest came with, where the manifest names none."""
    return f"{revisions(name, digest.algorithm)}/{digest.hex}/media-type"


def referrers(name: str, subject: Digest) -> str:
    """The directory that names the manifests which refer to a subject."""
    return f"{REPOSITORIES}/{name}/_referrers/{subject.algorithm}/{subject.hex}"


def referrer(name: str, subject: Digest, digest: Digest) -> str:
    """The file that names one manifest which refers to a subject."""
    return f"{referrers(name, subject)}/{digest.algorithm}-{digest.hex}"


def tags(name: str) -> str:
    """The directory of a repository's tags."""
    return f"{manifests(name)}/tags"


def tag(name: str, tag: str) -> str:
    """The directory of one tag."""
    return f"{tags(name)}/{tag}"


def tag_link(name: str, tag: str) -> str:
    """The link to the manifest that a tag points to now."""
    # One step, since every request for a tag comes here.
    return f"{REPOSITORIES}/{name}/{MANIFESTS}/tags/{tag}/current/link"


def tag_index_link(name: str, tag: str, digest: Digest) -> str:
    """The link to a manifest that a tag points or once pointed to."""
    return f"{tags(name)}/{tag}/index/{digest.algorithm}/{digest.hex}/link"


def uploads(name: str) -> str:
    """The directory of a repository's upload sessions."""
    return f"{REPOSITORIES}/{name}/{UPLOADS}"


def upload(name: str, upload_id: str) -> str:
    """The directory of an upload session."""
    return f"{uploads(name)}/{upload_id}"


def upload_token(name: str, upload_id: str) -> str:
    """The record of an upload session: the token that resumes it, or its bytes."""
    return f"{upload(name, upload_id)}/token"


def upload_data(name: str, upload_id: str) -> str:
    """The path that a session's writer is opened for."""
    return f"{upload(name, upload_id)}/data"
