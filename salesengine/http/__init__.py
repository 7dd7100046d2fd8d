"""Give every HTTP response the same errors, request id, rate limit and documentation.

Requests and exceptions go in; problem details (RFC 9457), headers and the OpenAPI document come out. It may import
`accounts` and `postgresql` but no app; start in `errors.py`, the one place that turns an exception into a response.
"""
