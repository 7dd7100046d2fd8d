"""Answer the API's requests on reports: GET /reports and GET /reports/{name}.

Query parameters and headers go in; a complete result, a 304 or a problem comes out. Of `analytics` it may import
everything except `backoffice`; start in `views.py`.
"""
