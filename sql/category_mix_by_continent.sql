/*
title = "Category mix by continent"
topic = "Categories"
depends_on = ["sales", "country"]
description = """
Revenue and sales of each category on each continent, and the category's share of the continent's revenue in percent.
The continent is that of the buyer or of the seller. The continent with the highest revenue comes first. Countries
without a name or a continent belong to the continent "unknown", and sales without a category have a row of their own.
So the shares of a continent add up to 100. They are empty if its revenue is zero. A refund counts as a sale with
negative revenue.
"""
order = 'SUM(revenue) OVER (PARTITION BY continent) DESC, continent COLLATE "C", revenue DESC, category COLLATE "C" NULLS LAST'

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[parameters.side]
type = "choice"
choices = ["buyer", "seller"]
default = "buyer"
required = true
help = "Use the continent of the buyer or of the seller."

[columns.revenue]
format = "money"

[columns.sales]
format = "count"

[columns.revenue_percent]
title = "Share of the continent's revenue"
format = "percent"

[chart]
type = "stacked"
x = "continent"
y = ["revenue_percent"]
series = "category"

[[assertions]]
expression = """
ABS(SUM(revenue_percent) - 100 * COUNT(DISTINCT continent) FILTER (WHERE revenue_percent IS NOT NULL)) < 0.000001
"""
message = "The shares of a continent do not add up to 100."
*/
WITH per_country AS (
    SELECT
        CASE %(side)s WHEN 'buyer' THEN id_buyer_country ELSE id_seller_country END AS id_country,
        category,
        SUM(revenue) AS revenue,
        COUNT(*) AS sales
    FROM sales
    WHERE (%(start)s IS NULL OR date_payment >= %(start)s)
        AND (%(end)s IS NULL OR date_payment < %(end)s + 1)
    GROUP BY id_country, category
),
per_continent AS (
    SELECT
        COALESCE(NULLIF(country.continent, ''), 'unknown') AS continent,
        per_country.category,
        SUM(per_country.revenue) AS revenue,
        SUM(per_country.sales)::bigint AS sales
    FROM per_country
    LEFT JOIN country ON country.id_country = per_country.id_country
    GROUP BY 1, per_country.category
),
with_total AS (
    SELECT
        continent,
        category,
        revenue,
        sales,
        SUM(revenue) OVER (PARTITION BY continent) AS continent_revenue
    FROM per_continent
)
SELECT
    continent,
    category,
    revenue,
    sales,
    ROUND(100 * revenue / NULLIF(continent_revenue, 0), 12) AS revenue_percent
FROM with_total
