{{ latest_of(ref('hist_items')) }}
