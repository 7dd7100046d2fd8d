/*
title = "Daily revenue of each category"
topic = "Categories"
depends_on = ["sales"]
rows = 400
description = """
Sales and revenue of each category on each day of payment (UTC), and the average revenue of the seven days that end with
it. Every day of the period is there for every category that was ever sold; a day without sales counts as zero, in the
average too. The row without a category holds the sales that have none. A refund counts as a sale of negative revenue.
The figures are the exact totals that are kept up with each sale, so they are there at once, however many sales there
are.
"""

[parameters.start]
type = "date"
label = "From"
help = "The first day (UTC). Left empty, so many days up to the last one as said below."

[parameters.end]
type = "date"
label = "To"
help = "The last day (UTC). Left empty, the newest day that has a sale."

[parameters.days]
type = "integer"
default = 30
minimum = 1
maximum = 3660
required = true
help = "How many days there are, where no first day is given."

[parameters.category]
type = "category"
help = "Only this category."

[columns.sales]
sales = { category = "category", start = "day", end = "day" }

[columns.revenue]
format = "money"
sales = { category = "category", start = "day", end = "day" }

[columns.revenue_7_day_average]
title = "7-day average"
format = "money"

[chart]
type = "line"
x = "day"
y = ["revenue_7_day_average"]
series = "category"

[[assertions]]
expression = "COUNT(*) = COUNT(DISTINCT day) * COUNT(DISTINCT COALESCE(category, ''))"
message = "A category has not every day once."
*/
-- Totals and journal together are every committed sale once, and one statement sees both from one snapshot.
WITH figures AS (
    SELECT category, day, sales_count, revenue FROM feedback_daily_total
    UNION ALL
    SELECT category, day, sales_count, revenue FROM feedback_journal
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
-- The average of the first day needs the six days before it, too.
days AS (
    SELECT first_day, first_day - 6 + number AS day
    FROM period
    CROSS JOIN LATERAL GENERATE_SERIES(0, last_day - first_day + 6) AS number
    WHERE first_day <= last_day
),
per_day AS (
    SELECT category, day, SUM(sales_count)::bigint AS sales, SUM(revenue) AS revenue
    FROM figures
    WHERE day >= (SELECT first_day - 6 FROM period)
        AND day <= (SELECT last_day FROM period)
    GROUP BY category, day
),
filled AS (
    SELECT
        days.first_day,
        days.day,
        categories.category,
        COALESCE(per_day.sales, 0) AS sales,
        COALESCE(per_day.revenue, 0) AS revenue
    FROM days
    CROSS JOIN categories
    LEFT JOIN per_day
        -- Null is a category here. COALESCE lets the rows be matched by hash, as IS NOT DISTINCT FROM would not.
        ON per_day.day = days.day AND COALESCE(per_day.category, '') = COALESCE(categories.category, '')
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
ORDER BY day, category COLLATE "C" NULLS LAST
