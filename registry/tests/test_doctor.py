"""`registry doctor`: what it finds, and that it leaves nothing."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from storagedriver_registry.cli import app
from storagedriver_registry.configuration import load_configuration
from storagedriver_registry.doctor.sharing import examine_sharing
from typer.testing import CliRunner, Result

from registry.tests.processes import free_port
from registry.tests.receivers import Answering, answering
from registry.tests.serving import Certificates, served
from servers.valkey import Valkey
from storagedriver_core import Capabilities


def doctor(
    folder: Path, sections: Mapping[str, Any], *options: str
) -> tuple[Result, dict[str, dict[str, Any]]]:
    """Give what it says with --json, by step."""
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config = folder / "config.yml"
    everything = {"storage": storage, "http": {"addr": f"127.0.0.1:{free_port()}"}, **sections}
    config.write_text(yaml.safe_dump(everything))
    done = CliRunner().invoke(app, ["doctor", str(config), "--json", *options])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    return done, {finding["step"]: finding for finding in findings}


def failed(findings: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {
        step: finding["detail"]
        for step, finding in findings.items()
        if finding["result"] == "failed"
    }


def endpoint(receiver: Answering) -> dict[str, Any]:
    one = {"name": "listener", "url": receiver.url, "headers": {"X-Key": ["confidential"]}}
    return {"endpoints": [one]}


def test_all_is_well(tmp_path: Path, valkey: Valkey) -> None:
    certificates = Certificates(tmp_path)
    users = tmp_path / "users"
    users.write_text("")
    with answering() as receiver:
        there = f"127.0.0.1:{receiver.server_port}"
        done, findings = doctor(
            tmp_path,
            {
                "http": {
                    "addr": f"127.0.0.1:{free_port()}",
                    "tls": certificates.section(),
                    "debug": {"addr": f"127.0.0.1:{free_port()}"},
                },
                "auth": {"htpasswd": {"realm": "r", "path": str(users)}},
                "redis": {"addr": valkey.url.removeprefix("redis://"), "readtimeout": "60s"},
                "storage": {
                    "filesystem": {"rootdirectory": str(tmp_path / "data")},
                    "cache": {"blobdescriptor": "redis"},
                },
                "notifications": endpoint(receiver),
                "health": {"tcp": [{"addr": there}], "storagedriver": {"enabled": True}},
            },
        )
        # It is connected to, and sent nothing: that would be taken for an event.
        assert receiver.requests == []
    assert failed(findings) == {}
    assert done.exit_code == 0
    ok = {step for step, finding in findings.items() if finding["result"] == "ok"}
    assert {
        *("configuration", "storage: open", "storage: write", "storage: upload", "address"),
        *("debug address", "TLS", "authentication", "redis", "notifications listener"),
        f"health {there}",
    } <= ok
    assert "storage: configuration" not in findings
    assert findings["notifications queue"]["detail"].endswith("is not there yet")
    assert findings["TLS"]["detail"].startswith("the certificate holds until ")
    assert "confidential" not in done.output
    # Nothing is left but what the driver itself has made.
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {".storagedriver"}


def test_each_thing_that_is_missing_is_told_and_the_others_are_tried(tmp_path: Path) -> None:
    gone, file = f"127.0.0.1:{free_port()}", tmp_path / "down"
    file.touch()
    key = tmp_path / "key.pem"
    done, findings = doctor(
        tmp_path,
        {
            "http": {
                "addr": f"127.0.0.1:{free_port()}",
                "tls": {"certificate": str(tmp_path / "none.pem"), "key": str(key)},
            },
            "auth": {
                "token": {
                    "realm": "https://t.example/",
                    "service": "s",
                    "issuer": "i",
                    "jwks": str(tmp_path / "none.json"),
                }
            },
            "redis": {"addr": gone},
            "storage": {
                "filesystem": {"rootdirectory": str(tmp_path / "data")},
                "cache": {"blobdescriptor": "redis"},
            },
            "notifications": {"endpoints": [{"name": "listener", "url": f"http://{gone}/"}]},
            "health": {"file": [{"file": str(file)}], "tcp": [{"addr": gone}]},
        },
    )
    assert done.exit_code == 1
    told = failed(findings)
    assert set(told) == {
        *("TLS", "authentication", "redis", "notifications listener"),
        *(f"health {file}", f"health {gone}"),
    }
    assert "none.pem" in told["TLS"]
    assert "none.json" in told["authentication"]
    assert told[f"health {file}"] == "file exists"
    assert findings["storage: write"]["result"] == "ok"


def test_storage_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    done, findings = doctor(tmp_path, {})
    assert done.exit_code == 1
    assert set(failed(findings)) == {"storage: open"}
    assert str(tmp_path / "data") in findings["storage: open"]["detail"]
    assert findings["address"]["result"] == "ok"


def test_credentials_reach_the_storage_as_they_are_and_are_not_shown(tmp_path: Path) -> None:
    parameters = {
        **{"bucket": "bucket", "region": "us-east-1", "accesskey": "me"},
        "secretkey": "confidential$${x}$",
        "regionendpoint": f"http://127.0.0.1:{free_port()}",
    }
    done, findings = doctor(tmp_path, {"storage": {"s3": parameters}}, "--timeout", "60")
    assert done.exit_code == 1
    # What is wrong is the store that is not there, and no more.
    assert "storage: configuration" not in findings
    assert findings["storage: check"]["error"] == "UnavailableError"
    assert "confidential" not in done.output


def test_wrong_configuration_is_told(tmp_path: Path) -> None:
    done, findings = doctor(tmp_path, {"htp": {}, "lgo": {}})
    assert done.exit_code == 1
    (finding,) = findings.values()
    assert finding["step"] == "configuration"
    assert "htp" in finding["detail"]
    assert len(finding["help"]) == 1


def test_read_only_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / ".notifications").mkdir(parents=True)
    with answering() as receiver:
        sections = {"notifications": endpoint(receiver)}
        done, findings = doctor(tmp_path, sections, "--read-only")
    assert done.exit_code == 0
    for step in ("storage: write", "storage: upload", "notifications queue"):
        assert findings[step]["result"] == "left out"
    assert list((tmp_path / "data" / ".notifications").iterdir()) == []


def test_server_at_work_is_no_fault_and_its_queue_is_told_of(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}/"
    notifications = {"endpoints": [{"name": "listener", "url": gone}]}
    with served(tmp_path, notifications=notifications) as server:
        addr = f"127.0.0.1:{server.port}"
        sections = {"http": {"addr": addr}, "notifications": notifications}
        done, findings = doctor(tmp_path, sections)
        assert findings["address"]["result"] == "left out"
        assert "a server may be at work" in findings["address"]["detail"]
        assert findings["notifications queue"]["detail"].endswith("nothing waits")
        assert server.stop() == 0
    assert done.exit_code == 1  # the receiver is down


def test_certificate_that_has_ended_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = Certificates(tmp_path)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]  # no Later is wanted
            return datetime.datetime.now(tz) + datetime.timedelta(days=2)

    monkeypatch.setattr("storagedriver_registry.doctor.others.datetime", Later)
    http = {"addr": f"127.0.0.1:{free_port()}", "tls": certificates.section()}
    done, findings = doctor(tmp_path, {"http": http})
    assert done.exit_code == 1
    assert set(failed(findings)) == {"TLS"}


def test_people_are_told_in_lines(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    http = {"addr": f"127.0.0.1:{free_port()}"}
    sections = {"storage": storage, "http": http, "log": {"hooks": [{"type": "mail"}]}}
    config.write_text(yaml.safe_dump(sections))
    done = CliRunner().invoke(app, ["doctor", str(config)])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ok", "configuration", f"{config}:", "driver", "'filesystem'"]
    assert "log.hooks: not acted on" in lines[1]
    assert any(line.startswith("ok        storage: write") for line in lines)
    assert any(line.startswith("left out  storage: signed URL") for line in lines)


def needs(**storage: Any) -> tuple[str, ...]:
    """Give what several nodes need, by the doctor."""
    section = storage.pop("storage", {})
    configuration = load_configuration({"version": 0.1, "storage": {"inmemory": {}, **section}})
    shared = {"shared_between_processes": True, "put_if_absent": True, "put_if_match": True}
    finding = examine_sharing(configuration.settings, Capabilities(**(shared | storage)))
    assert finding.result == "ok"
    return finding.help


def test_what_several_nodes_need_is_told() -> None:
    assert needs() == ()
    for capability, told in (
        ({"put_if_absent": False}, "http.secret is not set"),
        ({"put_if_match": False}, "let a proxy send each upload session to one server"),
        ({"local_path": True}, "on one machine only"),
    ):
        [said] = needs(**capability)
        assert told in said
    [said] = needs(storage={"cache": {"blobdescriptor": "inmemory", "max_stale": "7s"}})
    assert "for 7 s" in said
    assert needs(storage={"cache": {"blobdescriptor": "inmemory", "max_stale": 0}}) == ()


def test_nodes_that_cannot_share_are_told(tmp_path: Path) -> None:
    _, findings = doctor(tmp_path, {"storage": {"inmemory": {}}})
    assert findings["several nodes"]["result"] == "left out"
    http = {"addr": f"127.0.0.1:{free_port()}", "secret": "confidential"}
    _, findings = doctor(tmp_path, {"http": http})
    assert any("the same text on each" in said for said in findings["several nodes"]["help"])
