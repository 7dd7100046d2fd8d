/*
title = "Revenue from repeat buyers, week against week"
topic = "Buyers"
description = """
Of the buyers who bought in both of two weeks that follow each other: how many they are, their revenue in each week, and
the change in percent. Unless asked otherwise these are the first two weeks of January 2021, 1 to 7 and 8 to 14. With
more weeks two longer periods are compared. Days are UTC. Any sale makes a buyer, a free one and a refund too, and a
refund is negative revenue. The change is empty when there is nothing to divide by.
"""

[parameters.first_day]
type = "date"
default = "2021-01-01"
required = true
help = "The first day of the first week; it may be any day of the week."

[parameters.weeks]
type = "integer"
default = 1
minimum = 1
maximum = 520
required = true
help = "How many weeks each of the two periods has."

[columns.week_1_revenue]
title = "Revenue in week 1"
format = "money"

[columns.week_2_revenue]
title = "Revenue in week 2"
format = "money"

[columns.change_percent]
title = "Change"
format = "percent"

[chart]
type = "bar"
x = "buyers"
y = ["week_1_revenue", "week_2_revenue"]
*/
-- Each week looks for its buyers in the other one, by itself: both can be done by several processes at once. That a
-- payment in week 1 was made before one in week 2 is always so; said, it keeps PostgreSQL from making the buyers of the
-- other week distinct first, which takes longer.
WITH week_1 AS (
    SELECT
        COUNT(DISTINCT id_buyer) AS buyers,
        COALESCE(SUM(revenue), 0) AS revenue
    FROM sales
    WHERE date_payment >= %(first_day)s
        AND date_payment < %(first_day)s + (7 * %(weeks)s)::int
        AND EXISTS (
            SELECT FROM sales AS later
            WHERE later.id_buyer = sales.id_buyer
                AND later.date_payment >= %(first_day)s + (7 * %(weeks)s)::int
                AND later.date_payment < %(first_day)s + (14 * %(weeks)s)::int
                AND later.date_payment > sales.date_payment
        )
),
week_2 AS (
    SELECT COALESCE(SUM(revenue), 0) AS revenue
    FROM sales
    WHERE date_payment >= %(first_day)s + (7 * %(weeks)s)::int
        AND date_payment < %(first_day)s + (14 * %(weeks)s)::int
        AND EXISTS (
            SELECT FROM sales AS earlier
            WHERE earlier.id_buyer = sales.id_buyer
                AND earlier.date_payment >= %(first_day)s
                AND earlier.date_payment < %(first_day)s + (7 * %(weeks)s)::int
                AND earlier.date_payment < sales.date_payment
        )
)
SELECT
    week_1.buyers,
    week_1.revenue AS week_1_revenue,
    week_2.revenue AS week_2_revenue,
    ROUND(100 * (week_2.revenue - week_1.revenue) / NULLIF(week_1.revenue, 0), 12) AS change_percent
FROM week_1
CROSS JOIN week_2
