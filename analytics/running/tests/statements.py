"""Statements that write, none of which a report may run."""

WRITES = {
    "DELETE": "DELETE FROM country",
    "UPDATE": "UPDATE country SET country_name = 'x' RETURNING *",
    "INSERT": "INSERT INTO country VALUES ('1', 'x', NULL) RETURNING *",
    "a DELETE in a WITH": "WITH gone AS (DELETE FROM country RETURNING *) SELECT * FROM gone",
    "a sequence": "SELECT nextval(pg_get_serial_sequence('sales', 'id')) AS number",
    "switching the guard off": "SELECT set_config('transaction_read_only', 'off', true) AS off",
    "DROP": "DROP TABLE country",
}
