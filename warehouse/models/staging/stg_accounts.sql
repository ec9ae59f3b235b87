{{ latest_of(ref('hist_accounts')) }}
