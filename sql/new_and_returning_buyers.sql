/*
title = "New and returning buyers by week"
topic = "Buyers"
depends_on = ["sales"]
description = """
For each week (ISO, from Monday, UTC): how many buyers made their first purchase ever in it, how many bought who had
bought in an earlier week, and what each of the two paid. A free item is a purchase; a refund is none, so it makes
nobody a buyer of a week. It is negative revenue, of the new buyers when it falls into the week of the buyer's first
purchase, else of the returning ones; so the two revenues together are all revenue of the week. Weeks without sales are
there, too. The newest week may not be over yet.
"""
timeout = "120s"

[parameters.start]
type = "date"
label = "From"
help = "The weeks from the one that has this day. Without it there is no limit."

[parameters.end]
type = "date"
label = "To"
help = "The weeks up to the one that has this day. Without it there is no limit."

[columns.week]
title = "Week from"

[columns.new_revenue]
title = "Revenue from new buyers"
format = "money"

[columns.returning_revenue]
title = "Revenue from returning buyers"
format = "money"

[columns.returning_percent]
title = "Returning buyers"
format = "percent"

[columns.sales]
sales = { start = "week", end = "week_end" }

[columns.week_end]
title = "Week to"

[chart]
type = "stacked"
x = "week"
y = ["new_buyers", "returning_buyers"]
*/
-- Materialized, this is planned by itself: one pass over the sales. Planned for what follows, they would be fetched one
-- by one in the order of their buyers.
WITH buyer_weeks AS MATERIALIZED (
    SELECT
        id_buyer,
        DATE_TRUNC('week', date_payment) AS week,
        COUNT(*) AS sales,
        COUNT(*) FILTER (WHERE revenue >= 0) AS purchases,
        QUICK_SUM(revenue) AS revenue
    FROM sales
    GROUP BY id_buyer, week
),
since_first AS (
    SELECT
        week,
        sales,
        purchases,
        revenue,
        -- False, not null, for a buyer who only ever had refunds.
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
    weeks.week + 6 AS week_end
FROM weeks
LEFT JOIN per_week ON per_week.week = weeks.week
WHERE (%(start)s IS NULL OR weeks.week > %(start)s - 7)
    AND (%(end)s IS NULL OR weeks.week <= %(end)s)
ORDER BY weeks.week
