"""What a configuration may give as the URL of a service."""

from __future__ import annotations

import pytest

from storagedriver_core import check_service_url


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000",
        "https://storage.example",
        "https://storage.example:443/a/path/",
        "http://[::1]:9000",
        "HTTPS://Storage.Example",
        "http://127.0.0.1:10000/account@1",
    ],
)
def test_url_of_a_service_is_given_back(url: str) -> None:
    assert check_service_url(url) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "begins with http"),
        ("storage.example", "begins with http"),
        ("ftp://storage.example", "begins with http"),
        ("://", "begins with http"),
        ("http://", "a host is needed"),
        ("http:///path", "a host is needed"),
        ("http://:80", "a host is needed"),
        ("http://a:0", "a host is needed"),
        ("http://a:hidden", "not well formed"),
        ("http://a:99999", "not well formed"),
        ("http://[::1", "not well formed"),
        ("http://hidden b", "no URL holds"),
        ("http://hidden\n", "no URL holds"),
        ("http://me:hidden@a", "neither user nor password"),
        ("http://a/?sig=hidden", "neither a query"),
        ("http://a/#hidden", "neither a query"),
        ("http://a/?", "neither a query"),
    ],
)
def test_what_is_no_url_of_a_service_is_refused_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_service_url(url)
    assert "hidden" not in str(refused.value) and refused.value.__cause__ is None
