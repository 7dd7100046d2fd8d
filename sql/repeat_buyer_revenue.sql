/*
title = "Revenue from repeat buyers, week over week"
topic = "Buyers"
depends_on = ["sales"]
description = """
Buyers who bought in both of two consecutive periods: their number, their revenue in each period, and the change in
percent. By default a period is a week: the first two weeks of January 2021, from the 1st to the 7th and from the 8th to
the 14th. A larger number of weeks compares two longer periods. Days are in UTC. Every sale counts as a purchase, also a
free item or a refund. A refund is negative revenue. The change is empty if the revenue of the first period is zero.
"""

[parameters.first_day]
type = "date"
default = "2021-01-01"
required = true
help = "The first day of the first period. It can be any day of the week."

[parameters.weeks]
type = "integer"
default = 1
minimum = 1
maximum = 520
required = true
help = "The number of weeks in each of the two periods."

[columns.buyers]
format = "count"

[columns.week_1_revenue]
title = "Revenue in the first period"
format = "money"

[columns.week_2_revenue]
title = "Revenue in the second period"
format = "money"

[columns.change_percent]
title = "Change"
format = "percent"

[chart]
type = "bar"
y = ["week_1_revenue", "week_2_revenue"]
*/
-- For speed only: QUICK_SUM returns the same as SUM, but is faster for very many small groups. The two halves by hash of
-- the id let two processes work at once. (A remainder, %, would not: PostgreSQL would expect too few sales.) Grouping
-- by the half too makes PostgreSQL hash the buyers, instead of reading whole months in their order.
WITH weeks AS NOT MATERIALIZED (
    SELECT
        %(first_day)s::timestamp AT TIME ZONE 'UTC' AS first_begin,
        (%(first_day)s + (7 * %(weeks)s)::int)::timestamp AT TIME ZONE 'UTC' AS second_begin,
        (%(first_day)s + (14 * %(weeks)s)::int)::timestamp AT TIME ZONE 'UTC' AS second_end
),
selected AS NOT MATERIALIZED (
    SELECT
        id_buyer,
        revenue,
        date_payment < second_begin AS is_week_1,
        HASHTEXT(id_buyer) < 0 AS is_first_half
    FROM sales
    CROSS JOIN weeks
    WHERE date_payment >= first_begin
        AND date_payment < second_end
),
per_buyer AS (
    SELECT
        QUICK_SUM(revenue) FILTER (WHERE is_week_1) AS week_1_revenue,
        QUICK_SUM(revenue) FILTER (WHERE NOT is_week_1) AS week_2_revenue
    FROM selected
    WHERE is_first_half
    GROUP BY id_buyer, is_first_half
    UNION ALL
    SELECT
        QUICK_SUM(revenue) FILTER (WHERE is_week_1),
        QUICK_SUM(revenue) FILTER (WHERE NOT is_week_1)
    FROM selected
    WHERE NOT is_first_half
    GROUP BY id_buyer, is_first_half
),
repeat_buyers AS (
    SELECT
        COUNT(*) AS buyers,
        COALESCE(SUM(week_1_revenue), 0) AS week_1_revenue,
        COALESCE(SUM(week_2_revenue), 0) AS week_2_revenue
    FROM per_buyer
    WHERE week_1_revenue IS NOT NULL
        AND week_2_revenue IS NOT NULL
)
SELECT
    buyers,
    week_1_revenue,
    week_2_revenue,
    ROUND(100 * (week_2_revenue - week_1_revenue) / NULLIF(week_1_revenue, 0), 12) AS change_percent
FROM repeat_buyers
