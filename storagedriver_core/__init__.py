"""storagedriver: one small async contract for content storage, and what every driver needs."""

# General layout. A module imports only from those above it:
#
#   _errors                             the error tree
#   _types, _capabilities, _paths       what calls are given and return; the path rules
#   _durations, _service_url            what configurations spell: spans of time, URLs
#   _client_address                     who a redirect URL is for
#   _driver, _cuts                      the contract that authors fulfil, and a help for uploads
#   _body                               what can be put
#   _hashing, _hash_queue, _context,
#   _token, _sidecars, _parts, _shield,
#   _uploader, _commit, _writer         resumable writers over the upload calls
#   _reader                             readers
#   _threads, _blocking_driver,
#   _blocking                           the contract for authors with a blocking SDK
#   _at_once, _uploads, _copying,
#   _putting, _storage, _transfer,
#   _mirroring                          the portable layer that users hold
#   _loop_thread, _sync_body,
#   _sync_streams, _sync                the same for callers without an event loop
#   middleware                          drivers around drivers
#   hookspecs, hooks,
#   _discovery, _plugins                what plugins register, and how they are found
#   _document, _yaml, _model_keys,
#   _environment, _variables,
#   _storage_model, _showing,
#   _sizes, examination,
#   _storage_config,
#   _loading, _config                   YAML to a Storage
#   cli                                 the `storagedriver` command; nothing here imports it
#
# Everything public is exported here; drivers, the testsuite and the registry import nothing else.

from __future__ import annotations

from storagedriver_core._at_once import AT_ONCE, at_once
from storagedriver_core._blocking import BlockingStorageDriver
from storagedriver_core._blocking_driver import BlockingDriver, BlockingReader
from storagedriver_core._body import Body
from storagedriver_core._capabilities import Capabilities
from storagedriver_core._client_address import client_address
from storagedriver_core._config import (
    driver_schema,
    effective_settings,
    load_config,
    open_storage,
    read_document,
    set_by_variable,
    validate_document,
)
from storagedriver_core._cuts import UploadCuts
from storagedriver_core._discovery import (
    Discovery,
    PluginProblem,
    PluginProject,
    PluginSource,
    PluginSpec,
    import_factory,
)
from storagedriver_core._document import Document, Setting
from storagedriver_core._driver import ByteStream, StorageDriver
from storagedriver_core._durations import parse_duration
from storagedriver_core._errors import (
    AlreadyExistsError,
    AuthenticationError,
    ChecksumMismatchError,
    ClosedError,
    ConfigurationError,
    ConflictError,
    InvalidOffsetError,
    InvalidPathError,
    LimitExceededError,
    NoSpaceError,
    OperationTimeoutError,
    Outcome,
    PartialDeleteError,
    PathNotFoundError,
    PermissionDeniedError,
    StorageDriverError,
    ThrottledError,
    UnavailableError,
    UnsupportedMethodError,
    UploadNotFoundError,
)
from storagedriver_core._hashing import Hasher, new_hasher
from storagedriver_core._loop_thread import LoopIterator, LoopThread
from storagedriver_core._parts import DEFAULT_PART_SIZE, PartPlan, plan_parts
from storagedriver_core._paths import (
    INTERNAL_COMPONENT,
    child_prefix,
    is_internal,
    parent,
    path_checker,
)
from storagedriver_core._plugins import (
    PluginRegistry,
    close_match,
    discover_plugins,
    load_plugins,
)
from storagedriver_core._reader import BytesStream, FileReader, byte_range
from storagedriver_core._service_url import check_service_url
from storagedriver_core._shield import finish, undo_if_cancelled
from storagedriver_core._storage import Storage
from storagedriver_core._storage_config import StorageConfig
from storagedriver_core._sync import SyncStorage
from storagedriver_core._sync_streams import SyncReader, SyncWriter
from storagedriver_core._token import UploadToken
from storagedriver_core._transfer import TransferReport, transfer
from storagedriver_core._types import (
    Buffer,
    CompleteOptions,
    Conditions,
    DeleteReport,
    FileInfo,
    ListOptions,
    OperationEvent,
    Part,
    PutOptions,
    ReadOptions,
    SignedMethod,
    Upload,
    UploadInfo,
    UploadOptions,
    UploadState,
)
from storagedriver_core._writer import FileWriter, WriterState
from storagedriver_core.examination import Finding
from storagedriver_core.hookspecs import (
    API_VERSION,
    CommandSpec,
    DriverSpec,
    HarnessSpec,
    MiddlewareSpec,
    hookimpl,
)
from storagedriver_core.middleware._wrapper import DriverMiddleware

__all__ = [
    "API_VERSION",
    "AT_ONCE",
    "DEFAULT_PART_SIZE",
    "INTERNAL_COMPONENT",
    "AlreadyExistsError",
    "AuthenticationError",
    "BlockingDriver",
    "BlockingReader",
    "BlockingStorageDriver",
    "Body",
    "Buffer",
    "ByteStream",
    "BytesStream",
    "Capabilities",
    "ChecksumMismatchError",
    "ClosedError",
    "CommandSpec",
    "CompleteOptions",
    "Conditions",
    "ConfigurationError",
    "ConflictError",
    "DeleteReport",
    "Discovery",
    "Document",
    "DriverMiddleware",
    "DriverSpec",
    "FileInfo",
    "FileReader",
    "FileWriter",
    "Finding",
    "HarnessSpec",
    "Hasher",
    "InvalidOffsetError",
    "InvalidPathError",
    "LimitExceededError",
    "ListOptions",
    "LoopIterator",
    "LoopThread",
    "MiddlewareSpec",
    "NoSpaceError",
    "OperationEvent",
    "OperationTimeoutError",
    "Outcome",
    "Part",
    "PartPlan",
    "PartialDeleteError",
    "PathNotFoundError",
    "PermissionDeniedError",
    "PluginProblem",
    "PluginProject",
    "PluginRegistry",
    "PluginSource",
    "PluginSpec",
    "PutOptions",
    "ReadOptions",
    "Setting",
    "SignedMethod",
    "Storage",
    "StorageConfig",
    "StorageDriver",
    "StorageDriverError",
    "SyncReader",
    "SyncStorage",
    "SyncWriter",
    "ThrottledError",
    "TransferReport",
    "UnavailableError",
    "UnsupportedMethodError",
    "Upload",
    "UploadCuts",
    "UploadInfo",
    "UploadNotFoundError",
    "UploadOptions",
    "UploadState",
    "UploadToken",
    "WriterState",
    "at_once",
    "byte_range",
    "check_service_url",
    "child_prefix",
    "client_address",
    "close_match",
    "discover_plugins",
    "driver_schema",
    "effective_settings",
    "finish",
    "hookimpl",
    "import_factory",
    "is_internal",
    "load_config",
    "load_plugins",
    "new_hasher",
    "open_storage",
    "parent",
    "parse_duration",
    "path_checker",
    "plan_parts",
    "read_document",
    "set_by_variable",
    "transfer",
    "undo_if_cancelled",
    "validate_document",
]
