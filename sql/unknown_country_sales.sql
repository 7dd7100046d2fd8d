/*
title = "Sales of countries without a name"
topic = "Data quality"
depends_on = ["sales", "country"]
description = """
Countries that appear in sales but not in the table of countries. For each id: the number of sales with it as the
seller's country and as the buyer's country, their revenue, and the first and the last payment. A sale between two
unknown countries counts once on each side. A refund counts as a sale with negative revenue. The id with the most sales
comes first. To name a country, add it under Countries or with manage.py load_countries.
"""
order = "seller_sales + buyer_sales DESC, id_country"

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

[columns.seller_sales]
title = "Sales by sellers"
format = "count"
sales = { id_seller_country = "id_country", start = "start", end = "end" }

[columns.seller_revenue]
title = "Revenue of sellers"
format = "money"

[columns.buyer_sales]
title = "Sales to buyers"
format = "count"
sales = { id_buyer_country = "id_country", start = "start", end = "end" }

[columns.buyer_revenue]
title = "Revenue from buyers"
format = "money"

[columns.first_payment]
title = "First payment (UTC)"

[columns.last_payment]
title = "Last payment (UTC)"

[chart]
type = "bar"
x = "id_country"
y = ["seller_revenue", "buyer_revenue"]

[[assertions]]
rows = "= 0"
severity = "warn"
message = "Some sales have a country without a name."
*/
WITH per_pair AS (
    SELECT
        id_seller_country,
        id_buyer_country,
        COUNT(*) AS sales,
        SUM(revenue) AS revenue,
        MIN(date_payment) AS first_payment,
        MAX(date_payment) AS last_payment
    FROM sales
    WHERE (%(start)s IS NULL OR date_payment >= %(start)s)
        AND (%(end)s IS NULL OR date_payment < %(end)s + 1)
    GROUP BY id_seller_country, id_buyer_country
),
per_role AS (
    SELECT id_seller_country AS id_country, TRUE AS is_seller, sales, revenue, first_payment, last_payment FROM per_pair
    UNION ALL
    SELECT id_buyer_country, FALSE, sales, revenue, first_payment, last_payment FROM per_pair
)
SELECT
    per_role.id_country,
    COALESCE(SUM(per_role.sales) FILTER (WHERE per_role.is_seller), 0)::bigint AS seller_sales,
    COALESCE(SUM(per_role.revenue) FILTER (WHERE per_role.is_seller), 0) AS seller_revenue,
    COALESCE(SUM(per_role.sales) FILTER (WHERE NOT per_role.is_seller), 0)::bigint AS buyer_sales,
    COALESCE(SUM(per_role.revenue) FILTER (WHERE NOT per_role.is_seller), 0) AS buyer_revenue,
    MIN(per_role.first_payment) AS first_payment,
    MAX(per_role.last_payment) AS last_payment
FROM per_role
LEFT JOIN country ON country.id_country = per_role.id_country
WHERE country.id_country IS NULL
GROUP BY per_role.id_country
