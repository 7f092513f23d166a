"""Codes of errors that the SDK (2.3.0) also gives to what it says in the server's name.

-32000 is what many servers give to any error of theirs, and the SDK to a closed connection; -32001 and
-32700 likewise. To tell them apart, a server's own error with such a code goes on without one, and
says the code in its words.
"""

from __future__ import annotations

from mcp_types import CONNECTION_CLOSED, PARSE_ERROR, REQUEST_TIMEOUT, ErrorData

from omni_tui.servers.transports.json_rpc import NO_CODE

AMBIGUOUS = (CONNECTION_CLOSED, REQUEST_TIMEOUT, PARSE_ERROR)


def as_server_error(error: ErrorData) -> ErrorData:
    """Return an error that surely came from the server, so that nobody takes it for one of the SDK's."""
    if error.code not in AMBIGUOUS:
        return error
    return ErrorData(code=NO_CODE, message=f"{error.message} (error {error.code})", data=error.data)
