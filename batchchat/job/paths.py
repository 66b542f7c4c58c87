"""Input and output paths: files on this machine, relative to the job file's folder; `~` is the user's home.

An input may be a URL, too, which is relative to nothing, an output that of an object store.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.tree import Node, Scalar, SequenceNode, printable, wrong_type, wrong_value
from batchchat.job.value_types import ValueType, collect, indexed_items, line
from batchchat.object_store.url import STORES, WEB, ObjectUrl, is_url, parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batchchat.secret import Secret

__all__ = [
    "PUBLISHED",
    "absolute_inputs",
    "input_paths",
    "may_have_secrets",
    "output_location",
    "output_path",
    "path_from_here",
    "relative_inputs",
    "resolved",
    "resolved_input",
    "secrets_of_input",
    "shown_input",
    "store_url",
]

# One slash: `--output` is a `pathlib.Path`, which turns `s3://b` into `s3:/b`.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_SECRET_URL = re.compile(r"https?://[^\s,\"'\]]*[?@]", re.IGNORECASE)
_MAGIC = re.compile(r"[*?\[]")
_SUFFIX = ".parquet"
PUBLISHED = "published"
"""The name, without a suffix, of what is published in the run folder, and goes to an object store from there."""
# Of an output's key: what every store, every shell and every reader's glob takes as it is written.
_KEY = re.compile(r"[\w!'()+,=@.~ -]+(/[\w!'()+,=@.~ -]+)*")


def input_paths() -> ValueType:
    """A path, folder, glob or URL, or a list of them, as written."""
    takes = "a path, a glob, a URL, or a list of them"
    item = line("a path")

    def read_one(name: str, node: Node) -> str:
        path: str = item.read(name, node)
        if not is_url(path):
            _on_this_machine(name, node, path)
            return path
        try:
            url = parse_url(path)
        except ValueError as error:
            raise RefusedError(Diagnostic(node.location, f"`{name}` {error}")) from None
        if url.scheme in WEB and (not url.key or url.key.endswith("/")):
            sentence = f"`{name}` is a folder of a web server, which lists nothing. Name the files in it."
            raise RefusedError(Diagnostic(node.location, sentence))
        return path

    def read(name: str, node: Node) -> tuple[str, ...]:
        if isinstance(node, SequenceNode):
            if not node.items:
                raise RefusedError(Diagnostic(node.location, f"`{name}` is an empty list. It takes {takes}."))
            return tuple(collect(read_one, indexed_items(name, node)))
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            raise wrong_type(name, node, takes)
        return (read_one(name, node),)

    path_schema = item.schema
    return ValueType(takes, {"anyOf": [path_schema, {"type": "array", "items": path_schema, "minItems": 1}]}, read)


def output_path() -> ValueType:
    """The path or URL of the Parquet file to write, or of a folder of part files, as written."""
    takes = f"a path that ends in {_SUFFIX}, or one without a dot for a folder of part files"
    item = line(takes)

    def read(name: str, node: Node) -> str:
        path: str = item.read(name, node)
        assert isinstance(node, Scalar)
        if path.partition("://")[0].lower() in STORES and is_url(path):
            _check_store_url(name, node, path, "{0}://BUCKET/NAME.parquet for a file, {0}://BUCKET/NAME for part files")
        else:
            _on_this_machine(name, node, path, ", or an s3://, gs:// or az:// URL")
        base = os.path.basename(path.rstrip("/"))  # noqa: PTH119
        if base in {"", "~"} or ("." in base and not base.endswith(_SUFFIX)):
            raise wrong_value(name, node, takes)
        if base == _SUFFIX:
            raise wrong_value(name, node, f"{takes}; {_SUFFIX} lacks a name before the dot")
        if base != os.path.basename(path) and base.endswith(_SUFFIX):  # noqa: PTH119
            raise wrong_value(name, node, f"{takes}; a file's path has no slash at its end")
        return path

    return ValueType(takes, {"type": "string", "pattern": r"([^/]\.parquet|(^|/)[^./~]+/*)$"}, read)


def store_url() -> ValueType:
    """The URL in an object store below which objects are written, as written."""
    takes = "a URL such as s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    item = line(takes)

    def read(name: str, node: Node) -> str:
        url: str = item.read(name, node)
        if is_url(url) and url.partition("://")[0].lower() in STORES:
            _check_store_url(name, node, url, "{0}://BUCKET/PREFIX")
            return url
        sentence = f"`{name}` is no URL of an object store. It takes {takes}."  # it could hold a signature
        raise RefusedError(Diagnostic(node.location, sentence))

    return ValueType(takes, {"type": "string", "pattern": "^(s3|gs|az)://[^/]+/."}, read)


def _check_store_url(name: str, node: Node, text: str, takes: str) -> None:
    """Refuse a URL below which nothing can be written; of what could hold a signature only the scheme is shown.

    `takes` says what is accepted, with `{0}` for the scheme.
    """
    scheme = text[:2].lower()
    has_query = "?" in text or "#" in text
    try:
        key = "" if has_query else parse_url(text).key.rstrip("/")
    except ValueError as error:
        raise RefusedError(Diagnostic(node.location, f"`{name}` {error}")) from None
    if has_query:
        reason = "with a query; credentials come from the environment"
    elif not key:
        reason = "that names a bucket and nothing in it"
    elif _KEY.fullmatch(key) is None or any(part in {".", ".."} for part in key.split("/")):
        reason = "whose key has an empty part, `.`, `..`, or a character that a glob would read as another"
    else:
        return
    sentence = f"`{name}` is a URL ({scheme}://...) {reason}. It takes {takes.format(scheme)}."
    raise RefusedError(Diagnostic(node.location, sentence))


def _on_this_machine(name: str, node: Node, path: str, or_else: str = "") -> None:
    """Refuse `-`, and a URL, of which only the scheme is shown: presigned ones hold a signature."""
    if path == "-":
        sentence = f"`{name}` is -, which is not in this version yet. Write the rows to a file, and name that."
        raise RefusedError(Diagnostic(node.location, sentence))
    if url := _URL.match(path):
        scheme = printable(url.group(1), 12)
        sentence = f"`{name}` is a URL ({scheme}://...), which is not in this version yet."
        sentence += f" It takes a path on this machine{or_else}."
        raise RefusedError(Diagnostic(node.location, sentence))


def output_location(
    as_given: str, folder: Path, job_folder: Path, environ: Mapping[str, str]
) -> tuple[Path, ObjectUrl | None]:
    """Where the output `as_given` is published on this machine, and the URL that it goes to from there, if any.

    A path is relative to `folder`. The run folder of a URL is in `job_folder`, named after the last part of the key.
    """
    if not is_url(as_given):
        return resolved(as_given, folder, environ), None
    url = parse_url(as_given.rstrip("/"))
    name = url.key.rpartition("/")[2]
    suffix = _SUFFIX if name.endswith(_SUFFIX) else ""
    return job_folder.absolute() / f"{name.removesuffix(_SUFFIX)}.run" / f"{PUBLISHED}{suffix}", url


def resolved(as_given: str, folder: Path, environ: Mapping[str, str]) -> Path:
    """The absolute path of `as_given`, relative to `folder`. `..` is kept, since a folder may be a link."""
    return folder.absolute() / _at_home(as_given, environ)


def resolved_input(as_given: str, folder: Path, environ: Mapping[str, str]) -> str:
    """The absolute path or glob of an input, or its URL; brackets in the name of `folder` itself are no glob."""
    if is_url(as_given):
        return as_given
    home = _at_home(as_given, environ)
    base = str(folder.absolute())
    return os.path.join(glob.escape(base) if _MAGIC.search(as_given) else base, home)  # noqa: PTH118


def path_from_here(path: str, folder: Path) -> str:
    """`path`, which a person typed in the working folder, as a job in `folder` would name it."""
    if path.startswith(("/", "~", "-")) or "://" in path or folder.absolute() == type(folder).cwd():
        return path
    return os.path.relpath(path, folder.absolute())


def relative_inputs(paths: Iterable[str], folder: Path) -> list[str]:
    """The absolute `paths` and globs of an input relative to `folder`, for what can be moved with it; URLs as shown."""
    base = str(folder.absolute())
    return [
        shown_input(path) if is_url(path) else os.path.relpath(path, glob.escape(base) if _MAGIC.search(path) else base)
        for path in paths
    ]


def absolute_inputs(paths: Iterable[str], folder: Path) -> tuple[str, ...]:
    """What `relative_inputs` gave, as absolute paths and globs; absolute ones, of an older version, stay."""
    base = str(folder.absolute())
    return tuple(
        path
        if is_url(path)
        else os.path.normpath(os.path.join(glob.escape(base) if _MAGIC.search(path) else base, path))  # noqa: PTH118
        for path in paths
    )


def shown_input(as_given: str) -> str:
    """An entry of `input.path` for messages and files: of a URL that may have secrets what is left without them."""
    return parse_url(as_given).shown if is_url(as_given) else as_given


def may_have_secrets(value: str) -> bool:
    """Whether `value`, an `input.path` as it was typed, has a URL with a query or a password."""
    return _SECRET_URL.search(value) is not None


def secrets_of_input(as_given: str) -> list[Secret]:
    """The secrets that an entry of `input.path` has."""
    return parse_url(as_given).secrets if is_url(as_given) else []


def _at_home(as_given: str, environ: Mapping[str, str]) -> str:
    if (as_given == "~" or as_given.startswith("~/")) and environ.get("HOME"):
        return environ["HOME"] + as_given[1:]
    return os.path.expanduser(as_given)  # noqa: PTH111
