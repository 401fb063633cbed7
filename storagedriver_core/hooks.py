"""The core's own plugin: its middlewares."""

from __future__ import annotations

from storagedriver_core.hookspecs import MiddlewareSpec, hookimpl


@hookimpl
def storagedriver_register_middlewares() -> list[MiddlewareSpec]:
    """Register the core's middlewares, from the outermost to the innermost."""
    from storagedriver_core.middleware.cache import CacheParameters
    from storagedriver_core.middleware.chaos import ChaosParameters
    from storagedriver_core.middleware.checksum import ChecksumParameters
    from storagedriver_core.middleware.cloudfront import CloudFrontParameters
    from storagedriver_core.middleware.limit import LimitParameters
    from storagedriver_core.middleware.metrics import MetricsParameters
    from storagedriver_core.middleware.prefix import PrefixParameters
    from storagedriver_core.middleware.readonly import ReadOnlyParameters
    from storagedriver_core.middleware.redirect import RedirectParameters
    from storagedriver_core.middleware.retry import RetryParameters
    from storagedriver_core.middleware.rewrite import RewriteParameters
    from storagedriver_core.middleware.timeout import TimeoutParameters
    from storagedriver_core.middleware.tracing import TracingParameters

    return [
        MiddlewareSpec(
            name="prefix",
            summary="Keeps everything below one directory of the store",
            factory="storagedriver_core.middleware.prefix:PrefixMiddleware",
            parameters=PrefixParameters,
            rank=10,
        ),
        MiddlewareSpec(
            name="readonly",
            summary="Refuses whatever would change the store",
            factory="storagedriver_core.middleware.readonly:ReadOnlyMiddleware",
            parameters=ReadOnlyParameters,
            rank=10,
        ),
        # URLs are for what the store has, so inside of prefix; distribution has them in any order.
        MiddlewareSpec(
            name="redirect",
            summary="Sends those who read to another server",
            factory="storagedriver_core.middleware.redirect:RedirectMiddleware",
            parameters=RedirectParameters,
            rank=12,
        ),
        MiddlewareSpec(
            name="cloudfront",
            summary="Sends those who read to Amazon CloudFront",
            factory="storagedriver_core.middleware.cloudfront:CloudFrontMiddleware",
            parameters=CloudFrontParameters,
            rank=12,
        ),
        MiddlewareSpec(
            name="rewrite",
            summary="Changes scheme, host and path of URLs",
            factory="storagedriver_core.middleware.rewrite:RewriteMiddleware",
            parameters=RewriteParameters,
            rank=12,
        ),
        MiddlewareSpec(
            name="checksum",
            summary="Keeps digests, and compares what is read with them",
            factory="storagedriver_core.middleware.checksum:ChecksumMiddleware",
            parameters=ChecksumParameters,
            rank=14,
        ),
        MiddlewareSpec(
            name="cache",
            summary="Keeps what was read on a local disk",
            factory="storagedriver_core.middleware.cache:CacheMiddleware",
            parameters=CacheParameters,
            rank=16,
        ),
        MiddlewareSpec(
            name="retry",
            summary="Repeats what failed for a moment",
            factory="storagedriver_core.middleware.retry:RetryMiddleware",
            parameters=RetryParameters,
            rank=20,
        ),
        MiddlewareSpec(
            name="limit",
            summary="Bounds how much happens at once",
            factory="storagedriver_core.middleware.limit:LimitMiddleware",
            parameters=LimitParameters,
            rank=30,
        ),
        MiddlewareSpec(
            name="timeout",
            summary="Bounds the time of each attempt",
            factory="storagedriver_core.middleware.timeout:TimeoutMiddleware",
            parameters=TimeoutParameters,
            rank=40,
        ),
        MiddlewareSpec(
            name="chaos",
            summary="Lets calls fail by chance, for tests",
            factory="storagedriver_core.middleware.chaos:ChaosMiddleware",
            parameters=ChaosParameters,
            rank=50,
        ),
        # They change nothing: what they are to look at is for whoever places them to say.
        MiddlewareSpec(
            name="metrics",
            summary="Measures calls, for Prometheus",
            factory="storagedriver_core.middleware.metrics:MetricsMiddleware",
            parameters=MetricsParameters,
            rank=None,
        ),
        MiddlewareSpec(
            name="tracing",
            summary="Makes OpenTelemetry spans of calls",
            factory="storagedriver_core.middleware.tracing:TracingMiddleware",
            parameters=TracingParameters,
            rank=None,
        ),
    ]
