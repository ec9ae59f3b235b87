{{ latest_of(ref('hist_einvoices')) }}
