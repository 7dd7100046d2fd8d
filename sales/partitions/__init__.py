"""Partition `sales` by month of payment, so that a sale costs the same however many there are.

Days of payment go in; a partition for each plausible month comes out, made beside the writers. Of `sales` it may import
only `models`; start in `making.py`.
"""
