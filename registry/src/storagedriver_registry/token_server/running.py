"""A token server, ready to be served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from storagedriver_core import ConfigurationError
from storagedriver_registry.auth.htpasswd_file import HtpasswdFile
from storagedriver_registry.logs import set_up_logging
from storagedriver_registry.serving import ServingOptions, serve_application
from storagedriver_registry.token_server.app import TOKEN_PATH, TokenServer
from storagedriver_registry.token_server.settings import TokenServerSettings, load_settings
from storagedriver_registry.token_server.signing import Signer, load_or_make_key


def make_token_server(settings: TokenServerSettings) -> TokenServer:
    """Make the application; its key is made if there is none, and published.

    Raises:
        ConfigurationError: A file is missing or wrong, or cannot be written.
    """
    if not Path(settings.users).is_file():
        raise ConfigurationError(f"users: {settings.users}: no such file; see `registry user add`")
    key = load_or_make_key(Path(settings.key), settings.algorithm)
    signer = Signer(key, settings.algorithm, settings.key_id)
    if settings.jwks:
        signer.publish_jwks(Path(settings.jwks))
    if settings.certificate:
        signer.publish_certificate(Path(settings.certificate), settings.issuer)
    return TokenServer(settings, HtpasswdFile(settings.users), settings.policy.build(), signer)


def serve_tokens(config: Path, announce: Callable[[str], None]) -> None:
    """Serve tokens until SIGTERM or SIGINT.

    Args:
        config: The configuration file.
        announce: Called with the URL of tokens once requests are answered.

    Raises:
        ConfigurationError: The configuration is wrong, or what it names.
        StartError: The address cannot be used.
    """
    settings = load_settings(config)
    set_up_logging(settings.log)
    serve_application(
        make_token_server(settings),
        ServingOptions(address=settings.address),
        lambda origin: announce(f"{origin}{TOKEN_PATH}"),
    )
