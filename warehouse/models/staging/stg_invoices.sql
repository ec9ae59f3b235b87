{{ latest_of(ref('hist_invoices')) }}
