"""The core's own plugin: its middlewares."""

from __future__ import annotations

from storagedriver_core.hookspecs import MiddlewareSpec, hookimpl


@hookimpl
def storagedriver_register_middlewares() -> list[MiddlewareSpec]:
    """Register the core's middlewares, from the outermost to the innermost."""
    from storagedriver_core.middleware.cloudfront import CloudFrontParameters
    from storagedriver_core.middleware.limit import LimitParameters
    from storagedriver_core.middleware.prefix import PrefixParameters
    from storagedriver_core.middleware.redirect import RedirectParameters
    from storagedriver_core.middleware.retry import RetryParameters
    from storagedriver_core.middleware.rewrite import RewriteParameters
    from storagedriver_core.middleware.timeout import TimeoutParameters

    return [
        MiddlewareSpec(
            name="prefix",
            summary="Keeps everything below one directory of the store",
            factory="storagedriver_core.middleware.prefix:PrefixMiddleware",
            parameters=PrefixParameters,
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
    ]
