{{ latest_of(ref('hist_stock_transfers')) }}
