"""From records to lines: `text`, `json` and `logstash`, with the names that logrus has.

Source: distribution's documentation, "Configuring a registry", section `log`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from storagedriver_registry.logs.events import Event, Fields, current_request, pairs

_LEVEL_NAMES = {
    logging.CRITICAL: "fatal",
    logging.ERROR: "error",
    logging.WARNING: "warning",
    logging.INFO: "info",
    logging.DEBUG: "debug",
}


class FieldsFormatter(logging.Formatter):
    """Writes a record as a line of fields.

    Args:
        form: `text`, `json` or `logstash`.
        fields: Fields of every line.
        report_caller: Whether a line says where in the program it comes from.
    """

    def __init__(self, form: str, fields: Fields, *, report_caller: bool = False) -> None:
        super().__init__()
        self._form = _FORMS[form]
        self._fields = fields
        self._report_caller = report_caller

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        own, others = self._own(record), self._others(record)
        for name, value in others.items():
            # As logrus does it: what a line is by itself cannot be overwritten.
            own[f"fields.{name}" if name in own else name] = value
        return self._form.write(own)

    def _own(self, record: logging.LogRecord) -> dict[str, object]:
        form = self._form
        text = record.msg.text if isinstance(record.msg, Event) else record.getMessage()
        return {
            form.time: _rfc3339(record.created),
            form.level: _LEVEL_NAMES.get(record.levelno, record.levelname.lower()),
            form.message: text,
            **form.constants,
        }

    def _others(self, record: logging.LogRecord) -> dict[str, object]:
        others = dict(self._fields)
        if isinstance(record.msg, Event):
            others.update(record.msg.fields)
        else:
            others["logger"] = record.name
            request = current_request.get()
            if request is not None:
                others.update(request.fields())
        if self._report_caller:
            others["func"] = record.funcName or ""
            others["file"] = f"{record.pathname}:{record.lineno}"
        if record.exc_info:
            # In the line, not below it: a reader of lines keeps it with what it belongs to.
            others["exception"] = self.formatException(record.exc_info)
        return others


def _json_line(fields: Fields) -> str:
    return json.dumps(fields, default=str, ensure_ascii=False)


def _rfc3339(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


class _Form(NamedTuple):
    """A form of lines: how fields become one, and what those are called that every line has."""

    write: Callable[[Fields], str]
    time: str = "time"
    level: str = "level"
    message: str = "msg"
    constants: Fields = MappingProxyType({})


_FORMS: Mapping[str, _Form] = {
    "text": _Form(pairs),
    "json": _Form(_json_line),
    "logstash": _Form(_json_line, "@timestamp", "level", "message", {"@version": "1"}),
}
