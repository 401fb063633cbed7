"""Parameters: their spellings, what they refuse, and what they become."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from storagedriver_s3._bucket import Bucket
from storagedriver_s3._client import _client_options
from storagedriver_s3._config import MIN_PART_SIZE, S3Config
from storagedriver_s3._driver import MAX_SINGLE_COPY, S3Driver
from storagedriver_s3._keys import Keys
from storagedriver_s3._presets import PRESETS

from storagedriver_core import ConfigurationError, load_config

# Source: distribution's documentation of its S3 driver, "Parameters".
DISTRIBUTION = {
    "accesskey": "AKIAEXAMPLE",
    "secretkey": "example",
    "region": "us-west-1",
    "regionendpoint": "minio.example:9000",
    "forcepathstyle": "true",
    "accelerate": False,
    "bucket": "bucketname",
    "encrypt": True,
    "keyid": "mykeyid",
    "secure": "false",
    "v4auth": True,
    "chunksize": "5242880",
    "multipartcopychunksize": 33554432,
    "multipartcopymaxconcurrency": 100,
    "multipartcopythresholdsize": 33554432,
    "rootdirectory": "/s3/object/name/prefix",
    "usedualstack": False,
    "usefipsendpoint": False,
    "loglevel": "debug",
    "useragent": "mine/1",
    "objectacl": "bucket-owner-full-control",
    "storageclass": "standard_ia",
    "skipverify": False,
    "sessiontoken": "",
}


def test_parameters_of_distribution_work_as_they_are() -> None:
    config = S3Config.model_validate(DISTRIBUTION)
    assert config.endpoint_url == "http://minio.example:9000"
    assert config.is_path_style
    assert config.access_key is not None
    assert config.access_key.get_secret_value() == "AKIAEXAMPLE"
    assert config.session_token is None
    bucket = Bucket(config)
    assert bucket.keys.key("/a/b") == "s3/object/name/prefix/a/b"
    assert bucket.protection == {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "mykeyid",
        "StorageClass": "STANDARD_IA",
        "ACL": "bucket-owner-full-control",
    }
    assert S3Driver(config).capabilities.max_single_copy == 33554432
    assert str(_client_options(config)["user_agent"]).endswith(" mine/1")


def test_each_spelling_of_distribution_has_one_of_ours() -> None:
    for spelling in DISTRIBUTION:
        known = [
            name
            for name, field in S3Config.model_fields.items()
            if spelling == name or spelling in getattr(field.validation_alias, "choices", ())
        ]
        assert len(known) == 1, spelling


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"bucket": ""}, "bucket"),
        ({"access_key": "a"}, "come together"),
        ({"session_token": "t"}, "session_token"),
        ({"anonymous": True, "profile": "p"}, "anonymous"),
        ({"root_directory": "a//b"}, "root_directory"),
        ({"preset": "b2", "acl": "public-read"}, "acl"),
        ({"preset": "r2", "encrypt": True}, "encrypt"),
        ({"preset": "seaweedfs", "storage_class": "standard_ia"}, "storage_class"),
        ({"v4auth": False}, "v4auth"),
        ({"chunksize": 1024}, "chunksize"),
        ({"preset": "guess"}, "preset"),
        ({"endpoint": "http://me:hidden@minio.example"}, "endpoint"),
        ({"endpoint": "minio.example:99999"}, "endpoint"),
        ({"public_endpoint": "http://a b"}, "public_endpoint"),
    ],
)
def test_wrong_parameter_is_named(parameters: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        S3Config.model_validate({"bucket": "bucket", **parameters})


@pytest.mark.parametrize(
    "name", ["", "ab", "x" * 256, "a/b", "s3://layers", "two words", "layers\n", "größe", "a?b"]
)
def test_bucket_that_no_store_takes_is_refused_where_it_stands(name: str, tmp_path: Path) -> None:
    file = tmp_path / "layers.yml"
    file.write_text(
        f"storage:\n  driver: s3\n  parameters:\n    bucket: {json.dumps(name)}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationError) as caught:
        load_config(file)
    where, key, what = str(caught.value).split(": ", 2)
    assert (where, key) == (f"{file}:4", "storage.parameters.bucket")
    assert what == "a bucket's name is 3 to 255 letters, digits, '.', '-' and '_'"


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        # Old ones of Amazon's, and those of Ceph and others.
        "Old_Bucket.1",
        "x" * 255,
        "192.168.5.4",
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/layers",
        "arn:aws:s3-outposts:eu-west-1:123456789012:outpost:op-1:accesspoint:layers",
    ],
)
def test_bucket_that_some_store_takes_is_taken(name: str) -> None:
    assert S3Config(bucket=name).bucket == name


def test_secrets_show_nowhere() -> None:
    config = S3Config.model_validate(DISTRIBUTION | {"sessiontoken": "session!"})
    driver = S3Driver(config)
    for text in (repr(config), str(config), config.model_dump_json(), repr(driver)):
        assert "example!" not in text and "session!" not in text
        assert "'example'" not in text and "AKIAEXAMPLE" not in text


def test_payload_is_signed_where_nothing_else_protects_it() -> None:
    def signs(**parameters: object) -> object:
        config = S3Config.model_validate({"bucket": "bucket", **parameters})
        return _client_options(config)["s3"]["payload_signing_enabled"]

    assert signs() is False
    assert signs(endpoint="http://x") is True
    assert signs(endpoint="https://x") is False
    assert signs(endpoint="http://x", payload_signing=False) is False
    assert signs(payload_signing=True) is True


@pytest.mark.parametrize(
    ("parameters", "signs_put"),
    [
        ({}, True),
        ({"objectacl": "private", "storageclass": "STANDARD"}, True),
        ({"encrypt": True}, False),
        ({"encrypt": True, "keyid": "k"}, False),
        ({"storageclass": "STANDARD_IA"}, False),
        ({"objectacl": "public-read"}, False),
        ({"anonymous": True}, False),
    ],
)
def test_no_url_takes_objects_that_are_not_protected_as_configured(
    parameters: dict[str, object], signs_put: bool
) -> None:
    declared = S3Driver(S3Config.model_validate({"bucket": "bucket", **parameters})).capabilities
    assert declared.sign_put == declared.sign_put_with_content_type == signs_put
    assert declared.sign_get == declared.sign_head == ("anonymous" not in parameters)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_makes_capabilities_that_fit(name: str) -> None:
    config = S3Config.model_validate({"bucket": "bucket", "preset": name, "root_directory": "r"})
    traits, declared = PRESETS[config.preset], S3Driver(config).capabilities
    assert declared.equal_parts == traits.equal_parts
    assert declared.put_if_absent == traits.put_if_absent
    assert declared.list_uploads == traits.list_uploads
    assert declared.ordered_walk == declared.walk_with_start_after == traits.ordered
    assert declared.max_path_bytes == traits.max_key_bytes - 1
    options = _client_options(config)
    assert options["request_checksum_calculation"] == traits.checksums
    assert options["s3"]["addressing_style"] == ("path" if traits.path_style else "auto")


def test_least_part_is_amazons_unless_the_store_has_another() -> None:
    for given, least in (({}, MIN_PART_SIZE), ({"min_part_size": 65536}, 65536)):
        config = S3Config.model_validate({"bucket": "bucket", **given})
        assert S3Driver(config).capabilities.min_part_size == least


def test_preset_is_never_guessed() -> None:
    config = S3Config(bucket="bucket", endpoint="https://x.r2.cloudflarestorage.com")
    assert config.preset == "aws"
    assert S3Driver(config).capabilities.max_single_copy == MAX_SINGLE_COPY


def test_keys_are_paths_below_the_root_without_a_first_slash() -> None:
    for root, first in (("", ""), ("/", ""), ("a", "a/"), ("/a/b/", "a/b/")):
        keys = Keys(root, 1024)
        assert keys.key("/x/y") == f"{first}x/y"
        assert keys.path(f"{first}x/y") == "/x/y"
        assert keys.prefix("/") == first
        assert keys.prefix("/x") == f"{first}x/"
        assert keys.max_path_bytes == 1025 - len(first)


def test_no_sdk_is_imported_until_a_driver_is_made() -> None:
    code = (
        "import json, sys\n"
        "from storagedriver_core import driver_schema, load_config\n"
        "import storagedriver_s3.hooks\n"
        "driver_schema('s3')\n"
        "load_config({'storage': {'driver': 's3', 'parameters': {'bucket': 'bucket'}}})\n"
        "before = sorted(sys.modules)\n"
        "from storagedriver_core import open_storage\n"
        "open_storage({'storage': {'driver': 's3', 'parameters': {'bucket': 'bucket'}}})\n"
        "print(json.dumps([before, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    before, after = (
        {name.partition(".")[0] for name in modules} for modules in json.loads(done.stdout)
    )
    sdk = {"s3fs", "aiobotocore", "botocore", "aiohttp", "fsspec"}
    assert not before & sdk
    assert sdk <= after
