/*
title = "Average sale by buyer country"
topic = "Countries"
depends_on = ["sales", "country"]
description = """
The average sale to buyers of each country, highest first. Refunds (sales with negative revenue) do not count toward
the average or the number of sales. They have a column of their own, and the revenue is after refunds. A free item
counts as a sale. A country that only has refunds has no average and comes last. A country without a name appears under
its id.
"""
order = "average_sale DESC NULLS LAST, id_country"

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

[parameters.minimum_sales]
type = "integer"
default = 1
minimum = 0
required = true
help = "Leave out countries with fewer sales, because their average says little."

[columns.id_country]
title = "Country id"

[columns.country_name]
title = "Country"

[columns.average_sale]
format = "money"

[columns.sales]
format = "count"

[columns.refunds]
format = "count"

[columns.revenue]
title = "Revenue after refunds"
format = "money"
sales = { id_buyer_country = "id_country", category = "category", start = "start", end = "end" }

[chart]
type = "bar"
x = "country_name"
y = ["average_sale"]
*/
WITH per_country AS (
    SELECT
        id_buyer_country,
        COUNT(*) FILTER (WHERE revenue >= 0) AS sales,
        SUM(revenue) FILTER (WHERE revenue >= 0) AS sales_revenue,
        COUNT(*) FILTER (WHERE revenue < 0) AS refunds,
        SUM(revenue) AS revenue
    FROM sales
    WHERE (%(start)s IS NULL OR date_payment >= %(start)s)
        AND (%(end)s IS NULL OR date_payment < %(end)s + 1)
        AND (%(category)s IS NULL OR category = %(category)s)
    GROUP BY id_buyer_country
)
SELECT
    per_country.id_buyer_country AS id_country,
    COALESCE(country.country_name, per_country.id_buyer_country) AS country_name,
    ROUND(per_country.sales_revenue / NULLIF(per_country.sales, 0), 12) AS average_sale,
    per_country.sales,
    per_country.refunds,
    per_country.revenue
FROM per_country
LEFT JOIN country ON country.id_country = per_country.id_buyer_country
WHERE per_country.sales >= %(minimum_sales)s
