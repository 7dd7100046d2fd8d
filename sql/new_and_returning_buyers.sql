/*
title = "New and returning buyers by week"
topic = "Buyers"
depends_on = ["sales"]
reads_earlier_sales = true
description = """
For each week (from Monday, UTC): the number of buyers who made their first purchase, the number of buyers who had
bought in an earlier week, and the revenue from each group. A free item counts as a purchase. A refund does not. It
reduces the revenue from new buyers in the week of the buyer's first purchase, and from returning buyers in other weeks.
So the two revenues add up to the revenue of the week. Weeks without sales are included. The newest week may be
incomplete.
"""
order = "week"
timeout = "120s"

[parameters.start]
type = "date"
label = "From"
help = "Include this day's week and later ones. Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "Include this day's week and earlier ones. Leave empty for no limit."

[columns.week]
title = "First day"

[columns.new_buyers]
format = "count"

[columns.returning_buyers]
format = "count"

[columns.new_revenue]
title = "Revenue from new buyers"
format = "money"

[columns.returning_revenue]
title = "Revenue from returning buyers"
format = "money"

[columns.returning_percent]
title = "Share of returning buyers"
format = "percent"

[columns.sales]
format = "count"
sales = { start = "week", end = "week_end" }

[columns.week_end]
title = "Last day"

[chart]
type = "stacked"
x = "week"
y = ["new_buyers", "returning_buyers"]
*/
-- MATERIALIZED makes PostgreSQL plan this part separately, as one pass over the sales. Otherwise it would fetch the
-- sales one by one in the order of their buyers.
WITH buyer_weeks AS MATERIALIZED (
    SELECT
        id_buyer,
        DATE_TRUNC('week', date_payment) AS week,
        COUNT(*) AS sales,
        COUNT(*) FILTER (WHERE revenue >= 0) AS purchases,
        SUM(revenue) AS revenue
    FROM sales
    GROUP BY id_buyer, week
),
since_first AS (
    SELECT
        week,
        sales,
        purchases,
        revenue,
        -- False, and not null, for a buyer who only has refunds.
        week IS NOT DISTINCT FROM MIN(week) FILTER (WHERE purchases > 0) OVER (PARTITION BY id_buyer) AS is_new
    FROM buyer_weeks
),
per_week AS (
    SELECT
        week::date AS week,
        COUNT(*) FILTER (WHERE is_new) AS new_buyers,
        COUNT(*) FILTER (WHERE NOT is_new AND purchases > 0) AS returning_buyers,
        SUM(revenue) FILTER (WHERE is_new) AS new_revenue,
        SUM(revenue) FILTER (WHERE NOT is_new) AS returning_revenue,
        SUM(sales)::bigint AS sales
    FROM since_first
    GROUP BY week
),
weeks AS (
    SELECT first_week + 7 * number AS week
    FROM (SELECT MIN(week) AS first_week, MAX(week) AS last_week FROM per_week) AS period
    CROSS JOIN LATERAL GENERATE_SERIES(0, (last_week - first_week) / 7) AS number
)
SELECT
    weeks.week,
    COALESCE(per_week.new_buyers, 0) AS new_buyers,
    COALESCE(per_week.returning_buyers, 0) AS returning_buyers,
    ROUND(
        100.0 * per_week.returning_buyers / NULLIF(per_week.new_buyers + per_week.returning_buyers, 0), 12
    ) AS returning_percent,
    COALESCE(per_week.new_revenue, 0) AS new_revenue,
    COALESCE(per_week.returning_revenue, 0) AS returning_revenue,
    COALESCE(per_week.sales, 0) AS sales,
    LEAST(weeks.week + 6, DATE '9999-12-31') AS week_end
FROM weeks
LEFT JOIN per_week ON per_week.week = weeks.week
WHERE (%(start)s IS NULL OR weeks.week > %(start)s - 7)
    AND (%(end)s IS NULL OR weeks.week <= %(end)s)
