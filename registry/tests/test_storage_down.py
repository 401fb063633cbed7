"""A store that is down: nothing but the base resource is answered, until it is there again."""

from __future__ import annotations

from pathlib import Path

import httpx

from registry.tests.client import error_codes, sha256
from registry.tests.processes import free_port
from registry.tests.serving import served


def test_server_whose_store_is_down_says_when_to_ask_again(tmp_path: Path) -> None:
    store = {
        "regionendpoint": f"http://127.0.0.1:{free_port()}",
        **{"bucket": "none", "region": "us-east-1", "accesskey": "a", "secretkey": "b"},
    }
    digest = sha256(b"data")
    with (
        served(tmp_path, log={"level": "error"}, storage={"s3": store}) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        assert http.get("/v2/").status_code == 200
        for method, path in (
            ("GET", "/v2/a/manifests/v1"),
            ("HEAD", f"/v2/a/blobs/{digest}"),
            ("GET", "/v2/a/tags/list"),
            ("GET", "/v2/_catalog"),
            ("POST", f"/v2/a/blobs/uploads/?digest={digest}"),
        ):
            response = http.request(method, path, content=b"data" if method == "POST" else None)
            assert response.status_code == 503, (method, path, response.text)
            assert response.headers["retry-after"] == "5"
            assert method == "HEAD" or error_codes(response) == ["UNAVAILABLE"]
        assert server.stop() == 0
