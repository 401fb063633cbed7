"""From records to lines: `text`, `json` and `logstash`, with the names that logrus has.

Source: distribution's documentation, "Configuring a registry", section `log`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

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
        self._write, self._names = _FORMS[form]
        self._fields = fields
        self._report_caller = report_caller

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        own, others = self._own(record), self._others(record)
        for name, value in others.items():
            # As logrus does it: what a line is by itself cannot be overwritten.
            own[f"fields.{name}" if name in own else name] = value
        return self._write(own)

    def _own(self, record: logging.LogRecord) -> dict[str, object]:
        time, level, message = self._names
        text = record.msg.text if isinstance(record.msg, Event) else record.getMessage()
        own: dict[str, object] = {
            time: _rfc3339(record.created),
            level: _LEVEL_NAMES.get(record.levelno, record.levelname.lower()),
            message: text,
        }
        if self._write is _logstash_line:
            own["@version"] = "1"
        return own

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


def _text_line(fields: Mapping[str, object]) -> str:
    return pairs(fields)


def _json_line(fields: Mapping[str, object]) -> str:
    return json.dumps(fields, default=str, ensure_ascii=False)


def _logstash_line(fields: Mapping[str, object]) -> str:
    return _json_line(fields)


def _rfc3339(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


_Names = tuple[str, str, str]
_LOGRUS: _Names = ("time", "level", "msg")
_FORMS: Mapping[str, tuple[Callable[[Mapping[str, object]], str], _Names]] = {
    "text": (_text_line, _LOGRUS),
    "json": (_json_line, _LOGRUS),
    "logstash": (_logstash_line, ("@timestamp", "level", "message")),
}
