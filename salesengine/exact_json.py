"""Encode JSON with decimals as exact numbers, for responses, statements, fingerprints and the output of commands."""

import msgspec

encode_json = msgspec.json.Encoder(decimal_format="number").encode
