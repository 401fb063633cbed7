"""Resumable uploads over plain HTTP: the rules named in `_uploads_api`."""

from __future__ import annotations

import httpx
import pytest

from .conftest import Client

UNIT = 256 * 1024
DATA = bytes(range(256)) * (4 * UNIT // 256)


def test_chunks_are_acknowledged_and_the_last_makes_the_object(gcs: Client) -> None:
    session = gcs.open_session("a", {"metadata": {"k": "v"}, "contentType": "text/x"})
    first = gcs.send(session, f"bytes 0-{UNIT - 1}/*", DATA[:UNIT])
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert gcs.stat("a").status_code == 404
    end = 2 * UNIT + 5
    last = gcs.send(session, f"bytes {UNIT}-{end - 1}/{end}", DATA[UNIT:end])
    assert last.status_code == 200
    assert (last.json()["size"], last.json()["metadata"]) == (str(end), {"k": "v"})
    assert gcs.get("a").content == DATA[:end]


def test_status_query_has_no_range_before_the_first_byte(gcs: Client) -> None:
    session = gcs.open_session("a")
    for query in ("bytes */*", "bytes */100"):
        answer = gcs.send(session, query)
        assert answer.status_code == 308
        assert "Range" not in answer.headers
    assert gcs.send(session, "bytes */*", b"x").status_code == 400


def test_exact_multiple_ends_with_the_total(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.send(session, f"bytes 0-{UNIT - 1}/*", DATA[:UNIT])
    assert gcs.send(session, f"bytes */{UNIT + 1}").status_code == 308
    assert gcs.send(session, f"bytes */{UNIT}").status_code == 400  # the total has been told
    session = gcs.open_session("b")
    gcs.send(session, f"bytes 0-{UNIT - 1}/*", DATA[:UNIT])
    assert gcs.send(session, f"bytes */{UNIT}").status_code == 200
    empty = gcs.open_session("empty")
    assert gcs.send(empty, "bytes */0").json()["size"] == "0"


def test_whole_object_in_one_request_without_a_range(gcs: Client) -> None:
    session = gcs.open_session("a")
    assert gcs.http.put(session, content=DATA[:1000]).status_code == 200
    assert gcs.get("a").content == DATA[:1000]


@pytest.mark.parametrize("size", [1, UNIT - 1, UNIT + 1])
def test_chunk_that_is_not_the_last_is_a_multiple_of_256_kib(gcs: Client, size: int) -> None:
    session = gcs.open_session("a")
    assert gcs.send(session, f"bytes 0-{size - 1}/*", DATA[:size]).status_code == 400
    assert gcs.send(session, f"bytes 0-{size - 1}/{4 * UNIT}", DATA[:size]).status_code == 400
    assert "Range" not in gcs.send(session, "bytes */*").headers


@pytest.mark.parametrize(
    "content_range",
    [f"bytes 0-{UNIT}/*", f"bytes 1-{UNIT}/*", "bytes 0-/*", "octets 0-1/2", "bytes 5-4/*"],
)
def test_ranges_that_do_not_fit_the_body_are_400(gcs: Client, content_range: str) -> None:
    session = gcs.open_session("a")
    assert gcs.send(session, content_range, DATA[:UNIT]).status_code == 400


def test_persisted_bytes_are_not_overwritten(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.send(session, f"bytes 0-{2 * UNIT - 1}/*", DATA[: 2 * UNIT])
    other = bytes(2 * UNIT)
    answer = gcs.send(session, f"bytes {UNIT}-{3 * UNIT - 1}/*", other)
    assert answer.headers["Range"] == f"bytes=0-{3 * UNIT - 1}"
    gcs.send(session, f"bytes */{3 * UNIT}")
    assert gcs.get("a").content == DATA[: 2 * UNIT] + bytes(UNIT)


def test_server_may_keep_fewer_bytes_than_were_sent(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.server.control("keep", bytes=UNIT + 100)
    answer = gcs.send(session, f"bytes 0-{2 * UNIT - 1}/*", DATA[: 2 * UNIT])
    assert answer.headers["Range"] == f"bytes=0-{UNIT - 1}"
    gcs.server.control("keep", bytes=0)
    end = 2 * UNIT + 1
    answer = gcs.send(session, f"bytes {UNIT}-{end - 1}/{end}", DATA[UNIT:end])
    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert gcs.send(session, f"bytes {UNIT}-{end - 1}/{end}", DATA[UNIT:end]).status_code == 200
    assert gcs.get("a").content == DATA[:end]


def test_session_that_is_complete_answers_200_to_everything(gcs: Client) -> None:
    session = gcs.open_session("a")
    made = gcs.send(session, "bytes 0-4/5", b"first").json()
    for content_range, data in (("bytes */*", b""), ("bytes */5", b""), ("bytes 0-4/5", b"other")):
        again = gcs.send(session, content_range, data)
        assert (again.status_code, again.json()) == (200, made)
    gcs.call("DELETE", gcs.url("a"))
    assert gcs.send(session, "bytes */*").json() == made
    assert gcs.http.delete(session).status_code == 404


def test_cancelled_session_is_499_for_good(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.send(session, f"bytes 0-{UNIT - 1}/*", DATA[:UNIT])
    assert gcs.http.delete(session).status_code == 499
    assert gcs.send(session, "bytes */*").status_code == 499
    assert gcs.send(session, f"bytes */{UNIT}").status_code == 499
    assert gcs.stat("a").status_code == 404


@pytest.mark.parametrize("status", [404, 410])
def test_session_expires(gcs: Client, status: int) -> None:
    session = gcs.open_session("a")
    gcs.server.control("expire_sessions", status=status)
    assert gcs.send(session, "bytes */*").status_code == status
    assert gcs.http.delete(session).status_code == status


def test_session_lasts_a_week(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.server.control("clock", offset=7 * 24 * 3600 - 60)
    assert gcs.send(session, "bytes */*").status_code == 308
    gcs.server.control("clock", offset=7 * 24 * 3600 + 60)
    assert gcs.send(session, "bytes */*").status_code == 410


def test_unknown_session_is_404(gcs: Client) -> None:
    session = gcs.open_session("a")
    assert gcs.send(session[:-3], "bytes */*").status_code == 404


def test_preconditions_are_those_of_the_first_request(gcs: Client) -> None:
    session = gcs.open_session("a", ifGenerationMatch=0)
    gcs.put("a", b"came first")
    assert gcs.send(session, "bytes 0-4/5", b"later").status_code == 412
    assert gcs.get("a").content == b"came first"
    gcs.call("DELETE", gcs.url("a"))
    assert gcs.send(session, "bytes */5").status_code == 200


def test_final_request_may_add_metadata_and_a_checksum(gcs: Client) -> None:
    session = gcs.open_session("a", {"metadata": {"k": "v"}})
    headers = {"Content-Range": "bytes 0-2/3", "X-Goog-Hash": "crc32c=AAAAAA=="}
    assert gcs.http.put(session, content=b"abc", headers=headers).status_code == 400
    assert gcs.stat("a").status_code == 404
    headers = {"Content-Range": "bytes */3", "X-Goog-Meta-Two": "2"}
    assert gcs.http.put(session, headers=headers).json()["metadata"] == {"k": "v", "two": "2"}
    assert gcs.get("a").content == b"abc"


def test_lost_reply_comes_after_the_server_acted(gcs: Client) -> None:
    session = gcs.open_session("a")
    gcs.server.control("lose_reply", pattern="^PUT .*upload_id")
    with pytest.raises(httpx.TransportError):
        gcs.send(session, "bytes 0-2/3", b"abc")
    assert gcs.send(session, "bytes */*").status_code == 200


def test_connection_that_breaks_in_a_chunk_keeps_whole_units(gcs: Client) -> None:
    session = gcs.open_session("a")

    def broken() -> object:
        yield DATA[: UNIT + 1000]
        raise httpx.ReadError("broken")

    headers = {
        "Content-Range": f"bytes 0-{2 * UNIT - 1}/*",
        "Content-Length": str(2 * UNIT),
    }
    with pytest.raises(httpx.TransportError):
        gcs.http.put(session, content=broken(), headers=headers)  # type: ignore[arg-type]
    answer = gcs.send(session, "bytes */*")
    assert answer.headers.get("Range", f"bytes=0-{UNIT - 1}") == f"bytes=0-{UNIT - 1}"


def test_state_tells_open_sessions(gcs: Client) -> None:
    def mine() -> list[dict[str, object]]:
        state = gcs.server.control("state")
        return [each for each in state["sessions"] if each["bucket"] == gcs.bucket]

    session = gcs.open_session("a/b")
    assert mine() == [{"bucket": gcs.bucket, "name": "a/b", "persisted": 0}]
    gcs.http.delete(session)
    assert mine() == []
