"""A client of the reports' API, and a report with a parameter of each type."""

import json
from decimal import Decimal

from rest_framework.test import APIClient

from salesengine.tests.clients import problem_of

ALL_TYPES = """
[parameters.day]
type = "date"
default = "2021-01-07"
[parameters.moment]
type = "datetime"
[parameters.number]
type = "integer"
default = 5
minimum = 1
maximum = 9
[parameters.share]
type = "decimal"
default = 0.25
[parameters.words]
type = "text"
[parameters.size]
type = "choice"
choices = ["small", "large"]
help = "How large it is."
[parameters.category]
type = "category"
[parameters.country]
type = "country"
[parameters.sure]
type = "boolean"
default = true
[parameters.needed]
type = "text"
required = true
"""
ALL_VALUES = """SELECT %(day)s AS day, %(moment)s AS moment, %(number)s AS number, %(share)s AS share,
    %(words)s AS words, %(size)s AS size, %(category)s AS category, %(country)s AS country, %(sure)s AS sure,
    %(needed)s AS needed"""


class Client(APIClient):
    """Read each response to its end into `body`, and close it, as a server does."""

    def request(self, **request):
        response = super().request(**request)
        if response.streaming:
            response.body = b"".join(response.streaming_content)
            response.close()
        return response


def get(api, parameters=None, name="probe", **headers):
    return api.get(f"/reports/{name}", parameters, headers=headers)


def content(response):
    assert response.status_code == 200, response.content
    return response.body


def rows(response):
    return json.loads(content(response), parse_float=Decimal)


def errors_of(response):
    return {error["parameter"]: error["detail"] for error in problem_of(response, 400, "invalid-request")["errors"]}
