/*
title = "Strongest relationships between two countries"
topic = "Countries"
depends_on = ["sales", "country"]
description = """
The two countries with the highest combined revenue from sales to each other: what sellers in each sold to buyers in the
other, both directions added together. Sales within one country are left out. A refund counts as a sale of negative
revenue. With more pairs, the next ones follow; of equal ones the lowest ids come first. A country that has no name yet
appears under its id.
"""

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment that counts (UTC). Without it there is no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment that counts (UTC). Without it there is no limit."

[parameters.pairs]
type = "integer"
default = 1
minimum = 1
maximum = 100000
required = true
help = "How many pairs of countries are listed."

[columns.id_country_1]
title = "One country's id"

[columns.country_name_1]
title = "One country"

[columns.id_country_2]
title = "The other's id"

[columns.country_name_2]
title = "The other"

[columns.revenue]
format = "money"

[chart]
type = "bar"
x = "country_name_2"
y = ["revenue"]
series = "country_name_1"
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
ORDER BY top_relationship.revenue DESC, top_relationship.id_country_1, top_relationship.id_country_2
