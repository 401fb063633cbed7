"""OpenStack Swift: an object store with exact keys and order, by S3's interface and by its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers._http import request
from servers._s3 import S3Server

MAIN = Path(__file__).with_name("_swift_main.py")
PROXY = """
[DEFAULT]
swift_dir = {directory}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk tempurl s3api tempauth copy slo dlo
  proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:cache]
paste.filter_factory = storagedriver_swift:cache_factory
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
user_test_other = {other_secret} .admin
storage_url_scheme = http
[filter:s3api]
use = egg:swift#s3api
location = {region}
s3_acl = false
min_segment_size = {min_part_size}
max_upload_part_num = {most_parts}
[filter:slo]
use = egg:swift#slo
max_manifest_segments = {most_parts}
# Of smaller parts only one would be read in a second.
rate_limit_under_size = 0
"""
PLAIN_FILTERS = (
    "catch_errors",
    "gatekeeper",
    "listing_formats",
    "bulk",
    "tempurl",
    "copy",
    "dlo",
)
# As many as Amazon takes.
MOST_PARTS = 10_000
SWIFT = """
[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = Policy-0
default = yes
"""


class Swift(S3Server):
    """Proxy, account, container and object server in one process, on one device.

    The S3 access key is the name of Swift's user, and the secret key is that user's key.

    Attributes:
        min_part_size: Bytes of every part but the last of an S3 upload, at least: less than
            Amazon's 5 MiB, so that what is made of parts can be tested small.
    """

    program: ClassVar[str] = "swift-python"
    port_count: ClassVar[int] = 4
    min_part_size: ClassVar[int] = 64 * 1024
    access_key = "test:tester"
    secret_key = "testing"
    other_access_key = "test:other"
    other_secret_key = "testing2"

    @property
    def auth_url(self) -> str:
        """Where Swift's own clients get a token: `X-Auth-User` and `X-Auth-Key` ask for one."""
        return f"{self.url}/auth/v1.0"

    @property
    def storage_url(self) -> str:
        """The account of both users, for Swift's own clients."""
        return f"{self.url}/v1/AUTH_test"

    def arguments(self) -> Sequence[str]:
        """Write the configuration of the proxy; `_swift_main.py` makes the rest."""
        (self.directory / "swift.conf").write_text(SWIFT, encoding="utf-8")
        proxy = PROXY.format(
            directory=self.directory,
            secret=self.secret_key,
            other_secret=self.other_secret_key,
            region=self.region,
            min_part_size=self.min_part_size,
            most_parts=MOST_PARTS,
        )
        plain = (f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in PLAIN_FILTERS)
        (self.directory / "proxy.conf").write_text(proxy + "".join(plain), encoding="utf-8")
        # Isolated, since the folder of the script has a module that is called `swift`, too.
        return ["-I", str(MAIN), str(self.directory), *map(str, self.ports)]

    def facts(self) -> Mapping[str, str]:
        """Give the addresses and the credentials."""
        return {**super().facts(), "auth url": self.auth_url, "storage url": self.storage_url}

    def is_ready(self) -> bool:
        """Say whether it gives tokens, and takes objects by S3."""
        who = {"x-auth-user": self.access_key, "x-auth-key": self.secret_key}
        return request("GET", self.auth_url, headers=who).is_success and super().is_ready()
