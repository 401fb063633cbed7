"""The table of the API: each resource with its methods, and what those take and answer.

Source: distribution-spec, "Endpoints"; distribution's SPEC, "Detail". The rows are in the order in
which a reader wants them; no two match the same path. What a handler answers and its row does not
have, the fuzz run finds.
"""

from __future__ import annotations

from storagedriver_registry.api.codes import (
    BLOB_UNKNOWN,
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DENIED,
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    NAME_UNKNOWN,
    PAGINATION_NUMBER_INVALID,
    RANGE_INVALID,
    SIZE_INVALID,
    TAG_INVALID,
    TOOMANYREQUESTS,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNKNOWN,
    UNSUPPORTED,
)
from storagedriver_registry.api.descriptors import (
    Answer,
    Body,
    Failure,
    Field,
    Operation,
    Route,
    Schema,
)
from storagedriver_registry.digest import ALGORITHMS, DIGEST_PATTERN
from storagedriver_registry.manifest import MODELS, OCI_INDEX
from storagedriver_registry.reference import (
    MAX_NAME_LENGTH,
    NAME_PATTERN,
    TAG_PATTERN,
    UPLOAD_ID_PATTERN,
)

# What values look like ---------------------------------------------------------------------------

_NAME_TEXT: Schema = {
    "title": "name",
    "type": "string",
    "pattern": f"^{NAME_PATTERN}$",
    "maxLength": MAX_NAME_LENGTH,
}
_TAG_TEXT: Schema = {"title": "tag", "type": "string", "pattern": f"^{TAG_PATTERN}$"}
_DIGEST_TEXT: Schema = {"title": "digest", "type": "string", "pattern": f"^{DIGEST_PATTERN}$"}
_REFERENCE_TEXT: Schema = {
    "title": "tag or digest",
    "type": "string",
    "pattern": f"^(?:{DIGEST_PATTERN}|{TAG_PATTERN})$",
}
_UPLOAD_ID_TEXT: Schema = {
    "title": "upload id",
    "type": "string",
    "pattern": f"^{UPLOAD_ID_PATTERN}$",
}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}


def _object(**properties: Schema) -> Schema:
    """Describe an object that has these properties, and maybe others."""
    return {"type": "object", "required": [*properties], "properties": properties}


_REFERRERS = _object(
    schemaVersion={"const": 2},
    mediaType={"const": OCI_INDEX},
    manifests={"type": "array", "items": {"type": "object"}},
)

# Parameters of paths -----------------------------------------------------------------------------

_NAME = Field("name", "The repository.", _NAME_TEXT, required=True)
_REFERENCE = Field("reference", "A tag, or a digest.", _REFERENCE_TEXT, required=True)
_DIGEST = Field("digest", "The digest of the content.", _DIGEST_TEXT, required=True)
_SUBJECT = Field("digest", "The digest that is referred to.", _DIGEST_TEXT, required=True)
_UPLOAD_ID = Field(
    "upload_id", "The upload, as its `Location` names it.", _UPLOAD_ID_TEXT, required=True
)

_BAD_NAME = Failure(NAME_INVALID, "The name is malformed, or too long.")
_BAD_DIGEST = Failure(DIGEST_INVALID, "The digest in the path is malformed.")

# Parameters of queries ---------------------------------------------------------------------------

_N = Field("n", "Entries of the page, at most.", _COUNT)
_LAST = Field("last", "The page begins after this entry, which need not exist.")
_STATE = Field("_state", "What the upload's `Location` has here, if it has; to be sent as it is.")

_BAD_COUNT = Failure(PAGINATION_NUMBER_INVALID, "`n` is no number, or is negative.")

# Headers of requests -----------------------------------------------------------------------------

_IF_NONE_MATCH = Field("If-None-Match", "Entity tags that the client has.")
_CONTENT_RANGE = Field(
    "Content-Range",
    "Offsets of the first and the last byte of the chunk: `0-9`, or `bytes 0-9/20`.",
)
_RANGE = Field("Range", "One range of bytes: `bytes=0-9`, `bytes=10-`, `bytes=-10`.")
_IF_RANGE = Field("If-Range", "An entity tag: the range counts if the blob still has it.")

# Headers of answers ------------------------------------------------------------------------------

_AT = Field("Location", "The URL of what was stored.", required=True)
_CONTENT_DIGEST = Field("Docker-Content-Digest", "The digest.", _DIGEST_TEXT, required=True)
_ETAG = Field("ETag", "The digest, in quotes.", required=True)
_LINK = Field("Link", 'Leads to the next page, with `rel="next"`; absent on the last.')
_PROGRESS = (
    Field("Location", "Where to go on with the upload.", required=True),
    Field("Range", "`0-` and the offset of the last durable byte; `0-0` of none.", required=True),
    Field("Docker-Upload-UUID", "The upload's id.", _UPLOAD_ID_TEXT, required=True),
)

# Bodies ------------------------------------------------------------------------------------------

_BYTES = "application/octet-stream"
_JSON = "application/json"
_CHUNK = Body("Bytes of the blob:", {_BYTES: None, "*/*": None})

# Failures that several have ----------------------------------------------------------------------

_OTHER_METHODS = (Field("Allow", "The other methods.", required=True),)
_READ_ONLY = Failure(
    UNSUPPORTED,
    "Nothing may be written (`storage.maintenance.readonly`).",
    headers=_OTHER_METHODS,
)
_NO_DELETE = Failure(
    UNSUPPORTED,
    "Deletion is not enabled (`storage.delete.enabled`).",
    headers=_OTHER_METHODS,
)
_CUT_BODY = Failure(SIZE_INVALID, "The body ended before all that was announced had come.")
_BUSY = Failure(BLOB_UPLOAD_INVALID, "Another request is at work on the upload.", 409)
_NO_UPLOAD = Failure(BLOB_UPLOAD_UNKNOWN, "The upload never began, is over, or another server's.")
_OUT_OF_ORDER = Failure(
    RANGE_INVALID,
    "The chunk does not begin where the upload stands: it lives on, and the headers say where it "
    "stands. Or `Content-Range` is malformed.",
    headers=tuple(Field(each.name, each.description, each.schema) for each in _PROGRESS),
)

COMMON_FAILURES = (
    Failure(
        UNAUTHORIZED,
        "The client has to log in, or may not do this.",
        headers=(Field("WWW-Authenticate", "The challenge.", required=True),),
    ),
    Failure(UNKNOWN, "The access controller cannot tell whether this is allowed.", 400),
    Failure(UNKNOWN, "Something failed."),
    Failure(
        UNAVAILABLE,
        "The storage cannot be reached, or is asked too much. As a proxy: the upstream registry "
        "cannot be reached.",
        headers=(Field("Retry-After", "Seconds to wait.", {"type": "integer"}, required=True),),
    ),
    Failure(UNKNOWN, "The storage is full.", 507),
    Failure(DENIED, "As a proxy: the upstream registry refuses this one."),
    Failure(
        TOOMANYREQUESTS,
        "As a proxy: the upstream registry wants fewer requests.",
        headers=(Field("Retry-After", "Seconds to wait.", {"type": "integer"}, required=True),),
    ),
    Failure(UNAVAILABLE, "As a proxy: the upstream registry sends something wrong.", 502),
)
"""What any request may be answered."""

NO_SUCH_RESOURCE = Failure(UNSUPPORTED, "There is no such resource.", 404)
NO_SUCH_METHOD = Failure(
    UNSUPPORTED,
    "The resource does not have the method.",
    headers=(Field("Allow", "The methods that it has.", required=True),),
)

# The table ---------------------------------------------------------------------------------------

BASE = Route(
    "base",
    "/v2/",
    "The registry itself; also without the last `/`.",
    (
        Operation(
            "get_base",
            ("GET", "HEAD"),
            "Ask whether this is a registry, and whether credentials are right.",
            (
                Answer(
                    200,
                    "It is, and they are.",
                    body=Body("An object:", {_JSON: _object()}),
                ),
            ),
        ),
    ),
)

OPENAPI = Route(
    "openapi",
    "/v2/_openapi.json",
    "This description of the API, in OpenAPI's form. No repository's name begins with `_`.",
    (
        Operation(
            "get_openapi",
            ("GET", "HEAD"),
            "Get the description. Whoever may ask for `/v2/` may have it.",
            (
                Answer(
                    200,
                    "It.",
                    body=Body("OpenAPI 3.1:", {_JSON: _object(openapi={"type": "string"})}),
                ),
            ),
        ),
    ),
)

CATALOG = Route(
    "catalog",
    "/v2/_catalog",
    "The repositories that have, or had, manifests; also with a `/` at the end.",
    (
        Operation(
            "list_repositories",
            ("GET", "HEAD"),
            "List repositories, in the order of the components of their names.",
            (
                Answer(
                    200,
                    "A page of their names.",
                    (_LINK,),
                    Body("The names:", {_JSON: _object(repositories=_TEXTS)}),
                ),
            ),
            (
                Failure(
                    PAGINATION_NUMBER_INVALID,
                    "`n` is no number, is negative, or is more than `catalog.maxentries`.",
                ),
            ),
            query=(_N, _LAST),
        ),
    ),
)

TAGS = Route(
    "tags",
    "/v2/{name}/tags/list",
    "The tags of a repository; also with a `/` at the end.",
    (
        Operation(
            "list_tags",
            ("GET", "HEAD"),
            "List tags, in byte order. A page has `tags.maxtags` at most, if that is set.",
            (
                Answer(
                    200,
                    "A page of tags.",
                    (_LINK,),
                    Body("The name and the tags:", {_JSON: _object(name=_NAME_TEXT, tags=_TEXTS)}),
                ),
            ),
            (Failure(NAME_UNKNOWN, "There is no such repository."), _BAD_COUNT),
            query=(_N, _LAST),
        ),
    ),
    (_NAME,),
    (_BAD_NAME,),
)

MANIFEST = Route(
    "manifest",
    "/v2/{name}/manifests/{reference}",
    "A manifest, by its digest or by a tag.",
    (
        Operation(
            "get_manifest",
            ("GET", "HEAD"),
            "Get a manifest, byte for byte as it was pushed.",
            (
                Answer(
                    200,
                    "The manifest.",
                    (_CONTENT_DIGEST, _ETAG),
                    Body("As it was pushed:", {"*/*": None}),
                ),
                Answer(304, "The client has it.", (_CONTENT_DIGEST, _ETAG)),
            ),
            (Failure(MANIFEST_UNKNOWN, "The repository has no such manifest or tag."),),
            headers=(_IF_NONE_MATCH,),
        ),
        Operation(
            "put_manifest",
            ("PUT",),
            "Push a manifest, and point tags to it. The repository has to have what it names.",
            (
                Answer(
                    201,
                    "It is stored, durably.",
                    (
                        _AT,
                        _CONTENT_DIGEST,
                        Field("OCI-Subject", "Its subject, if it has one.", _DIGEST_TEXT),
                        Field("OCI-Tag", "A tag of the query that was set; one header for each."),
                    ),
                ),
            ),
            (
                Failure(MANIFEST_INVALID, "It cannot be taken; `detail` says why."),
                Failure(MANIFEST_BLOB_UNKNOWN, "The repository lacks what it names."),
                Failure(DIGEST_INVALID, "It has another digest than the path names."),
                Failure(TAG_INVALID, "A tag is malformed."),
                Failure(TAG_INVALID, "There are more than 100 tags.", 414),
                _CUT_BODY,
                Failure(SIZE_INVALID, "It has more than 4 MiB.", 413),
                _READ_ONLY,
            ),
            query=(
                Field(
                    "tag",
                    "With a digest in the path: a tag to set. Up to 100 times.",
                    _TAG_TEXT,
                    repeated=True,
                ),
            ),
            body=Body(
                "The manifest. One of an unknown type is kept as it is:",
                {**MODELS, "*/*": {"type": "object"}},
            ),
        ),
        Operation(
            "delete_manifest",
            ("DELETE",),
            "Delete a tag; or a manifest by its digest, with all tags that point to it.",
            (Answer(202, "It is gone."),),
            (
                Failure(MANIFEST_UNKNOWN, "The repository has no such manifest or tag."),
                _NO_DELETE,
                _READ_ONLY,
            ),
        ),
    ),
    (_NAME, _REFERENCE),
    (_BAD_NAME, _BAD_DIGEST),
)

REFERRERS = Route(
    "referrers",
    "/v2/{name}/referrers/{digest}",
    "The manifests whose subject has the digest.",
    (
        Operation(
            "list_referrers",
            ("GET", "HEAD"),
            "List referrers, in the order of their digests. An unknown digest has none.",
            (
                Answer(
                    200,
                    "A page of their descriptors.",
                    (
                        _LINK,
                        Field("OCI-Filters-Applied", "`artifactType`, where that was asked for."),
                    ),
                    Body("An image index:", {OCI_INDEX: _REFERRERS}),
                ),
            ),
            (_BAD_COUNT,),
            query=(
                Field("artifactType", "Only referrers of this type."),
                _N,
                Field("last", "The page begins after this digest, which need not exist."),
            ),
        ),
    ),
    (_NAME, _SUBJECT),
    (_BAD_NAME, _BAD_DIGEST),
)

BLOB = Route(
    "blob",
    "/v2/{name}/blobs/{digest}",
    "A blob.",
    (
        Operation(
            "get_blob",
            ("GET", "HEAD"),
            "Get a blob, or one range of it.",
            (
                Answer(
                    200,
                    "The blob.",
                    (_CONTENT_DIGEST, _ETAG),
                    Body("Its bytes:", {_BYTES: None}),
                ),
                Answer(
                    206,
                    "The range that was asked for.",
                    (
                        _CONTENT_DIGEST,
                        _ETAG,
                        Field("Content-Range", "Which bytes, of how many.", required=True),
                    ),
                    Body("Bytes of it:", {_BYTES: None}),
                ),
                Answer(304, "The client has it.", (_CONTENT_DIGEST, _ETAG)),
                Answer(
                    307,
                    "The store sends it.",
                    (
                        Field("Location", "URL at the store, for some minutes.", required=True),
                        _CONTENT_DIGEST,
                    ),
                ),
            ),
            (
                Failure(BLOB_UNKNOWN, "The repository does not have it."),
                Failure(
                    RANGE_INVALID,
                    "The range is malformed, or not in the blob.",
                    headers=(Field("Content-Range", "`bytes */` and the size.", required=True),),
                ),
            ),
            headers=(_RANGE, _IF_RANGE, _IF_NONE_MATCH),
        ),
        Operation(
            "delete_blob",
            ("DELETE",),
            "Take a blob out of the repository.",
            (Answer(202, "It is gone."),),
            (Failure(BLOB_UNKNOWN, "The repository does not have it."), _NO_DELETE, _READ_ONLY),
        ),
    ),
    (_NAME, _DIGEST),
    (_BAD_NAME, _BAD_DIGEST),
)

UPLOADS = Route(
    "uploads",
    "/v2/{name}/blobs/uploads/",
    "Where blobs come in.",
    (
        Operation(
            "start_upload",
            ("POST",),
            "Mount a blob of another repository, push a whole blob, or begin an upload.",
            (
                Answer(201, "The repository has the blob.", (_AT, _CONTENT_DIGEST)),
                Answer(
                    202,
                    "The upload has begun; also where nothing could be mounted.",
                    (
                        *_PROGRESS,
                        Field(
                            "OCI-Chunk-Min-Length",
                            "Bytes below which a chunk costs the store more.",
                            {"type": "integer"},
                        ),
                    ),
                ),
            ),
            (
                Failure(DIGEST_INVALID, "A digest is malformed, or the blob has another one."),
                _CUT_BODY,
                _READ_ONLY,
            ),
            query=(
                Field("mount", "The digest of a blob to mount.", _DIGEST_TEXT),
                Field("from", "With `mount`: the repository to mount from; else any will do."),
                Field("digest", "Without `mount`: the digest of the body.", _DIGEST_TEXT),
                Field(
                    "digest-algorithm",
                    "The algorithm of the digest that will be given at the end.",
                    {"enum": list(ALGORITHMS)},
                ),
            ),
            body=Body("The blob, with `digest`:", _CHUNK.contents),
        ),
    ),
    (_NAME,),
    (_BAD_NAME,),
)

UPLOAD = Route(
    "upload",
    "/v2/{name}/blobs/uploads/{upload_id}",
    "An upload that has begun. Clients take its URL from the last `Location`.",
    (
        Operation(
            "get_upload",
            ("GET", "HEAD"),
            "Ask how far an upload is.",
            (Answer(204, "So far.", _PROGRESS),),
            query=(_STATE,),
        ),
        Operation(
            "append_to_upload",
            ("PATCH",),
            "Send a chunk, or everything in one stream.",
            (Answer(202, "What came is durable.", _PROGRESS),),
            (_OUT_OF_ORDER, _CUT_BODY, _BUSY, _READ_ONLY),
            query=(_STATE,),
            headers=(_CONTENT_RANGE,),
            body=_CHUNK,
        ),
        Operation(
            "finish_upload",
            ("PUT",),
            "Send the last chunk, if there is one, and make the blob.",
            (Answer(201, "The repository has the blob, durably.", (_AT, _CONTENT_DIGEST)),),
            (
                Failure(
                    DIGEST_INVALID,
                    "The digest is missing or malformed; or all bytes have another one, and the "
                    "upload is over.",
                ),
                _OUT_OF_ORDER,
                _CUT_BODY,
                _BUSY,
                _READ_ONLY,
            ),
            query=(
                Field("digest", "The digest of all bytes.", _DIGEST_TEXT, required=True),
                _STATE,
            ),
            headers=(_CONTENT_RANGE,),
            body=_CHUNK,
        ),
        Operation(
            "cancel_upload",
            ("DELETE",),
            "Give an upload up.",
            (Answer(204, "Nothing is left of it.", _PROGRESS[2:]),),
            (_BUSY, _READ_ONLY),
            query=(_STATE,),
        ),
    ),
    (_NAME, _UPLOAD_ID),
    (_BAD_NAME, _NO_UPLOAD),
)

ROUTES = (BASE, CATALOG, TAGS, MANIFEST, REFERRERS, BLOB, UPLOADS, UPLOAD, OPENAPI)
"""Every resource."""
