/*
title = "Sales, line by line"
topic = "Sales"
depends_on = ["sales", "country"]
requires = ["read"]
description = """
All sales that match every filter, the newest payment first. The list of sales in the back office shows the same sales
for the same filters. A country without a name appears under its id.
"""
order = "date_payment DESC, id DESC"
timeout = "10m"

[parameters.start]
type = "date"
label = "From"
help = "The first day of payment to include (UTC). Leave empty for no limit."

[parameters.end]
type = "date"
label = "To"
help = "The last day of payment to include (UTC). Leave empty for no limit."

[parameters.minimum]
type = "decimal"
label = "Revenue from"
help = "The lowest revenue. A refund has negative revenue."

[parameters.maximum]
type = "decimal"
label = "Revenue to"
help = "The highest revenue."

[parameters.category]
type = "category"

[parameters.no_category]
type = "boolean"
label = "Without a category"
help = "Yes: only sales without a category. No: only sales with one."

[parameters.brand]
type = "text"
help = "The whole name. Upper and lower case matter."

[parameters.no_brand]
type = "boolean"
label = "Without a brand"
help = "Yes: only sales without a brand. No: only sales with one."

[parameters.seller_country]
type = "country"
label = "Seller country"

[parameters.buyer_country]
type = "country"
label = "Buyer country"

[parameters.seller_continent]
type = "text"
label = "Seller continent"

[parameters.buyer_continent]
type = "text"
label = "Buyer continent"

[parameters.id_order]
type = "text"
label = "Order"

[parameters.id_product]
type = "text"
label = "Product"

[parameters.id_buyer]
type = "text"
label = "Buyer"

[parameters.id_seller]
type = "text"
label = "Seller"

[parameters.any_id]
type = "text"
label = "Any id"
help = "The whole id of an order, product, buyer or seller, or the id of a sale."

[columns.id]
title = "Sale id"

[columns.date_payment]
title = "Paid at (UTC)"

[columns.id_order]
title = "Order"

[columns.id_product]
title = "Product"

[columns.revenue]
format = "money"

[columns.id_buyer]
title = "Buyer"

[columns.id_buyer_country]
title = "Buyer country id"

[columns.buyer_country_name]
title = "Buyer country"

[columns.id_seller]
title = "Seller"

[columns.id_seller_country]
title = "Seller country id"

[columns.seller_country_name]
title = "Seller country"

[columns.event_id]
title = "Event id"

[columns.received_at]
title = "Received at (UTC)"
*/
-- The ids of a continent are an array, because PostgreSQL can use an index for an array but not for a join behind an
-- OR.
SELECT
    sales.id,
    sales.date_payment,
    sales.id_order,
    sales.id_product,
    sales.category,
    sales.brand,
    sales.revenue,
    sales.id_buyer,
    sales.id_buyer_country,
    COALESCE(buyer_country.country_name, sales.id_buyer_country) AS buyer_country_name,
    sales.id_seller,
    sales.id_seller_country,
    COALESCE(seller_country.country_name, sales.id_seller_country) AS seller_country_name,
    sales.event_id,
    sales.received_at
FROM sales
LEFT JOIN country AS buyer_country ON buyer_country.id_country = sales.id_buyer_country
LEFT JOIN country AS seller_country ON seller_country.id_country = sales.id_seller_country
WHERE (%(start)s IS NULL OR sales.date_payment >= %(start)s)
    AND (%(end)s IS NULL OR sales.date_payment < %(end)s + 1)
    AND (%(minimum)s IS NULL OR sales.revenue >= %(minimum)s)
    AND (%(maximum)s IS NULL OR sales.revenue <= %(maximum)s)
    AND (%(category)s IS NULL OR sales.category = %(category)s)
    AND (%(no_category)s IS NULL OR (sales.category IS NULL) = %(no_category)s)
    AND (%(brand)s IS NULL OR sales.brand = %(brand)s)
    AND (%(no_brand)s IS NULL OR (sales.brand IS NULL) = %(no_brand)s)
    AND (%(seller_country)s IS NULL OR sales.id_seller_country = %(seller_country)s)
    AND (%(buyer_country)s IS NULL OR sales.id_buyer_country = %(buyer_country)s)
    AND (
        %(seller_continent)s IS NULL
        OR sales.id_seller_country = ANY(ARRAY(SELECT id_country FROM country WHERE continent = %(seller_continent)s))
    )
    AND (
        %(buyer_continent)s IS NULL
        OR sales.id_buyer_country = ANY(ARRAY(SELECT id_country FROM country WHERE continent = %(buyer_continent)s))
    )
    AND (%(id_order)s IS NULL OR sales.id_order = %(id_order)s)
    AND (%(id_product)s IS NULL OR sales.id_product = %(id_product)s)
    AND (%(id_buyer)s IS NULL OR sales.id_buyer = %(id_buyer)s)
    AND (%(id_seller)s IS NULL OR sales.id_seller = %(id_seller)s)
    AND (
        %(any_id)s IS NULL
        OR sales.id_order = %(any_id)s
        OR sales.id_product = %(any_id)s
        OR sales.id_buyer = %(any_id)s
        OR sales.id_seller = %(any_id)s
        OR sales.id = CASE WHEN %(any_id)s ~ '^[0-9]{1,18}$' THEN %(any_id)s::bigint END
    )
