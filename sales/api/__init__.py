"""Answer the API's requests on sales: POST /ingest, POST /corrections, GET /feedback, GET /sales and GET /changes.

Query parameters and bodies go in; one call of a service and a JSON response come out. Of `sales` it may import
everything except `backoffice`; start in `views.py`.
"""
