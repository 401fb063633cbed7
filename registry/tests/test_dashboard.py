"""Grafana's dashboard of `docs/examples` asks for nothing that a real server does not expose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from registry.tests.client import Repository
from registry.tests.processes import free_port
from registry.tests.receivers import answering
from registry.tests.serving import eventually, served
from registry.tests.test_notifications import section

DOCS = Path(__file__).resolve().parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "examples" / "grafana-dashboard.json").read_text())
[_GROUP] = yaml.safe_load((DOCS / "examples" / "deploy" / "alerts.yml").read_text())["groups"]
ALERTS = _GROUP["rules"]
# Prometheus adds these.
ADDED = {"job", "instance"}
WORDS = {"by", "count", "histogram_quantile", "increase", "max", "rate", "sum"}


class Matcher(NamedTuple):
    """What a selector asks of a label."""

    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        is_equal = found == self.value
        if "~" in self.operator:
            is_equal = re.fullmatch(self.value, found) is not None
        return is_equal == (self.operator in ("=", "=~"))


class Selector(NamedTuple):
    """A metric, and what is asked of its labels."""

    metric: str
    matchers: Sequence[Matcher]


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def selectors(expression: str) -> list[Selector]:
    found = re.findall(r"(\w+)\{([^}]*)\}", expression)
    return [
        Selector(
            metric, [Matcher(*one) for one in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers)]
        )
        for metric, matchers in found
    ]


def grouped(expression: str) -> set[str]:
    """Give the labels that it groups by."""
    found = re.findall(r"\bby \(([^)]*)\)", expression)
    return {label.strip() for labels in found for label in labels.split(",")}


Series = dict[str, list[dict[str, str]]]


def series_of(debug: str) -> Series:
    """Give what a debug server shows."""
    found: Series = {}
    for family in text_string_to_metric_families(httpx.get(f"{debug}/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """Give the labels of every series of servers that have done all that is counted."""
    folders = [tmp_path_factory.mktemp(name) for name in ("exposed", "proxy")]
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    http, of_proxy = (
        {"debug": {"addr": f"127.0.0.1:{port}", "prometheus": {"enabled": True}}} for port in ports
    )
    storage = {
        "filesystem": {"rootdirectory": str(folders[0] / "data")},
        "cache": {"blobdescriptor": "inmemory"},
    }
    with answering() as receiver:
        receiver.statuses = [500]
        notifications = section(receiver.url)
        gone = {"name": "gone", "url": f"http://127.0.0.1:{free_port()}/"}
        notifications["endpoints"].append(gone)
        notifications["queue"] = {"most": 1}
        with served(folders[0], http=http, storage=storage, notifications=notifications) as server:
            do_all(server.url, urls[0])
            status = {"code": "200 OK", "endpoint": "listener"}
            found = eventually(
                lambda: series_of(urls[0]),
                lambda known: status in known.get("registry_notifications_status_total", ()),
            )
            proxy = {"remoteurl": server.url}
            # From its start on it shows all that it counts.
            with served(folders[1], http=of_proxy, proxy=proxy):
                return series_of(urls[1]) | found


def do_all(url: str, debug: str) -> None:
    """Do what is counted, as far as a server does it when it is asked."""
    with httpx.Client(base_url=url) as http:
        repository = Repository(http, "a")
        repository.push_image("v1")
        assert http.get(repository.url("manifests/v1")).status_code == 200
        assert http.get(repository.url("manifests/none")).status_code == 404
        httpx.post(f"{debug}/debug/health/down")
        assert http.get("/v2/").status_code == 503
        httpx.post(f"{debug}/debug/health/up")


@pytest.mark.parametrize("expression", list(expressions()))
def test_expression_finds_series(expression: str, exposed: Series) -> None:
    found = selectors(expression)
    assert found
    known: set[str] = set()
    for metric, matchers in found:
        own = [matcher for matcher in matchers if matcher.label not in ADDED]
        assert {"job", "instance"} <= {matcher.label for matcher in matchers}
        assert metric in exposed
        labels = set().union(*exposed[metric])
        assert {matcher.label for matcher in own} <= labels
        # That something is not there is well.
        wanted = [matcher for matcher in own if not matcher.operator.startswith("!")]
        assert any(all(one.fits(series) for one in wanted) for series in exposed[metric])
        known |= labels
    assert grouped(expression) <= known
    # And there is nothing else in it than these, and what is done to them.
    rest = re.sub(r"\w+\{[^}]*\}|\[\$__rate_interval\]|\bby \([^)]*\)", "", expression)
    assert set(re.findall(r"[a-z_]\w*", rest)) <= WORDS
    assert rest.count("(") == rest.count(")")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_looks_at_series_that_there_are(alert: dict[str, Any], exposed: Series) -> None:
    found = selectors(alert["expr"])
    assert found
    known = {"instance"}
    for metric, matchers in found:
        labels = set().union(*exposed[metric])
        assert {matcher.label for matcher in matchers} <= labels
        known |= labels
    told = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    assert told <= grouped(alert["expr"]) <= known


def test_each_metric_of_the_list_is_shown() -> None:
    listed = set(re.findall(r"^\| `(\w+)", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    shown = {one.metric for expression in expressions() for one in selectors(expression)}
    assert listed <= {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in shown} | shown


def test_panels_are_told_apart_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
