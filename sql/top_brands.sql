/*
title = "Top brands"
topic = "Brands"
depends_on = ["sales"]
description = """
The brands with the highest revenue. Brands with equal revenue are sorted by name. The share is in percent of the
revenue of all selected sales. Sales without a brand are part of that revenue, but have no row. A refund counts as a
sale with negative revenue, so shares can exceed 100 in a period with large refunds. The average is revenue divided by
sales.
"""
order = 'revenue DESC, brand COLLATE "C"'

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[parameters.category]
type = "category"
help = "Only sales of this category."

[parameters.brands]
type = "integer"
default = 25
minimum = 1
help = "The number of brands to list. Leave empty for all."

[columns.revenue]
format = "money"
sales = { brand = "brand", category = "category", start = "start", end = "end" }

[columns.sales]
format = "count"
sales = { brand = "brand", category = "category", start = "start", end = "end" }

[columns.average_sale]
format = "money"

[columns.revenue_percent]
title = "Share of revenue"
format = "percent"

[chart]
type = "bar"
x = "brand"
y = ["revenue"]
*/
WITH per_brand AS (
    SELECT
        brand,
        SUM(revenue) AS revenue,
        COUNT(*) AS sales
    FROM sales
    WHERE (%(start)s IS NULL OR date_payment >= %(start)s)
        AND (%(end)s IS NULL OR date_payment < %(end)s + 1)
        AND (%(category)s IS NULL OR category = %(category)s)
    GROUP BY brand
),
with_share AS (
    SELECT
        brand,
        revenue,
        sales,
        ROUND(revenue / sales, 12) AS average_sale,
        ROUND(100 * revenue / NULLIF(SUM(revenue) OVER (), 0), 12) AS revenue_percent
    FROM per_brand
)
SELECT
    brand,
    revenue,
    sales,
    average_sale,
    revenue_percent
FROM with_share
WHERE brand IS NOT NULL
ORDER BY revenue DESC, brand COLLATE "C"
LIMIT %(brands)s
