{{ latest_of(ref('hist_payees')) }}
