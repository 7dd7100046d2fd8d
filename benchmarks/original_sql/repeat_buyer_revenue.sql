/*
title = "Revenue from repeat buyers"
description = "Sums each week by buyer, then joins the weeks."
*/
WITH week_1 AS (
    SELECT id_buyer, SUM(revenue) AS revenue
    FROM sales
    WHERE date_payment >= '2021-01-01 00:00:00+00' AND date_payment < '2021-01-08 00:00:00+00'
    GROUP BY id_buyer
),
week_2 AS (
    SELECT id_buyer, SUM(revenue) AS revenue
    FROM sales
    WHERE date_payment >= '2021-01-08 00:00:00+00' AND date_payment < '2021-01-15 00:00:00+00'
    GROUP BY id_buyer
)
SELECT
    COUNT(*) AS buyers,
    SUM(week_1.revenue) AS week_1_revenue,
    SUM(week_2.revenue) AS week_2_revenue,
    100 * (SUM(week_2.revenue) - SUM(week_1.revenue)) / SUM(week_1.revenue) AS change
FROM week_1
JOIN week_2 ON week_2.id_buyer = week_1.id_buyer
