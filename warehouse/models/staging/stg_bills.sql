{{ latest_of(ref('hist_bills')) }}
