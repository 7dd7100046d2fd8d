/*
title = "Contribution of each seller country"
description = """
Each country's share, in percent, of the total revenue and of all items sold, by the country of the seller, largest
revenue first. The shares of all rows add up to 100. A country that has no name yet appears under its id.
"""
*/
WITH per_country AS (
    SELECT
        id_seller_country,
        SUM(revenue) AS revenue,
        COUNT(*) AS items
    FROM sales
    GROUP BY id_seller_country
)
SELECT
    per_country.id_seller_country AS id_country,
    COALESCE(country.country_name, per_country.id_seller_country) AS country_name,
    per_country.revenue,
    per_country.items,
    -- 12 decimals: the shares of a thousand countries still add up to 100 within a billionth.
    ROUND(100 * per_country.revenue / NULLIF(SUM(per_country.revenue) OVER (), 0), 12) AS revenue_percent,
    ROUND(100 * per_country.items / SUM(per_country.items) OVER (), 12) AS items_percent
FROM per_country
LEFT JOIN country ON country.id_country = per_country.id_seller_country
ORDER BY per_country.revenue DESC, per_country.id_seller_country
