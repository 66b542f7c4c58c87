"""Which failures of a row may be the endpoint's own, so that another endpoint may serve the row; pure.

It goes by the kind of the failure, and never where the attempt was or may have been billed: an endpoint that does not
know the model, or does not let the key have it; a context or a body that is too long for this server; a request that
it does not take. A content filter is none of these: nobody wants to shop around for an endpoint without one.
"""

from __future__ import annotations

from batchchat.core.attempt import Attempt
from batchchat.core.conversation import ErrorKind

__all__ = ["may_be_served_elsewhere"]

_OF_THE_ENDPOINT = frozenset(
    {
        ErrorKind.CONTEXT_LENGTH,
        ErrorKind.BAD_REQUEST,
        ErrorKind.UNAUTHORIZED,
        ErrorKind.FORBIDDEN,
        ErrorKind.NOT_FOUND,
        ErrorKind.QUOTA,
        ErrorKind.TOO_LARGE,
        ErrorKind.OTHER,
    }
)


def may_be_served_elsewhere(attempt: Attempt) -> bool:
    """Whether another endpoint may answer the request of `attempt`, which failed its row at this one.

    A request that is refused for how it asks for JSON is made again in another way.
    """
    is_of_endpoint = attempt.verdict.kind in _OF_THE_ENDPOINT
    return is_of_endpoint and not attempt.may_be_billed and attempt.refused_format is None
