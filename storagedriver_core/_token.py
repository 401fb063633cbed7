"""The token that resumes an upload in any process, on any machine.

```text
{"v": 1, "driver": …, "path": …, "id": …, "data": {…}, "options": {…},
 "part_size": …, "offset": …, "sizes": "800000*12,51c3a0", "etags": "…,…",
 "tail": …, "hashes": {"sha256": base64 of the state or null}}
```

`sizes` are hexadecimal, with run lengths, and MD5 etags are written in base64, so that a part costs
at most 32 bytes (where its size is below 256 MiB or that of the part before it).
A token is confidential, though it holds no account credential: whoever has it can write to the
upload. So it shows in no repr, and nothing logs it.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storagedriver_core._errors import ConfigurationError
from storagedriver_core._types import Part, Upload, UploadOptions

VERSION = 1

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, repr=False)
class UploadToken:
    """State of an upload at its durable offset.

    Attributes:
        driver_name: The driver that can resume it.
        upload: The upload; its `holder` is empty.
        offset: Durable bytes: parts and tail.
        part_size: Bytes of the parts that the writer makes.
        parts: The ledger; empty for drivers without one.
        tail: Internal path of the object that holds the bytes after the last part; empty if none.
        hashes: State of each running digest; None where it could not be saved.
    """

    driver_name: str
    upload: Upload
    offset: int
    part_size: int
    parts: tuple[Part, ...] = ()
    tail: str = ""
    hashes: Mapping[str, bytes | None] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<UploadToken driver={self.driver_name!r} offset={self.offset} (confidential)>"

    def to_json(self) -> str:
        """Give the token as text. Keep it where only its owner can read it."""
        options = self.upload.options
        document = {
            "v": VERSION,
            "driver": self.driver_name,
            "path": self.upload.path,
            "id": self.upload.upload_id,
            "data": dict(self.upload.data),
            "options": [options.content_type, dict(options.metadata), options.part_size],
            "part_size": self.part_size,
            "offset": self.offset,
            "sizes": ",".join(
                _run(size, len(list(parts)))
                for size, parts in itertools.groupby(part.size for part in self.parts)
            ),
            "etags": ",".join(_short(part.etag) for part in self.parts),
            "tail": self.tail,
            "hashes": {
                name: None if state is None else base64.b64encode(state).decode()
                for name, state in self.hashes.items()
            },
        }
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> UploadToken:
        """Read a token.

        Raises:
            ConfigurationError: It is no token, or of a newer version. The text is not repeated.
        """
        try:
            return cls._from_document(json.loads(text))
        except ConfigurationError:
            raise
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            # `from None`: the cause's text would repeat parts of the token.
            raise ConfigurationError("not an upload token") from None

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> UploadToken:
        version = document["v"]
        if version != VERSION:
            raise ConfigurationError(
                f"upload token has version {version!r}; this release reads {VERSION}"
            )
        content_type, metadata, part_size = document["options"]
        options = UploadOptions(
            content_type=content_type and str(content_type),
            metadata=_strings(metadata),
            part_size=int(part_size),
        )
        parts = _parts(document["sizes"], document["etags"])
        token = cls(
            driver_name=str(document["driver"]),
            upload=Upload(
                path=str(document["path"]),
                upload_id=str(document["id"]),
                data=_strings(document["data"]),
                options=options,
            ),
            offset=int(document["offset"]),
            part_size=int(document["part_size"]),
            parts=parts,
            tail=str(document["tail"]),
            hashes={
                name: None if state is None else base64.b64decode(state, validate=True)
                for name, state in document["hashes"].items()
            },
        )
        in_parts = parts[-1].offset + parts[-1].size if parts else 0
        if in_parts > token.offset or (token.tail and in_parts == token.offset):
            raise ValueError
        # What is in no part is in the tail, unless there is no ledger at all.
        if parts and not token.tail and in_parts != token.offset:
            raise ValueError
        return token


def _strings(document: dict[str, Any]) -> dict[str, str]:
    """Give a copy of an object whose values are strings."""
    if not all(isinstance(value, str) for value in document.values()):
        raise TypeError
    return dict(document)


def _run(size: int, count: int) -> str:
    return f"{size:x}" if count == 1 else f"{size:x}*{count}"


def _parts(sizes: str, etags: str) -> tuple[Part, ...]:
    if not sizes:
        return ()
    names = etags.split(",")
    runs = [run.partition("*") for run in sizes.split(",")]
    counted = [(int(size, 16), int(count or 1)) for size, _, count in runs]
    # Before a forged count makes a list of any length.
    if sum(count for _, count in counted) != len(names) or min(map(min, counted)) < 1:
        raise ValueError
    flat = [size for size, count in counted for _ in range(count)]
    offsets = itertools.accumulate(flat, initial=0)
    return tuple(
        Part(number, offset, size, _long(name))
        for number, (offset, size, name) in enumerate(
            zip(offsets, flat, names, strict=False), start=1
        )
    )


def _short(etag: str) -> str:
    """Spell an etag of 32 hex digits in 23 characters; any other is escaped as it is."""
    bare = etag.strip('"')
    if _MD5.fullmatch(bare):
        mark = "'" if etag != bare else "."
        return mark + base64.urlsafe_b64encode(binascii.unhexlify(bare)).decode().rstrip("=")
    return etag.replace("%", "%25").replace(",", "%2C").replace(".", "%2E").replace("'", "%27")


def _long(name: str) -> str:
    if name[:1] in (".", "'"):
        bare = base64.b64decode(name[1:] + "==", b"-_", validate=True).hex()
        return f'"{bare}"' if name[0] == "'" else bare
    for code, character in (("%2C", ","), ("%2E", "."), ("%27", "'"), ("%25", "%")):
        name = name.replace(code, character)
    return name
