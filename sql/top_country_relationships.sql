/*
title = "Strongest relationship between two countries"
description = """
The two countries with the highest combined revenue from sales to each other: what sellers in each sold to buyers in the
other, both directions added together. Sales within one country are left out.
"""
*/
WITH per_direction AS (
    SELECT
        id_seller_country,
        id_buyer_country,
        SUM(revenue) AS revenue,
        COUNT(*) AS sales
    FROM sales
    WHERE id_seller_country <> id_buyer_country
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
    LIMIT 1
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
