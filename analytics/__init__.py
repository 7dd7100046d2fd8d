"""Run reports, one SQL file each, for staff, programs and pipelines.

Report files and parameters go in; results, charts, files and a log of all runs come out. It may import every other app,
and no app imports it; start in `definitions` and follow a report through `running` and `output`.
"""
