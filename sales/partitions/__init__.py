"""Partition `sales` by month of payment, so that the indexes of a month stay small.

Days of payment go in; a partition for each plausible month comes out, made beside the writers. Of `sales` it may import
only `models`; start in `making.py`.
"""
