"""Turn what clients send into stored sales, each of them once.

The body of a request goes in; sales that one writer has committed, and a response with ids or counts, come out. Of
`sales` it may import only `totals` and `models`; start in `service.py`.
"""
