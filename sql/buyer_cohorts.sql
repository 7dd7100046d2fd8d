/*
title = "Buyer cohorts and their retention"
topic = "Buyers"
depends_on = ["sales"]
description = """
A cohort is the buyers whose first purchase ever was in one calendar month (UTC). For each cohort and each month since
then, up to the month of the newest payment: how many of its buyers bought in that month, and what percentage of the
cohort they are. Month 0 is the month of the first purchase itself, so all of them. A free item is a purchase; a refund
is none, so it brings nobody into a cohort or back. The newest month may not be over yet.
"""
timeout = "120s"

[parameters.start]
type = "date"
label = "From"
help = "The cohorts of the month that has this day, and of later ones. Without it there is no limit."

[parameters.end]
type = "date"
label = "To"
help = "The cohorts of the month that has this day, and of earlier ones. Without it there is no limit."

[parameters.months]
type = "integer"
default = 12
minimum = 0
help = "For how many months after its first one a cohort is followed. Left empty, to the newest."

[columns.cohort]
title = "First month"

[columns.months_since]
title = "Months since"

[columns.cohort_buyers]
title = "Buyers in the cohort"

[columns.active_buyers]
title = "Of them bought"

[columns.retention_percent]
title = "Retention"
format = "percent"

[chart]
type = "line"
x = "months_since"
y = ["retention_percent"]
series = "cohort"
*/
-- Materialized, this is planned by itself: one pass over the sales. Planned for what follows, they would be fetched one
-- by one in the order of their buyers.
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
-- Up to the newest month there are sales in, whatever they are.
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
ORDER BY cohorts.cohort, months_since
