/*
title = "Strongest relationship between two countries"
description = "Joins both country names to every sale, then sums by pair of names."
*/
SELECT
    LEAST(seller_country.country_name, buyer_country.country_name) AS country_1,
    GREATEST(seller_country.country_name, buyer_country.country_name) AS country_2,
    SUM(sales.revenue) AS revenue,
    COUNT(*) AS sales
FROM sales
JOIN country AS seller_country ON seller_country.id_country = sales.id_seller_country
JOIN country AS buyer_country ON buyer_country.id_country = sales.id_buyer_country
WHERE sales.id_seller_country <> sales.id_buyer_country
GROUP BY country_1, country_2
ORDER BY revenue DESC
LIMIT 1
