"""Sequences of requests that nobody thought of, against a model of what a registry has to hold.

A machine works in repositories of its own, so that any number can be run on one server. What is
asked with sense has an answer that the model knows; what is asked without has one that the table of
the API has. In the end everything that was acknowledged is there, and nothing else.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, precondition, rule

from registry.tests.client import (
    OCI_INDEX,
    OCI_MANIFEST,
    SlowRequest,
    error_codes,
    sha256,
    sha512,
)
from registry.tests.described import METHODS, check
from registry.tests.fuzz_inputs import (
    BAD_DIGESTS,
    BAD_TAGS,
    CHUNK_RANGES,
    CONTENT_TYPES,
    CONTENTS,
    DIGESTS,
    HEADERS,
    JSON,
    JUNK,
    NAMES,
    NUMBERS,
    QUERIES,
    RANGES,
    TAGS,
    TARGETS,
    WORDS,
)

TIMEOUT_SECONDS = 30

_numbers = itertools.count()


@dataclass
class Session:
    """One upload.

    Attributes:
        name: Its repository.
        location: Its URL.
        data: What is durable of it.
        is_over: Whether it was finished or cancelled.
    """

    name: str
    location: str
    data: bytes = b""
    is_over: bool = False


@dataclass
class Repository:
    """What one repository has.

    Attributes:
        blobs: Blobs, by every digest that they were pushed with.
        manifests: Manifests, likewise.
        tags: Digests, by tag.
        existed: Whether it ever had a manifest.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    existed: bool = False


class Target:
    """The server that is asked, for all machines.

    Attributes:
        http: A client of it.
        stored: Digests that any repository was given.
        requests: How many requests were made.
    """

    def __init__(self, url: str) -> None:
        hooks = {"response": [self._see]}
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, event_hooks=hooks)
        self.stored: set[str] = set()
        self.requests = 0

    def _see(self, response: httpx.Response) -> None:
        self.requests += 1
        response.read()
        path = response.request.extensions.get("path", "")
        check(response, path)
        assert response.status_code < 500, response.text


class RegistryMachine(RuleBasedStateMachine):
    """Asks, and compares the answers with the model."""

    sessions: Bundle[Session] = Bundle("sessions")

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target
        self._http = target.http
        self._below = f"f{next(_numbers)}"
        self._repositories: dict[str, Repository] = {}
        self._opened: list[Session] = []

    def _repository(self, name: str) -> Repository:
        return self._repositories.setdefault(name, Repository())

    def _url(self, name: str, rest: str) -> str:
        return f"/v2/{self._below}/{name}/{rest}"

    def _session(self, name: str, response: httpx.Response) -> Session:
        session = Session(name, response.headers["location"])
        self._opened.append(session)
        return session

    def _link(self, name: str, digest: str, data: bytes) -> None:
        self._repository(name).blobs[digest] = data
        self._target.stored.add(digest)

    # Uploads -----------------------------------------------------------------------------------

    @rule(target=sessions, name=NAMES, algorithm=st.sampled_from([None, "sha256", "sha512", "md5"]))
    def begin(self, name: str, algorithm: str | None) -> Any:
        params = {} if algorithm is None else {"digest-algorithm": algorithm}
        response = self._http.post(self._url(name, "blobs/uploads/"), params=params)
        if algorithm == "md5":
            assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
            return multiple()
        assert response.status_code == 202
        return self._session(name, response)

    @rule(
        target=sessions,
        name=NAMES,
        source=st.none() | NAMES | st.just("none/such") | st.just("NOT A NAME"),
        content=st.sampled_from([*CONTENTS, b"never pushed"]),
        digest=st.sampled_from(DIGESTS[:4]),
    )
    def mount(self, name: str, source: str | None, content: bytes, digest: str) -> Any:
        params = {"mount": _digest(content, digest)}
        if source is not None:
            is_name = " " not in source
            params["from"] = f"{self._below}/{source}" if is_name else source
        response = self._http.post(self._url(name, "blobs/uploads/"), params=params)
        if digest == "malformed":
            assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
            return multiple()
        wanted = params["mount"]
        if source is None:
            is_there = wanted in self._target.stored
        else:
            is_there = source in self._repositories and wanted in self._repository(source).blobs
        assert response.status_code == (201 if is_there else 202)
        if not is_there:
            return self._session(name, response)
        self._link(name, wanted, content)
        return multiple()

    @rule(name=NAMES, content=st.sampled_from(CONTENTS), digest=st.sampled_from(DIGESTS[:4]))
    def push_at_once(self, name: str, content: bytes, digest: str) -> None:
        params = {"digest": _digest(content, digest)}
        url = self._url(name, "blobs/uploads/")
        response = self._http.post(url, params=params, content=content)
        if digest in ("sha256", "sha512"):
            assert response.status_code == 201
            self._link(name, params["digest"], content)
        else:
            assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])

    @rule(session=sessions, method=st.sampled_from(["GET", "HEAD"]))
    def ask_how_far(self, session: Session, method: str) -> None:
        response = self._http.request(method, session.location)
        assert response.status_code == (404 if session.is_over else 204)
        if not session.is_over:
            assert response.headers["range"] == _range(session)

    @rule(
        session=sessions,
        content=st.sampled_from(CONTENTS),
        where=st.sampled_from(CHUNK_RANGES),
        streamed=st.booleans(),
    )
    def append(self, session: Session, content: bytes, where: str, streamed: bool) -> None:
        headers = _content_range(session, content, where)
        body = iter([content]) if streamed else content
        response = self._http.patch(session.location, content=body, headers=headers)
        if not self._is_refused(session, response, where, headers):
            assert response.status_code == 202
            session.data += content
            session.location = response.headers["location"]
            assert response.headers["range"] == _range(session)

    @rule(
        session=sessions,
        content=st.sampled_from(CONTENTS),
        where=st.sampled_from(CHUNK_RANGES),
        digest=st.sampled_from(DIGESTS),
    )
    def finish(self, session: Session, content: bytes, where: str, digest: str) -> None:
        headers = _content_range(session, content, where)
        data = session.data + content
        params = dict(httpx.URL(session.location).params)
        if digest != "missing":
            params["digest"] = _digest(data, digest)
        response = self._http.put(session.location, params=params, content=content, headers=headers)
        if digest in ("malformed", "missing"):
            assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
        elif not self._is_refused(session, response, where, headers):
            session.is_over = True
            if digest == "other":
                assert (response.status_code, error_codes(response)) == (400, ["DIGEST_INVALID"])
            else:
                assert response.status_code == 201
                self._link(session.name, params["digest"], data)

    def _is_refused(
        self, session: Session, response: httpx.Response, where: str, headers: Mapping[str, str]
    ) -> bool:
        """Tell whether a chunk was to be refused, and see that it was, as is specified."""
        if session.is_over:
            assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        elif not headers or where in ("right", "http"):
            return False
        elif where in ("long", "short"):
            assert (response.status_code, error_codes(response)) == (400, ["SIZE_INVALID"])
        else:
            assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])
            if where in ("ahead", "behind"):
                assert response.headers["range"] == _range(session)
        return True

    @precondition(lambda self: any(not session.is_over for session in self._opened))
    @rule(data=st.data(), how=st.sampled_from(["reset", "close", "shutdown"]))
    def go_away(self, data: st.DataObject, how: str) -> None:
        live = [session for session in self._opened if not session.is_over]
        session = data.draw(st.sampled_from(live))
        content = CONTENTS[-1]
        url = str(self._http.base_url.join(session.location))
        with SlowRequest("PATCH", url, content_length=len(content) + 1) as slow:
            slow.send(content)
            slow.go_away(how)
        # Waits until the server has noticed, and is told where the upload stands now.
        far = {"content-range": "99999999-99999999"}
        response = self._http.patch(session.location, content=b"x", headers=far)
        assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])
        last = int(response.headers["range"].removeprefix("0-"))
        whole = session.data + content
        # A reset takes away what the machine has received, but the server not yet read.
        if last > max(len(session.data) - 1, 0):
            session.data = whole[: last + 1]
        assert last < len(whole)
        session.location = response.headers["location"]

    @rule(session=sessions)
    def cancel(self, session: Session) -> None:
        response = self._http.delete(session.location)
        assert response.status_code == (404 if session.is_over else 204)
        session.is_over = True

    @rule(session=sessions, method=st.sampled_from(["GET", "PATCH", "PUT", "DELETE"]))
    def mistake_the_repository(self, session: Session, method: str) -> None:
        url = session.location.replace(f"/{self._below}/", f"/{self._below}/x/")
        params = dict(httpx.URL(url).params) | {"digest": sha256(b"")}
        response = self._http.request(method, url, params=params)
        assert (response.status_code, error_codes(response)) == (404, ["BLOB_UPLOAD_UNKNOWN"])

    # Blobs -------------------------------------------------------------------------------------

    @rule(
        name=NAMES,
        content=st.sampled_from(CONTENTS),
        digest=st.sampled_from(DIGESTS[:4]),
        asked=st.none() | st.sampled_from(RANGES),
        method=st.sampled_from(["GET", "HEAD"]),
    )
    def get_blob(
        self, name: str, content: bytes, digest: str, asked: str | None, method: str
    ) -> None:
        wanted = _digest(content, digest)
        headers = {} if asked is None else {"range": asked}
        url = self._url(name, f"blobs/{quote(wanted)}")
        response = self._http.request(method, url, headers=headers)
        if digest == "malformed":
            # Without a digest it is no blob that is asked for.
            assert response.status_code == (400 if wanted else 404)
        elif wanted not in self._repository(name).blobs:
            assert response.status_code == 404
        elif method == "HEAD":
            assert response.headers["content-length"] == str(len(content))
        elif response.status_code == 200:
            assert response.content == content
        elif response.status_code == 206:
            first, last = response.headers["content-range"].split()[1].split("/")[0].split("-")
            assert response.content == content[int(first) : int(last) + 1]
            assert response.content
        else:
            assert (response.status_code, error_codes(response)) == (416, ["RANGE_INVALID"])

    @rule(name=NAMES, content=st.sampled_from(CONTENTS))
    def delete_blob(self, name: str, content: bytes) -> None:
        digest = sha256(content)
        response = self._http.delete(self._url(name, f"blobs/{digest}"))
        was_there = self._repository(name).blobs.pop(digest, None) is not None
        assert response.status_code == (202 if was_there else 404)

    # Manifests ---------------------------------------------------------------------------------

    @rule(name=NAMES, data=st.data(), kind=st.sampled_from(["image", "index", "other"]))
    def push_manifest(self, name: str, data: st.DataObject, kind: str) -> None:
        """Push one that is taken, if the repository has what it names."""
        repository = self._repository(name)
        known = [*repository.manifests, sha256(b"no manifest")]
        document: dict[str, Any] = {"schemaVersion": 2, "number": data.draw(st.integers(0, 9))}
        has_all = True
        if kind == "image":
            layers = data.draw(st.lists(st.sampled_from(CONTENTS), max_size=2))
            config, *rest = [_descriptor(content) for content in (b"{}", *layers)]
            document |= {"mediaType": OCI_MANIFEST, "config": config, "layers": rest}
            has_all = all(each["digest"] in repository.blobs for each in (config, *rest))
        elif kind == "index":
            members = data.draw(st.lists(st.sampled_from(known), max_size=2))
            listed = [{"mediaType": OCI_MANIFEST, "digest": each, "size": 1} for each in members]
            document |= {"mediaType": OCI_INDEX, "manifests": listed}
            has_all = all(each in repository.manifests for each in members)
        else:
            document |= {"mediaType": "application/vnd.example+json", "anything": data.draw(JSON)}
        if data.draw(st.booleans()):
            digest = data.draw(st.sampled_from(known))
            document["subject"] = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1}
        content = json.dumps(document).encode()
        reference = data.draw(TAGS | st.sampled_from([sha256(content), sha512(content)]))
        extra = [] if ":" not in reference else data.draw(st.lists(TAGS, max_size=3))
        response = self._put(name, content, reference, document["mediaType"], extra)
        if has_all and not _is_refusable(document):
            assert response.status_code == 201, response.text
        self._keep(name, content, reference, extra, response)

    @rule(
        name=NAMES,
        content=JUNK,
        content_type=st.sampled_from(CONTENT_TYPES),
        reference=TAGS | st.sampled_from([*BAD_TAGS, *BAD_DIGESTS[1:], sha256(b"other"), "OWN"]),
        extra=st.lists(TAGS | st.sampled_from(BAD_TAGS), max_size=2),
    )
    def push_anything(
        self, name: str, content: bytes, content_type: str, reference: str, extra: list[str]
    ) -> None:
        reference = sha256(content) if reference == "OWN" else reference
        response = self._put(name, content, reference, content_type, extra)
        if reference in BAD_TAGS or reference in BAD_DIGESTS:
            assert response.status_code == 400
        self._keep(name, content, reference, extra if ":" in reference else [], response)

    def _put(
        self, name: str, content: bytes, reference: str, content_type: str, tags: list[str]
    ) -> httpx.Response:
        return self._http.put(
            self._url(name, f"manifests/{quote(reference)}"),
            params={"tag": tags},
            content=content,
            headers={"content-type": content_type},
        )

    def _keep(
        self,
        name: str,
        content: bytes,
        reference: str,
        extra: list[str],
        response: httpx.Response,
    ) -> None:
        """Note a manifest, if it was taken."""
        if response.status_code != 201:
            assert 400 <= response.status_code < 500
            return
        repository = self._repository(name)
        digest = response.headers["docker-content-digest"]
        assert digest in (sha256(content), sha512(content))
        repository.manifests[digest] = content
        repository.existed = True
        self._target.stored.add(digest)
        for tag in extra if ":" in reference else [reference]:
            repository.tags[tag] = digest

    @rule(
        name=NAMES,
        data=st.data(),
        method=st.sampled_from(["GET", "HEAD"]),
    )
    def get_manifest(self, name: str, data: st.DataObject, method: str) -> None:
        repository = self._repository(name)
        known = [*repository.manifests, *repository.tags, sha256(b"none"), *BAD_TAGS]
        reference = data.draw(st.sampled_from(known))
        response = self._http.request(method, self._url(name, f"manifests/{quote(reference)}"))
        digest = repository.tags.get(reference, reference)
        if digest not in repository.manifests:
            assert response.status_code == 404
        else:
            assert response.status_code == 200
            assert response.headers["docker-content-digest"] == digest
            if method == "GET":
                assert response.content == repository.manifests[digest]

    @rule(name=NAMES, data=st.data())
    def delete_manifest(self, name: str, data: st.DataObject) -> None:
        repository = self._repository(name)
        known = [*repository.manifests, *repository.tags, "none", sha256(b"none")]
        reference = data.draw(st.sampled_from(known))
        response = self._http.delete(self._url(name, f"manifests/{reference}"))
        if reference in repository.tags:
            assert response.status_code == 202
            del repository.tags[reference]
        elif repository.manifests.pop(reference, None) is not None:
            assert response.status_code == 202
            repository.tags = {
                tag: digest for tag, digest in repository.tags.items() if digest != reference
            }
        else:
            assert (response.status_code, error_codes(response)) == (404, ["MANIFEST_UNKNOWN"])

    # Lists -------------------------------------------------------------------------------------

    @rule(name=NAMES, count=st.none() | NUMBERS, last=st.none() | TAGS)
    def list_tags(self, name: str, count: str | None, last: str | None) -> None:
        params = {"n": count, "last": last}
        given = {key: value for key, value in params.items() if value is not None}
        response = self._http.get(self._url(name, "tags/list"), params=given)
        repository = self._repository(name)
        if count is not None and not (count.isdecimal() and len(count) < 10):
            assert response.status_code == 400
        elif response.status_code == 404:
            assert error_codes(response) == ["NAME_UNKNOWN"]
            # Where it has had some, it depends on the store whether that can be seen.
            assert not repository.manifests
        else:
            assert repository.existed
            tags = sorted(tag for tag in repository.tags if last is None or tag > last)
            assert response.json()["tags"] == tags[: None if count is None else int(count)]

    @rule(name=NAMES, data=st.data(), artifact_type=st.none() | st.sampled_from(["x/y", "é", ""]))
    def list_referrers(self, name: str, data: st.DataObject, artifact_type: str | None) -> None:
        repository = self._repository(name)
        subject = data.draw(st.sampled_from([*repository.manifests, sha256(b"no manifest")]))
        params = {} if artifact_type is None else {"artifactType": artifact_type}
        response = self._http.get(self._url(name, f"referrers/{subject}"), params=params)
        assert response.status_code == 200
        listed = [each["digest"] for each in response.json()["manifests"]]
        if not artifact_type:
            assert listed == sorted(
                digest
                for digest, content in repository.manifests.items()
                if _subject(content) == subject
            )

    @rule(count=st.none() | NUMBERS, last=st.none() | WORDS)
    def list_repositories(self, count: str | None, last: str | None) -> None:
        params = {"n": count, "last": last}
        given = {key: value for key, value in params.items() if value is not None}
        self._http.get("/v2/_catalog", params=given)

    # Anything ----------------------------------------------------------------------------------

    @rule(
        method=st.sampled_from(METHODS),
        prefix=st.sampled_from(["/v2/wild/", "/v2/", "/"]),
        rest=TARGETS,
        query=QUERIES,
        headers=HEADERS,
        body=st.binary(max_size=20),
    )
    def ask_anything(
        self,
        method: str,
        prefix: str,
        rest: str,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        path = prefix + rest
        target = path + "?" + "&".join(f"{name}={quote(value)}" for name, value in query)
        # As it is: httpx would take out what it thinks is superfluous.
        extensions = {"target": target.encode("ascii"), "path": unquote(path)}
        # A body of GET is not read, so the connection ends with it, unannounced.
        body = b"" if method in ("GET", "HEAD") else body
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        self._http.request(method, "/", headers=encoded, content=body, extensions=extensions)

    # The end -----------------------------------------------------------------------------------

    def teardown(self) -> None:
        """See that all is there that was acknowledged, and end what has begun."""
        for session in self._opened:
            self.ask_how_far(session, "GET")
            if not session.is_over:
                self.cancel(session)
        for name, repository in self._repositories.items():
            for digest, content in repository.blobs.items():
                assert self._http.get(self._url(name, f"blobs/{digest}")).content == content
            for digest, content in repository.manifests.items():
                assert self._http.get(self._url(name, f"manifests/{digest}")).content == content
            self.list_tags(name, None, None)


def _digest(data: bytes, how: str) -> str:
    if how == "malformed":
        return BAD_DIGESTS[len(data) % len(BAD_DIGESTS)]
    if how == "other":
        return sha256(data + b"!")
    return sha512(data) if how == "sha512" else sha256(data)


def _descriptor(content: bytes) -> dict[str, Any]:
    return {"mediaType": "a/b", "digest": sha256(content), "size": len(content)}


def _range(session: Session) -> str:
    return f"0-{max(len(session.data) - 1, 0)}"


def _content_range(session: Session, content: bytes, where: str) -> dict[str, str]:
    """Give a header; none where what it is to say cannot be said."""
    first, length = len(session.data), len(content)
    if where == "junk":
        return {"content-range": "bytes=0-1"}
    if where == "none" or not content or (where == "behind" and not first):
        return {}
    if where == "short" and length == 1:
        return {}
    first += {"ahead": 1, "behind": -1, "huge": 10**18}.get(where, 0)
    length += {"long": 1, "short": -1}.get(where, 0)
    text = f"{first}-{first + length - 1}"
    return {"content-range": f"bytes {text}/*" if where == "http" else text}


def _is_refusable(document: Mapping[str, Any]) -> bool:
    """Tell whether a document has what JSON does not have, or what nobody need take."""
    text = json.dumps(document)
    return any(word in text for word in ("NaN", "Infinity", "\\ud8", str(10**400)))


def _subject(content: bytes) -> str | None:
    """Give the digest of a stored manifest's subject."""
    try:
        subject = json.loads(content)["subject"]
        digest = subject["digest"]
    except (ValueError, KeyError, TypeError):
        return None
    return digest if isinstance(digest, str) else None
