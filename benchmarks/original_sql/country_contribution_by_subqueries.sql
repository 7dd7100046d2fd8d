/*
title = "Contribution of each seller country, shares by subqueries"
description = "Like country_contribution, but each total is a subquery."
*/
SELECT
    country.country_name,
    SUM(sales.revenue) AS revenue,
    COUNT(*) AS items,
    100 * SUM(sales.revenue) / (SELECT SUM(revenue) FROM sales) AS revenue_share,
    100.0 * COUNT(*) / (SELECT COUNT(*) FROM sales) AS items_share
FROM sales
JOIN country ON country.id_country = sales.id_seller_country
GROUP BY country.country_name
ORDER BY revenue DESC
