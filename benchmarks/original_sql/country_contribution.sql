/*
title = "Contribution of each seller country, shares by window"
description = "Joins country names to every sale, then sums by name."
*/
SELECT
    country.country_name,
    SUM(sales.revenue) AS revenue,
    COUNT(*) AS items,
    100 * SUM(sales.revenue) / SUM(SUM(sales.revenue)) OVER () AS revenue_share,
    100.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS items_share
FROM sales
JOIN country ON country.id_country = sales.id_seller_country
GROUP BY country.country_name
ORDER BY revenue DESC
