/*
title = "Contribution of each seller country"
topic = "Countries"
depends_on = ["sales", "country"]
description = """
Each country's share of the total revenue and of all items sold, in percent, by the country of the seller. The country
with the highest revenue comes first. The shares add up to 100. The shares of revenue are empty if the total revenue is
zero. A refund counts as an item with negative revenue. A country without a name appears under its id.
"""
order = "revenue DESC, id_country"

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[columns.id_country]
title = "Country id"

[columns.country_name]
title = "Country"

[columns.revenue]
format = "money"
sales = { id_seller_country = "id_country", start = "start", end = "end" }

[columns.items]
format = "count"
sales = { id_seller_country = "id_country", start = "start", end = "end" }

[columns.revenue_percent]
title = "Share of revenue"
format = "percent"

[columns.items_percent]
title = "Share of items"
format = "percent"

[chart]
type = "bar"
x = "country_name"
y = ["revenue"]

[[assertions]]
expression = """
SUM(revenue_percent) BETWEEN 99.999999 AND 100.000001 AND SUM(items_percent) BETWEEN 99.999999 AND 100.000001
"""
message = "The shares do not add up to 100."
*/
WITH per_country AS (
    SELECT
        id_seller_country,
        SUM(revenue) AS revenue,
        SUM(sales_count)::bigint AS items
    FROM country_sales
    WHERE (%(start)s IS NULL OR day >= %(start)s)
        AND (%(end)s IS NULL OR day <= %(end)s)
    GROUP BY id_seller_country
    HAVING SUM(sales_count) > 0
)
SELECT
    per_country.id_seller_country AS id_country,
    COALESCE(country.country_name, per_country.id_seller_country) AS country_name,
    per_country.revenue,
    per_country.items,
    -- With 12 decimals, the shares of a thousand countries add up to 100 within a billionth.
    ROUND(100 * per_country.revenue / NULLIF(SUM(per_country.revenue) OVER (), 0), 12) AS revenue_percent,
    ROUND(100 * per_country.items / SUM(per_country.items) OVER (), 12) AS items_percent
FROM per_country
LEFT JOIN country ON country.id_country = per_country.id_seller_country
