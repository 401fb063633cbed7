"""The section `log`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator

from storagedriver_registry.configuration.models.base import AnyCase, Section

LogLevel = Annotated[Literal["error", "warn", "info", "debug"], AnyCase]


class AccessLogSettings(Section):
    """The line of each request.

    Attributes:
        disabled: Whether there is none.
    """

    disabled: bool = False


class SmtpSettings(Section):
    """A mail server.

    Attributes:
        addr: Host and port.
        username: As whom.
        password: Of the user.
        insecure: Believe any certificate.
    """

    addr: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    insecure: bool = False


class MailSettings(Section):
    """What a hook of the type `mail` sends, and where.

    Attributes:
        smtp: The mail server.
        from_: Sender; `from` in the file.
        to: Receivers.
    """

    # `from` is a word of the language, and nothing else is a key.
    model_config = ConfigDict(populate_by_name=False)

    smtp: SmtpSettings = SmtpSettings()
    from_: str | None = Field(None, alias="from")
    to: tuple[str, ...] = ()


class LogHookSettings(Section):
    """What is done with some lines of the log.

    Attributes:
        disabled: Whether it is not done.
        type: Only `mail`, in distribution.
        levels: Levels of the lines.
        options: What is sent where.
    """

    disabled: bool = False
    type: str | None = None
    levels: tuple[str, ...] = ()
    options: MailSettings = MailSettings()


class LogSettings(Section):
    """What is logged.

    Attributes:
        level: The least severity.
        formatter: How a line is written.
        fields: What every line has besides.
        accesslog: The line of each request.
        hooks: What is done with some lines.
        reportcaller: Say which function has logged a line.
    """

    level: LogLevel = "info"
    formatter: Literal["text", "json", "logstash"] = "text"
    fields: dict[str, Any] = Field(default_factory=dict)
    accesslog: AccessLogSettings = AccessLogSettings()
    hooks: tuple[LogHookSettings, ...] = ()
    reportcaller: bool = False

    @field_validator("fields")
    @classmethod
    def _have_values(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None}
