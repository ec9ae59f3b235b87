{{ latest_of(ref('hist_customers')) }}
