"""Answer the API's requests on sales: POST /ingest, GET /feedback and GET /sales.

Query parameters and bodies go in; one call of a service and a JSON response come out. Of `sales` it may import
everything except `backoffice`; start in `views.py`.
"""
