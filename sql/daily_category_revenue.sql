/*
title = "Daily revenue by category"
topic = "Categories"
depends_on = ["sales"]
rows = 400
description = """
Sales and revenue of each category on each day of payment (UTC), and the average daily revenue of the last seven days.
Each category has a row for each day of the period. A day without sales counts as zero, also in the average. Sales
without a category have rows of their own. A refund counts as a sale with negative revenue. The report reads totals
that are exact and always up to date, so it is fast for any number of sales.
"""
order = 'day, category COLLATE "C" NULLS LAST'

[parameters.start]
type = "date"
label = "From"
help = "The first day (UTC). Leave empty for the number of days below."

[parameters.end]
type = "date"
label = "To"
help = "The last day (UTC). Leave empty for the newest day with a sale."

[parameters.days]
type = "integer"
default = 30
minimum = 1
maximum = 3660
required = true
help = "The number of days, if the first day is empty."

[parameters.category]
type = "category"
help = "Only this category."

[columns.sales]
format = "count"
sales = { category = "category", start = "day", end = "day" }

[columns.revenue]
format = "money"
sales = { category = "category", start = "day", end = "day" }

[columns.revenue_7_day_average]
title = "7-day average revenue"
format = "money"

[chart]
type = "line"
x = "day"
y = ["revenue_7_day_average"]
series = "category"

[[assertions]]
expression = "COUNT(*) = COUNT(DISTINCT day) * COUNT(DISTINCT COALESCE(category, ''))"
message = "Some days are missing or duplicated for a category."
*/
-- Totals and ledger together contain each committed sale once. One statement reads both from one snapshot.
WITH figures AS (
    SELECT category, day, SUM(sales_count)::bigint AS sales, SUM(revenue) AS revenue
    FROM (
        SELECT category, day, sales_count, revenue FROM feedback_daily_total
        UNION ALL
        SELECT category, day, sales_count, revenue FROM ledger_tallies
    ) AS parts
    GROUP BY category, day
    HAVING SUM(sales_count) > 0
),
categories AS (
    SELECT DISTINCT category
    FROM figures
    WHERE %(category)s IS NULL OR category = %(category)s
),
last AS (
    SELECT COALESCE(%(end)s, MAX(day)) AS last_day FROM figures
),
period AS (
    SELECT COALESCE(%(start)s, last_day - (%(days)s - 1)::int) AS first_day, last_day FROM last
),
-- The average of the first day also needs the six days before it.
days AS (
    SELECT first_day, first_day - 6 + number AS day
    FROM period
    CROSS JOIN LATERAL GENERATE_SERIES(0, last_day - first_day + 6) AS number
    WHERE first_day <= last_day
),
filled AS (
    SELECT
        days.first_day,
        days.day,
        categories.category,
        COALESCE(figures.sales, 0) AS sales,
        COALESCE(figures.revenue, 0) AS revenue
    FROM days
    CROSS JOIN categories
    LEFT JOIN figures
        -- Null is a category here. COALESCE allows a hash join, unlike IS NOT DISTINCT FROM.
        ON figures.day = days.day AND COALESCE(figures.category, '') = COALESCE(categories.category, '')
),
averaged AS (
    SELECT
        first_day,
        day,
        category,
        sales,
        revenue,
        SUM(revenue) OVER (
            PARTITION BY category ORDER BY day ROWS BETWEEN 6 PRECEDING AND CURRENT ROW
        ) AS revenue_of_7_days
    FROM filled
)
SELECT
    day,
    category,
    sales,
    revenue,
    ROUND(revenue_of_7_days / 7, 12) AS revenue_7_day_average
FROM averaged
WHERE day >= first_day
