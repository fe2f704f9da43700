"""What a request can be refused with, in the shape that OpenAI's clients read."""

from typing import Any

from starlette.responses import JSONResponse

from engram_local.errors import ContextOverflowError, EngramError, TokenRangeError, UsageError

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "context_length_exceeded",
    429: "rate_limit_error",
    500: "server_error",
}


class ApiError(EngramError):
    """A request that is answered with an error; `param` names the field, retry_after: seconds."""

    def __init__(self, status: int, message: str, *, param: str | None = None, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.param, self.retry_after = status, param, retry_after


def api_error(error: Exception) -> ApiError:
    """Any error as one for a client. What is no EngramError shows nothing of itself."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        return ApiError(413, str(error))
    if isinstance(error, TokenRangeError | UsageError):
        return ApiError(400, str(error))
    if isinstance(error, EngramError):
        return ApiError(500, str(error))
    if isinstance(error, MemoryError):
        return ApiError(
            500, "the server is out of memory; send a shorter prompt, or serve with --context or fewer --slots"
        )
    return ApiError(500, "the server failed; its own log says more")


def error_body(error: ApiError) -> dict[str, Any]:
    """{"error": {...}}."""
    kind = KINDS.get(error.status, "invalid_request_error")
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": kind}}


def error_response(error: ApiError) -> JSONResponse:
    """The whole answer."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error), error.status, headers)
