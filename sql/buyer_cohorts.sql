/*
title = "Buyer cohorts and retention"
topic = "Buyers"
depends_on = ["sales"]
reads_earlier_sales = true
description = """
A cohort is all buyers whose first purchase was in the same calendar month (UTC). For each cohort and each month from
its first month to the newest month with a sale: the number of its buyers who bought in that month, and their percentage
of the cohort. Month 0 is the month of the first purchase, so it is always 100 percent. A free item counts as a
purchase. A refund does not. The newest month may be incomplete.
"""
order = "cohort, months_since"
timeout = "120s"
rows = 400

[parameters.start]
type = "date"
label = "From"
help = "Include the cohort of this day's month, and later ones. Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "Include the cohort of this day's month, and earlier ones. Leave empty for no limit."

[parameters.months]
type = "integer"
default = 12
minimum = 0
help = "The number of months to follow each cohort. Leave empty to follow it to the newest month."

[columns.cohort]
title = "First month"

[columns.months_since]
title = "Months since the first purchase"

[columns.cohort_buyers]
title = "Buyers in the cohort"
format = "count"

[columns.active_buyers]
title = "Active buyers"
format = "count"

[columns.retention_percent]
title = "Retention"
format = "percent"

[chart]
type = "heatmap"
x = "months_since"
y = ["retention_percent"]
series = "cohort"
*/
-- MATERIALIZED makes PostgreSQL plan this part separately, as one pass over the sales. Otherwise it would fetch the
-- sales one by one in the order of their buyers.
WITH buyer_months AS MATERIALIZED (
    SELECT
        id_buyer,
        DATE_TRUNC('month', date_payment) AS month
    FROM sales
    WHERE revenue >= 0
    GROUP BY id_buyer, month
),
since_first AS (
    SELECT
        MIN(month) OVER (PARTITION BY id_buyer) AS cohort,
        month
    FROM buyer_months
),
active AS (
    SELECT
        cohort,
        month,
        COUNT(*) AS buyers
    FROM since_first
    GROUP BY cohort, month
),
-- The newest month with a sale, refunds included.
newest AS (
    SELECT DATE_TRUNC('month', MAX(date_payment)) AS month FROM sales
),
cohorts AS (
    SELECT
        active.cohort,
        active.buyers,
        (12 * (EXTRACT(YEAR FROM newest.month) - EXTRACT(YEAR FROM active.cohort))
            + EXTRACT(MONTH FROM newest.month) - EXTRACT(MONTH FROM active.cohort))::int AS months
    FROM active
    CROSS JOIN newest
    WHERE active.month = active.cohort
        AND (%(start)s IS NULL OR active.cohort >= DATE_TRUNC('month', %(start)s))
        AND (%(end)s IS NULL OR active.cohort <= DATE_TRUNC('month', %(end)s))
)
SELECT
    cohorts.cohort::date AS cohort,
    months_since,
    cohorts.buyers AS cohort_buyers,
    COALESCE(active.buyers, 0) AS active_buyers,
    ROUND(100.0 * COALESCE(active.buyers, 0) / cohorts.buyers, 12) AS retention_percent
FROM cohorts
CROSS JOIN LATERAL GENERATE_SERIES(0, LEAST(cohorts.months, %(months)s)::int) AS months_since
LEFT JOIN active
    ON active.cohort = cohorts.cohort
    AND active.month = cohorts.cohort + MAKE_INTERVAL(months => months_since)
