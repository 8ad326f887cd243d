"""What tests want of responses: the value, the error, the reason."""

from typing import Any

from beethoven import Failure, Request, RequestCollection
from beethoven.errors import ProcessExited
from beethoven.runtime.line import Connection
from beethoven.runtime.requests import Response


def unwrap(response: Response | None) -> Any:
    """Return the reply, or raise the error; fail if there is no response."""
    assert response is not None
    return response.unwrap()


def error_of(response: Response | None) -> Any:
    """Return the error of a failure; fail if it is none."""
    assert isinstance(response, Failure), response
    return response.error


def reason_of(response: Response | None) -> str:
    """Return why the process ended that was asked; fail if it did not."""
    error = error_of(response)
    assert isinstance(error, ProcessExited), response
    return str(error.reason)


def line_of(request: Request) -> Connection:
    """Return the connection on which the answer will come."""
    assert request.line is not None
    return request.line


def next_of(requests: RequestCollection) -> tuple[Response, Any]:
    """Return the next response of a collection and its label; fail if none comes."""
    found = requests.wait_response(5)
    assert found is not None
    return found
