"""A job file -> `JobSpec`.

One error has everything that is wrong with a job; no key is accepted and ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from batchchat.errors import NoEndpointError
from batchchat.job.bounds import PriceSpec
from batchchat.job.check import DEFAULTS, Checked, check
from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation, job_error
from batchchat.job.env_file import with_env_file
from batchchat.job.expect_check import resolve_expect
from batchchat.job.keys import KEYS, SECTIONS, children
from batchchat.job.overrides import Override, apply_overrides, comment_lines, put
from batchchat.job.paths import output_location, resolved, resolved_input, secrets_of_input, shown_input
from batchchat.job.redact import redact
from batchchat.job.source import JobSource, source_of_file
from batchchat.job.spec import AUTO, EndpointEntry, JobSpec, PricesSpec
from batchchat.job.template import TemplateFile, read_template_file
from batchchat.job.tree import MappingNode, Scalar, is_null, kind_of, printable
from batchchat.job.yaml_parser import parse, resolve_nodes
from batchchat.secret import Redactor, Secret, is_plain_name, secrets_in_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["load_job", "load_output"]

S = TypeVar("S")


def load_job(
    source: Path | JobSource,
    *,
    overrides: Sequence[Override] = (),
    environ: Mapping[str, str],
    output: Path | str | None = None,
    reads_key: bool = True,
    checks_key_name: bool = False,
) -> JobSpec:
    """The job of `source`, a job file or its text, with `overrides` applied to it.

    What `environ` lacks is read from a `.env` beside it.

    `output` is the path of `--output`, relative to the working directory, or a URL. A command that sends no requests
    needs no API key and doesn't read it (`reads_key`), but may check the name of its variable (`checks_key_name`).
    Raises `JobError` with everything that is wrong, in the order of the file and then of the options.
    """
    if isinstance(source, Path):
        source = source_of_file(source)
    environ = with_env_file(environ, source.folder)
    try:
        tree, diagnostics = _tree(source, environ)
    except RefusedError as exc:
        raise job_error(exc.diagnostics) from None
    overridden, override_diagnostics, suppressed = apply_overrides(tree, overrides, environ)
    if output is not None:
        # A presigned URL holds a signature; why it is refused is said without it.
        shown = "URL" if "://" in str(output) and "?" in str(output) else printable(str(output))
        location = SourceLocation.of_option(f"--output {shown}", len(overrides))
        overridden = put(overridden, ("output", "path"), "", Scalar(location, str(output), str(output), str(output)))
    checked = check(overridden, environ, suppressed, reads_key=reads_key, checks_key_name=checks_key_name)
    schema = resolve_expect(checked, source.folder, environ)
    if diagnostics := [*diagnostics, *override_diagnostics, *checked.diagnostics]:
        raise job_error(diagnostics)
    redacted = _kept_text(source.text, tree, overrides, output, checked)
    checked.values["expect.json_schema"] = schema
    return _job(source, redacted, checked, environ, Path.cwd() if output is not None else source.folder)


def load_output(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The output path of the job at `path`. The job's other keys are not checked: a reader of results needs none.

    Raises `JobError`, with everything that is wrong in the job if it has no output.
    """
    source = source_of_file(path)
    environ = with_env_file(environ, source.folder)
    try:
        tree, _ = _tree(source, environ)
        output = tree.entries.get("output")
        node = output.entries.get("path") if isinstance(output, MappingNode) else None
        if node is not None and not is_null(node):
            key = children("output")["path"]
            assert key is not None
            return output_location(key.type.read("output.path", node), path.parent, path.parent, environ)[0]
    except RefusedError as exc:
        raise job_error(exc.diagnostics) from None
    return load_job(source, environ=environ, reads_key=False).output.path


def _tree(source: JobSource, environ: Mapping[str, str]) -> tuple[MappingNode, list[Diagnostic]]:
    """The tree of the job, and what is wrong with its keys. Raises `RefusedError` if it is no mapping."""
    root = parse(source.text, source.location_at)
    node, diagnostics = (None, []) if root is None else resolve_nodes(root, source.location_at, environ)
    if node is None or is_null(node):
        sentence = "is empty. A job has at least `input.path`, `model` and `output.path`."
        where = "job" if source.path is None else str(source.path)
        raise RefusedError(Diagnostic(SourceLocation(where), sentence))
    if not isinstance(node, MappingNode):
        sentence = f"a job is a mapping of keys such as `model: ...`, and this is {kind_of(node)}."
        raise RefusedError(Diagnostic(node.location, sentence))
    return node, diagnostics


def _kept_text(
    text: str, tree: MappingNode, overrides: Sequence[Override], output: Path | str | None, checked: Checked
) -> str:
    """The job's text as the results keep it: without secrets, with the options as comment lines at its end."""
    redacted = redact(text, tree, [override.key for override in overrides])
    lines = comment_lines(overrides)
    if output is not None:
        lines.append(f"# --output {printable(str(output))}")
    if lines:
        redacted = "\n".join([redacted.removesuffix("\n"), *lines, ""])
    # The key itself may be in a comment, a variable's default, the URL's query or the name of a header.
    endpoints = [(checked.api_key, checked["endpoint.base_url"], checked["endpoint.headers"])]
    endpoints += [(entry.api_key, entry.base_url, entry.headers) for entry in checked.endpoints]
    secrets = [secret for path in checked["input.path"] for secret in secrets_of_input(path)]
    for key, url, headers in endpoints:
        secrets += [] if key is None else [key]
        secrets += secrets_in_url(url)
        secrets += [Secret(name) for name in headers if not is_plain_name(name)]
    return Redactor(secrets).redact(redacted)


def _job(source: JobSource, text: str, checked: Checked, environ: Mapping[str, str], output_folder: Path) -> JobSpec:
    """The spec of a job that has passed `check`.

    A field has its key's value as it was read; the fields that are named here are those with another value.
    """
    folder = source.folder
    inputs: tuple[str, ...] = checked["input.path"]
    output, url = output_location(checked["output.path"], output_folder, folder, environ)
    derived: dict[str, dict[str, Any]] = {
        "input": {
            "paths": tuple(resolved_input(as_given, folder, environ) for as_given in inputs),
            "as_given": tuple(map(shown_input, inputs)),
            "folder": folder.absolute(),
        },
        "endpoint": {"api_key_env": checked.api_key_env, "api_key": checked.api_key},
        "output": {"path": output, "url": url},
    }
    if (tokenizer := checked["estimate.tokenizer"]) is not None:
        derived["estimate"] = {"tokenizer": resolved(tokenizer, folder, environ)}
    sections = {name: _filled(spec, name, checked, derived.get(name, {})) for name, spec in SECTIONS.items()}
    price: PriceSpec = sections["price"]
    top: dict[str, Any] = {
        "name": checked["name"] or source.name or Path(checked["output.path"]).stem,
        "path": source.path,
        "text": text,
        "price": price.as_price(),
        "endpoints": checked.endpoints or None,
    }
    if checked["concurrency"] == AUTO:
        top |= {"concurrency": DEFAULTS["concurrency"], "ask_concurrency": True}
    if isinstance(file := checked["template"], TemplateFile):
        try:
            top["template"] = read_template_file(file, resolved(file.as_given, folder, environ))
        except ValueError as exc:
            checked.add("template", f"names {printable(file.as_given)}: {exc}.")
            raise job_error(checked.diagnostics) from None
    if (file_of := checked.endpoints_path) is not None:
        path = resolved(file_of.as_given, folder, environ)
        top |= {"endpoints": _endpoints_in(path, file_of.as_given, checked), "endpoints_file": (path, file_of.as_given)}
    if (prices := checked["prices"]) is not None:
        top["prices"] = PricesSpec(resolved(prices, folder, environ), prices)
    return _filled(JobSpec, "", checked, sections | top)


def _endpoints_in(path: Path, as_given: str, checked: Checked) -> tuple[EndpointEntry, ...]:
    """The endpoints of the file at `path`. Raises `JobError` where it can't be read, `NoEndpointError`."""
    from batchchat.job.endpoints_file import read_endpoints_file

    try:
        lines = read_endpoints_file(path, as_given)
    except (OSError, UnicodeDecodeError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        way_out = "Correct the path, or create the file; it may be empty until the first endpoint is up."
        checked.add("endpoints", f"names {printable(as_given)}, which can't be read: {problem}. {way_out}")
        raise job_error(checked.diagnostics) from None
    if not lines.endpoints:
        bad = "".join(f" {problem}" for problem in lines.problems[:1])
        where = checked.location("endpoints").where
        sentence = f"names {printable(as_given)}, which has no endpoint.{bad} Add a line with a base_url."
        raise NoEndpointError(
            f"{where}: `endpoints.file` {sentence}", as_given, checked["retry.max_outage"], lines.problems
        )
    return lines.endpoints


def _filled(spec: Callable[..., S], section: str, checked: Checked, derived: Mapping[str, Any]) -> S:
    """A `spec` of the values that the keys of `section` are set to ("" is the top), and of `derived` fields."""
    values = {
        key.field: checked.values[key.name] for key in KEYS if key.section == section and key.name in checked.values
    }
    return spec(**{**values, **derived})
