{{ latest_of(ref('hist_suppliers')) }}
