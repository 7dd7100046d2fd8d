/*
title = "Strongest relationships between two countries"
topic = "Countries"
depends_on = ["sales", "country"]
description = """
The two countries with the highest revenue from sales to each other: sales from sellers in one to buyers in the other,
both directions added together. Sales within one country do not count. A refund counts as a sale with negative revenue.
More pairs can be listed; pairs with equal revenue are sorted by their ids. A country without a name appears under its
id.
"""
order = "revenue DESC, id_country_1, id_country_2"

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[parameters.pairs]
type = "integer"
default = 1
minimum = 1
maximum = 100000
required = true
help = "The number of pairs to list."

[columns.id_country_1]
title = "First country id"

[columns.country_name_1]
title = "First country"

[columns.id_country_2]
title = "Second country id"

[columns.country_name_2]
title = "Second country"

[columns.revenue]
format = "money"

[columns.sales]
format = "count"

[chart]
type = "bar"
x = ["country_name_1", "country_name_2"]
y = ["revenue"]
*/
WITH per_direction AS (
    SELECT
        id_seller_country,
        id_buyer_country,
        SUM(revenue) AS revenue,
        SUM(sales_count) AS sales
    FROM country_sales
    WHERE id_seller_country <> id_buyer_country
        AND (%(start)s IS NULL OR day >= %(start)s)
        AND (%(end)s IS NULL OR day <= %(end)s)
    GROUP BY id_seller_country, id_buyer_country
    HAVING SUM(sales_count) > 0
),
top_relationship AS (
    SELECT
        LEAST(id_seller_country, id_buyer_country) AS id_country_1,
        GREATEST(id_seller_country, id_buyer_country) AS id_country_2,
        SUM(revenue) AS revenue,
        SUM(sales)::bigint AS sales
    FROM per_direction
    GROUP BY id_country_1, id_country_2
    ORDER BY revenue DESC, id_country_1, id_country_2
    LIMIT %(pairs)s
)
SELECT
    top_relationship.id_country_1,
    COALESCE(country_1.country_name, top_relationship.id_country_1) AS country_name_1,
    top_relationship.id_country_2,
    COALESCE(country_2.country_name, top_relationship.id_country_2) AS country_name_2,
    top_relationship.revenue,
    top_relationship.sales
FROM top_relationship
LEFT JOIN country AS country_1 ON country_1.id_country = top_relationship.id_country_1
LEFT JOIN country AS country_2 ON country_2.id_country = top_relationship.id_country_2
