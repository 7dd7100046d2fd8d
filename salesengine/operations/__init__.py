"""Help operate the service: health checks, metrics, logs, traces, error reports, the doctor and limits.

Probes, commands and pages call it, and it reports what it found or did. It may import `http`, `accounts` and
`postgresql` but no app; start in `health.py`.
"""
