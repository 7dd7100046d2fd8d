/*
title = "Largest buyers"
topic = "Buyers"
depends_on = ["sales", "country"]
description = """
The buyers with the highest revenue, and their share of the revenue of all selected sales in percent. Buyers with equal
revenue are sorted by id. A refund counts as a sale with negative revenue, and also has a column of its own. The country
is the one with most of the buyer's sales, or the lowest id of several. A country without a name appears under its id.
"""
order = "revenue DESC, id_buyer"
timeout = "120s"

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[parameters.country]
type = "country"
help = "Only sales to buyers in this country."

[parameters.buyers]
type = "integer"
default = 100
minimum = 1
help = "The number of buyers to list. Leave empty for all."

[columns.id_buyer]
title = "Buyer"

[columns.id_country]
title = "Country id"

[columns.country_name]
title = "Country"

[columns.revenue]
format = "money"
sales = { id_buyer = "id_buyer", id_buyer_country = "country", start = "start", end = "end" }

[columns.sales]
title = "Sales and refunds"
format = "count"
sales = { id_buyer = "id_buyer", id_buyer_country = "country", start = "start", end = "end" }

[columns.refunds]
title = "Refunds"
format = "count"

[columns.first_payment]
title = "First payment (UTC)"

[columns.last_payment]
title = "Last payment (UTC)"

[columns.revenue_percent]
title = "Share of revenue"
format = "percent"

[chart]
type = "bar"
x = "id_buyer"
y = ["revenue"]
*/
-- Most buyers have one country, so grouping by both columns makes few more groups than grouping by buyer.
-- For speed only: the two halves by hash of the id let two processes work at once, each in one pass over the sales.
WITH selected AS NOT MATERIALIZED (
    SELECT
        id_buyer,
        id_buyer_country AS id_country,
        revenue,
        date_payment,
        HASHTEXT(id_buyer) < 0 AS is_first_half
    FROM sales
    WHERE (%(start)s IS NULL OR date_payment >= %(start)s)
        AND (%(end)s IS NULL OR date_payment < %(end)s + 1)
        AND (%(country)s IS NULL OR id_buyer_country = %(country)s)
),
per_country AS MATERIALIZED (
    SELECT
        id_buyer,
        id_country,
        SUM(revenue) AS revenue,
        COUNT(*) AS sales,
        COUNT(*) FILTER (WHERE revenue < 0) AS refunds,
        MIN(date_payment) AS first_payment,
        MAX(date_payment) AS last_payment
    FROM selected
    WHERE is_first_half
    GROUP BY id_buyer, id_country
    UNION ALL
    SELECT
        id_buyer,
        id_country,
        SUM(revenue),
        COUNT(*),
        COUNT(*) FILTER (WHERE revenue < 0),
        MIN(date_payment),
        MAX(date_payment)
    FROM selected
    WHERE NOT is_first_half
    GROUP BY id_buyer, id_country
),
per_buyer AS (
    SELECT
        id_buyer,
        (ARRAY_AGG(id_country ORDER BY sales DESC, id_country))[1] AS id_country,
        SUM(revenue) AS revenue,
        SUM(sales)::bigint AS sales,
        SUM(refunds)::bigint AS refunds,
        MIN(first_payment) AS first_payment,
        MAX(last_payment) AS last_payment
    FROM per_country
    GROUP BY id_buyer
),
largest AS (
    SELECT
        *,
        SUM(revenue) OVER () AS revenue_of_all
    FROM per_buyer
    ORDER BY revenue DESC, id_buyer
    LIMIT %(buyers)s
)
SELECT
    largest.id_buyer,
    largest.id_country,
    COALESCE(country.country_name, largest.id_country) AS country_name,
    largest.revenue,
    largest.sales,
    largest.refunds,
    ROUND(100 * largest.revenue / NULLIF(largest.revenue_of_all, 0), 12) AS revenue_percent,
    largest.first_payment,
    largest.last_payment
FROM largest
LEFT JOIN country ON country.id_country = largest.id_country
