{{ latest_of(ref('hist_quotes')) }}
