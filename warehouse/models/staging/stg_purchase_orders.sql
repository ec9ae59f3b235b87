{{ latest_of(ref('hist_purchase_orders')) }}
