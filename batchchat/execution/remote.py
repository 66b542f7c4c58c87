"""What a run does with an output in an object store: it is checked before anything is sent, and uploaded at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchchat.core.notices import Uploaded, Uploading
from batchchat.object_store.threads import interruptible
from batchchat.store.folder import folder_of
from batchchat.store.output_files import files_of

if TYPE_CHECKING:
    from batchchat.execution.context import RunContext
    from batchchat.job import OutputSpec
    from batchchat.store.remote_output import RemoteOutput, RemoteResult

__all__ = ["check_remote", "keep_remote", "remote_output", "upload"]


def remote_output(output: OutputSpec, environ: Mapping[str, str]) -> RemoteOutput | None:
    """The `output` in its object store, with the credentials of `environ`; None where it is on this machine."""
    if output.url is None:
        return None
    from batchchat.object_store.bucket import ObjectBucket
    from batchchat.store.remote_file import RemoteFileOutput
    from batchchat.store.remote_parts import RemotePartsOutput

    kind = RemotePartsOutput if output.is_folder else RemoteFileOutput
    return kind(output.url, folder_of(output.path), ObjectBucket(output.url, environ))


def check_remote(context: RunContext) -> None:
    """Refuse an output in an object store that can't be written, or is another run's. Raises `OutputError`."""
    remote, options = context.remote, context.options
    if remote is not None:
        interruptible(lambda: remote.check(fresh=options.fresh, other_url=options.yes))


def keep_remote(context: RunContext) -> list[str]:
    """Begin anew where the old run was set aside; returns the URLs where the store keeps its result."""
    remote = context.remote
    return [] if remote is None else interruptible(remote.start_over)


def upload(context: RunContext) -> RemoteResult | None:
    """Make what was published in the run folder the result in the object store; None where there is none.

    Raises `MachineError`.
    """
    remote, path = context.remote, context.job.output.path
    if remote is None:
        return None
    files = files_of(path)
    context.tell(Uploading(remote.shown, len(files), sum(file.stat().st_size for file in files)))
    began = time.monotonic()
    result = remote.publish(path)
    context.tell(Uploaded(result.pattern, time.monotonic() - began, result.leftovers, is_new=result.uploaded))
    return result
