{{ latest_of(ref('hist_sales_orders')) }}
