{{ latest_of(ref('hist_stock')) }}
