"""The last release, from which a database is upgraded."""

# The last migrations of the last release.
RELEASE = {
    "analytics": "0004_export",
    "countries": "0001_create_tables",
    "sales": "0011_index_buyers",
    "salesengine": "0003_index_staff_log",
}
