/*
title = "Revenue from repeat buyers, first two weeks of January 2021"
description = """
Of the buyers who bought in both the first week of January 2021 (1 to 7) and the second (8 to 14): how many they are, their
revenue in each week, and the change in percent. Days are UTC. The change is empty when there is nothing to divide by.
"""
*/
WITH per_buyer AS (
    SELECT
        id_buyer,
        SUM(revenue) FILTER (WHERE date_payment < TIMESTAMPTZ '2021-01-08 00:00:00+00') AS week_1,
        SUM(revenue) FILTER (WHERE date_payment >= TIMESTAMPTZ '2021-01-08 00:00:00+00') AS week_2
    FROM sales
    WHERE date_payment >= TIMESTAMPTZ '2021-01-01 00:00:00+00'
        AND date_payment < TIMESTAMPTZ '2021-01-15 00:00:00+00'
    GROUP BY id_buyer
),
repeat_buyers AS (
    SELECT
        COUNT(*) AS buyers,
        COALESCE(SUM(week_1), 0) AS week_1_revenue,
        COALESCE(SUM(week_2), 0) AS week_2_revenue
    FROM per_buyer
    WHERE week_1 IS NOT NULL  -- null: no sale in that week
        AND week_2 IS NOT NULL
)
SELECT
    buyers,
    week_1_revenue,
    week_2_revenue,
    ROUND(100 * (week_2_revenue - week_1_revenue) / NULLIF(week_1_revenue, 0), 12) AS change_percent
FROM repeat_buyers
