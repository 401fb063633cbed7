"""The shared suite on the inmemory driver through the middlewares that are not in every stack.

Through each alone; and through some together, where one could disturb the other. Where the URLs
lead that some of them make is tested with servers at the other end, in the core's tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from storagedriver_inmemory.harness import InMemoryHarness
from storagedriver_testsuite import DriverSuite, Harness, suite_for

from drivers.inmemory.tests import test_conformance
from servers.cloudfront import CloudFront
from storagedriver_core import StorageDriver, load_plugins
from storagedriver_core.middleware import cloudfront as cloudfront_module
from storagedriver_core.middleware.cache import CacheMiddleware, CacheParameters
from storagedriver_core.middleware.chaos import ChaosMiddleware, ChaosParameters
from storagedriver_core.middleware.checksum import ChecksumMiddleware, ChecksumParameters
from storagedriver_core.middleware.cloudfront import CloudFrontMiddleware, CloudFrontParameters
from storagedriver_core.middleware.readonly import ReadOnlyMiddleware, ReadOnlyParameters
from storagedriver_core.middleware.redirect import RedirectMiddleware, RedirectParameters
from storagedriver_core.middleware.retry import RetryMiddleware, RetryParameters

_CHECKSUMS = "/.storagedriver/checksums/"
LOST_SWAPS = {"C18": "whether a swap whose answer was lost was made, nobody can tell"}
NO_URLS = {"sign_get": False, "sign_head": False}


class _Harness(InMemoryHarness):
    """Deletes behind the back of the middleware, whose digests stay then and are no sign of it."""

    async def raw_list(self) -> Sequence[str]:
        return [name for name in await super().raw_list() if not name.startswith(_CHECKSUMS)]


class _Suite(DriverSuite):
    folder: Path

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        self.folder = tmp_path / "local"
        return _Harness(tmp_path)

    def cached(self, driver: StorageDriver) -> StorageDriver:
        return CacheMiddleware(driver, CacheParameters(directory=self.folder, max_bytes=2**28))


def checked(driver: StorageDriver) -> StorageDriver:
    return ChecksumMiddleware(driver, ChecksumParameters())


def redirected(driver: StorageDriver) -> StorageDriver:
    return RedirectMiddleware(driver, RedirectParameters(base_url="https://files.example"))


def chaotic(driver: StorageDriver, rate: float) -> StorageDriver:
    return ChaosMiddleware(driver, ChaosParameters(rate=rate, seed=2014))


class TestThroughCacheAndChecksum(_Suite):
    label = "inmemory through checksum, cache"

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return checked(self.cached(driver))


class TestThroughChaosAndRetry(_Suite):
    label = "inmemory through retry, chaos"
    removed = LOST_SWAPS

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        limits = RetryParameters(attempts=12, base_delay=0.0001, max_delay=0.001)
        return RetryMiddleware(chaotic(driver, 0.05), limits)


# Cases that write through the storage under test, and not only by the back door.
_WRITING = """
C01 C02 C03 C04 C05 C06 C07 C11 C12 C13 C19 C20 C21 C22 C24 D01 D02 D03 D04 D05 D06 D07 D08 D09 D10
D11 E04 E05 E06 E07 E13 F05 K03 K04 K09 K10 L04 L13 L24 M01 M02 M03 M07 M08 M14 M17 M19 M20 N01 N04
N05 N06 N07 N08 N12 N14 N17 N20 N21 N22 N23 N24 N25 Q05 R13 R15 T04 T06 T08 T11 Y01
"""


class TestThroughReadOnly(_Suite):
    """What only reads passes; what writes must fail, and the core's tests say how."""

    label = "inmemory through readonly"
    deviations = dict.fromkeys(_WRITING.split(), "it writes")

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return ReadOnlyMiddleware(driver, ReadOnlyParameters())


class TestThroughChaosThatDoesNothing(_Suite):
    label = "inmemory through chaos"

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return chaotic(driver, 0.0)


class TestThroughCache(_Suite):
    label = "inmemory through cache"

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return self.cached(driver)


class TestThroughChecksum(_Suite):
    label = "inmemory through checksum"

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return checked(driver)


TestThroughMetrics = suite_for(DriverSuite, "inmemory", through=["metrics"])
TestThroughTracing = suite_for(DriverSuite, "inmemory", through=["tracing"])
TestThroughRewrite = suite_for(DriverSuite, "inmemory", through=["rewrite"])


class TestThroughRedirect(_Suite):
    label = "inmemory through redirect"
    narrow = NO_URLS

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return redirected(driver)


@pytest.fixture(scope="module")
def cloudfront(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudFront]:
    with pytest.MonkeyPatch.context() as patch:
        # It takes 30 ms of processor, as often as the suite opens a driver.
        patch.setattr(cloudfront_module, "_read_key", functools.cache(cloudfront_module._read_key))
        yield CloudFront(tmp_path_factory.mktemp("cloudfront"))


class TestThroughCloudFront(_Suite):
    label = "inmemory through cloudfront"
    narrow = NO_URLS
    sign: Callable[[StorageDriver], StorageDriver]

    @pytest.fixture
    def harness(self, tmp_path: Path, cloudfront: CloudFront) -> Harness:
        parameters = CloudFrontParameters(
            base_url="https://cdn.example",
            private_key=cloudfront.key_file,
            key_pair_id=cloudfront.key_pair_id,
        )
        self.sign = lambda driver: CloudFrontMiddleware(driver, parameters)
        return InMemoryHarness(tmp_path)

    def wrap(self, driver: StorageDriver) -> StorageDriver:
        return self.sign(driver)


def test_suite_goes_through_each_middleware_alone() -> None:
    found = [*globals().values(), *vars(test_conformance).values()]
    labels = {getattr(suite, "label", "") for suite in found}
    middlewares = load_plugins().middlewares.values()
    ours = [spec.name for spec in middlewares if spec.factory.startswith("storagedriver_core.")]
    assert {"readonly", "limit"} <= {*ours}
    assert {f"inmemory through {name}" for name in ours} <= labels
