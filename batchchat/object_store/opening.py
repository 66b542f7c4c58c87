"""Opens the store of a URL with obstore, by the credentials of the environment.

The usual variables are read, by obstore itself where it knows more of them: AWS_* (with AWS_ENDPOINT_URL for other
servers that speak S3, and the static keys of a profile in ~/.aws), GOOGLE_*, AZURE_*. An endpoint without TLS is
refused unless it is this machine, or AWS_ALLOW_HTTP, GOOGLE_ALLOW_HTTP or AZURE_ALLOW_HTTP is true.
"""

from __future__ import annotations

import configparser
import os
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from batchchat.errors import UsageError
from batchchat.object_store.failures import ObjectStoreError, StoreFailure
from batchchat.object_store.url import WEB, ObjectUrl, is_loopback
from batchchat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

__all__ = ["check_installed", "open_store"]

_REQUEST_S = 120.0
_CONNECT_TIMEOUT = "10s"
_MAX_RETRIES = 8
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""The variables that say where the credentials for S3 are: one of them is enough."""
_VARIABLES = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SKIP_SIGNATURE",
        "AWS_REQUEST_PAYER",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SERVER_SIDE_ENCRYPTION",
        "AWS_SSE_KMS_KEY_ID",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_SKIP_SIGNATURE",
        "GOOGLE_BASE_URL",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_NAME",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_STORAGE_USE_EMULATOR",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_TENANT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_SKIP_SIGNATURE",
    ),
}
"""What obstore is given of `environ`, which may have more than the process: a job's `.env`."""
_KEYS_OF_PROFILE = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_TRUE = frozenset({"1", "true", "yes", "on"})


def check_installed(url: ObjectUrl) -> None:
    """Raise `UsageError` where obstore, which opens the store of `url`, is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{url.shown}: {url.scheme}:// needs the extra `stores`. Install it: pip install 'batchchat[stores]'"
        ) from None


def open_store(
    url: ObjectUrl,
    environ: Mapping[str, str] = os.environ,
    *,
    patience_s: float = 120,
    request_s: float = _REQUEST_S,
    verb: str = "read",
) -> ObjectStore:
    """The store that has the object of `url`, by its key; of a web server the object is at "".

    5xx, timeouts and lost connections are retried for up to `patience_s`; one request with its body may take
    `request_s`. Nothing is sent yet. Raises `UsageError`
    where obstore is not installed, and `ObjectStoreError` where the environment's settings can't be used for what is
    to be done (`verb`: "read" or "written").
    """
    check_installed(url)
    from obstore import exceptions, store

    options: dict[str, Any] = {
        "client_options": {
            "timeout": f"{request_s:.0f}s",  # obstore counts a request and its body as one
            "connect_timeout": _CONNECT_TIMEOUT,
            "user_agent": f"batchchat/{__version__}",
        },
        "retry_config": {
            "max_retries": _MAX_RETRIES,
            "retry_timeout": timedelta(seconds=patience_s),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=15), "base": 2},
        },
    }
    if (certificates := _certificates(environ)) is not None:
        options["client_options"]["root_certificate"] = certificates
    if url.scheme in WEB:
        options["client_options"]["allow_http"] = url.scheme == "http"
        address, authorization = _web(url)
        if authorization is not None:
            options["client_options"]["default_headers"] = {"authorization": authorization}
        return store.HTTPStore.from_url(address, **options)
    config, endpoint = {"s3": _s3, "gs": _gcs, "az": _azure}[url.scheme](environ)
    config = {name.lower(): environ[name] for name in _VARIABLES[url.scheme] if environ.get(name)} | config
    if url.scheme == "s3" and _has_no_credentials(config, environ):
        raise ObjectStoreError(url, StoreFailure.NO_CREDENTIALS, verb=verb)
    options["client_options"]["allow_http"] = is_plain = (endpoint or "").lower().startswith("http://")
    if is_plain and not _may_be_plain(url, endpoint or "", environ):
        raise ObjectStoreError(url, StoreFailure.NO_TLS, verb=verb)
    try:
        match url.scheme:
            case "s3":
                return store.S3Store(url.bucket, config=config, **options)
            case "gs":
                return store.GCSStore(url.bucket, config=config, **options)
            case _:
                return store.AzureStore(url.bucket, config=config, **options)
    except (exceptions.BaseError, ValueError, OSError):  # its words may have what is in the variables
        raise ObjectStoreError(url, StoreFailure.SETTINGS, verb=verb) from None


def _web(url: ObjectUrl) -> tuple[str, str | None]:
    """The address without a name and password, and the header that has them: obstore sends neither by itself."""
    parts = urlsplit(url.secret.reveal())
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
    if "@" not in parts.netloc:
        return address, None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return address, f"Basic {b64encode(pair.encode()).decode()}"


def _s3(environ: Mapping[str, str]) -> tuple[Any, str | None]:
    """The settings beyond what obstore reads itself, and the endpoint that is not Amazon's."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    endpoint = next((environ[name] for name in names if environ.get(name)), None)
    config = _profile(environ)
    if endpoint is not None:
        config["endpoint"] = endpoint
    return config, endpoint


def _profile(environ: Mapping[str, str]) -> dict[str, str]:
    """The static keys and the region of the profile that AWS_PROFILE names, where the environment has none."""
    folder = Path(environ.get("HOME") or Path.home()) / ".aws"
    name = environ.get("AWS_PROFILE") or "default"
    config: dict[str, str] = {}
    if not any(environ.get(variable) for variable in _CREDENTIALS):
        keys = _section(Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials"), name)
        config |= {key.removeprefix("aws_"): keys[key] for key in _KEYS_OF_PROFILE if keys.get(key)}
    if not environ.get("AWS_REGION") and not environ.get("AWS_DEFAULT_REGION"):
        section = name if name == "default" else f"profile {name}"
        region = _section(Path(environ.get("AWS_CONFIG_FILE") or folder / "config"), section).get("region")
        config |= {"region": region} if region else {}
    return config


def _has_no_credentials(config: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Whether there are none, and the machine's own service, which would be asked for some, is said not to be there."""
    names = (*_CREDENTIALS, "AWS_SKIP_SIGNATURE")
    is_disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() in _TRUE
    return is_disabled and "access_key_id" not in config and not any(environ.get(name) for name in names)


def _section(path: Path, name: str) -> Mapping[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    return parser[name] if parser.has_section(name) else {}


def _gcs(environ: Mapping[str, str]) -> tuple[Any, str | None]:
    emulator = environ.get("STORAGE_EMULATOR_HOST")
    if not emulator:
        return {}, environ.get("GOOGLE_BASE_URL")
    endpoint = emulator if "://" in emulator else f"http://{emulator}"
    return {"base_url": endpoint, "skip_signature": True}, endpoint


def _azure(environ: Mapping[str, str]) -> tuple[Any, str | None]:
    if environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in _TRUE:
        return {}, "http://127.0.0.1"
    pairs = (part.partition("=") for part in environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    parts = {name.strip().lower(): value for name, _, value in pairs if value}
    settings = {"accountname": "account_name", "accountkey": "account_key", "blobendpoint": "endpoint"}
    settings["sharedaccesssignature"] = "sas_key"
    config = {setting: parts[name] for name, setting in settings.items() if name in parts}
    return config, config.get("endpoint") or environ.get("AZURE_STORAGE_ENDPOINT") or environ.get("AZURE_ENDPOINT")


def _may_be_plain(url: ObjectUrl, endpoint: str, environ: Mapping[str, str]) -> bool:
    """Whether an `endpoint` without TLS may be used."""
    prefix = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}[url.scheme]
    is_allowed = environ.get(f"{prefix}_ALLOW_HTTP", "").lower() in _TRUE
    return is_allowed or is_loopback(urlsplit(endpoint).hostname or "")


def _certificates(environ: Mapping[str, str]) -> str | None:
    """The certificates of authorities that SSL_CERT_FILE (AWS_CA_BUNDLE) adds to the system's own."""
    path = environ.get("SSL_CERT_FILE") or environ.get("AWS_CA_BUNDLE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{path} (SSL_CERT_FILE) can't be read: {reason}. Name a file of certificates.") from None
