"""What the stores that speak the protocol do differently, as data.

A preset is chosen by name in the configuration, never guessed from an address: a guess that is
wrong shows only when something is lost. Where a service's manual says nothing, the narrower is
taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

PresetName: TypeAlias = Literal[
    "aws", "minio", "ceph", "seaweedfs", "swift", "r2", "b2", "wasabi", "digitalocean"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How one kind of store behaves.

    Attributes:
        path_style: Address the bucket in the path rather than in the host's name.
        region: Region to sign for where neither configuration nor environment names one.
        checksums: When requests carry a checksum and answers are checked; several stores refuse
            the SDK's default, `when_supported`.
        delete_md5: `DeleteObjects` has to carry `Content-MD5`.
        list_version: 2 for `ListObjectsV2`, 1 for `ListObjects`.
        equal_parts: Every part of an upload but the last has to have the same size.
        put_if_absent: `If-None-Match: *` on `PutObject` and on `CompleteMultipartUpload`.
        put_if_match: `If-Match` on `PutObject`.
        copy_if_absent: `If-None-Match: *` on `CopyObject`.
        delete_if_match: `If-Match` on `DeleteObject`.
        list_uploads: Uploads can be listed by a prefix.
        abort_is_silent: Aborting an upload that is gone succeeds, so that it has to be looked for.
        keeps_completed: An upload is still shown after its completion, and takes parts that would
            spoil the object.
        ordered: Listings come in byte order of the key, and begin after any key.
        shares_names: `a` and `a/b` can both be objects.
        any_character: Keys may hold control characters; otherwise printable ones.
        max_key_bytes: Bytes of a key.
        max_component_bytes: Bytes between two slashes of a key; None for as many as the key has.
        acl: Objects take a canned ACL.
        encryption: Objects take server-side encryption parameters.
        storage_class: Objects take a storage class.
    """

    path_style: bool = False
    region: str = "us-east-1"
    checksums: Literal["when_required", "when_supported"] = "when_required"
    delete_md5: bool = False
    list_version: Literal[1, 2] = 2
    equal_parts: bool = False
    put_if_absent: bool = False
    put_if_match: bool = False
    copy_if_absent: bool = False
    delete_if_match: bool = False
    list_uploads: bool = True
    abort_is_silent: bool = False
    keeps_completed: bool = False
    ordered: bool = True
    shares_names: bool = True
    any_character: bool = True
    max_key_bytes: int = 1024
    max_component_bytes: int | None = None
    acl: bool = True
    encryption: bool = True
    storage_class: bool = True


PRESETS: Mapping[PresetName, Preset] = {
    # Source: Amazon S3 User Guide, "Add preconditions to S3 operations with conditional requests".
    "aws": Preset(put_if_absent=True, put_if_match=True, copy_if_absent=True, delete_if_match=True),
    # Source: MinIO, "S3 API Compatibility": conditions on PutObject, none on
    # CompleteMultipartUpload; ListMultipartUploads wants the exact name of an object.
    "minio": Preset(
        path_style=True, delete_md5=True, put_if_match=True, list_uploads=False, acl=False
    ),
    # RGW takes `If-None-Match: *` without a look at it.
    "ceph": Preset(path_style=True, delete_md5=True),
    # Its key space is that of a filesystem: see README.md.
    "seaweedfs": Preset(
        path_style=True,
        put_if_absent=True,
        put_if_match=True,
        abort_is_silent=True,
        ordered=False,
        any_character=False,
        max_component_bytes=255,
        acl=False,
        encryption=False,
        storage_class=False,
    ),
    # OpenStack Swift's s3api. A part is an object whose name is the key, the upload's and a number.
    "swift": Preset(
        path_style=True,
        delete_md5=True,
        keeps_completed=True,
        any_character=False,
        max_key_bytes=968,
        acl=False,
        encryption=False,
        storage_class=False,
    ),
    # Source: Cloudflare R2, "S3 API compatibility" and "Conditional operations". CopyObject takes
    # conditions in headers of its own, which no SDK sends.
    "r2": Preset(
        path_style=True,
        region="auto",
        equal_parts=True,
        put_if_absent=True,
        put_if_match=True,
        acl=False,
        encryption=False,
    ),
    # Source: Backblaze, "Introduction to the S3-Compatible API": no ACLs of objects.
    "b2": Preset(path_style=True, delete_md5=True, acl=False, storage_class=False),
    "wasabi": Preset(delete_md5=True),
    # Source: DigitalOcean, "Spaces API": made of Ceph, without its KMS.
    "digitalocean": Preset(delete_md5=True, encryption=False, storage_class=False),
}
