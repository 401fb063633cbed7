"""A driver with parameters of every kind, for tests of configuration. Never opened."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from storagedriver_core import DriverSpec, hookimpl


class Tls(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ca_file: str = ""
    verify: bool = True


class DemoParameters(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    root_directory: str
    region: str = "here"
    secret_key: SecretStr | None = None
    tokens: list[SecretStr] = []
    max_threads: int = Field(default=4, validation_alias=AliasChoices("max_threads", "maxthreads"))
    tls: Tls = Tls()
    headers: dict[str, str] = {}
    hosts: list[str] = []


@hookimpl
def storagedriver_register_drivers() -> list[DriverSpec]:
    return [
        DriverSpec(
            name="demo",
            summary="A driver of the tests",
            factory="storagedriver_core.tests.demo_plugin:nothing",
            parameters=DemoParameters,
        )
    ]
