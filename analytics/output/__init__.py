"""Write the result of a run as a file, a response or a chart.

Columns and rows go in; bytes in one of seven formats, the data of a chart, or a file with its manifest come out. Of
`analytics` it may import `running`, `definitions` and `models`; start in `formats/__init__.py`, where the formats are
listed.
"""
